/** Reading JSON that may be damaged, outdated or written by somebody else: a schema for each file, one sentence where it does not fit. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { printable, shorten, shown } from './printable';

/** What does not fit a schema, as one clause: where, what is expected, and the value there is. */
export function describeIssues({ issues }: z.ZodError, value: unknown): string {
  const clauses = issues.slice(0, 3).map(({ path, message }) => {
    const found = path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key], value);
    const expected = message.replace(/^Invalid input: /, '').replace(/, received .*/, '');
    return `${path.length ? `${path.join('.')}: ` : ''}${expected} (${found === undefined ? 'missing' : `got ${shown(found)}`})`;
  });
  const more = issues.length > 3 ? ` and ${issues.length - 3} more` : '';
  return printable(shorten(clauses.join('; '), 400)) + more;
}

/** @throws Error naming `where` and what does not fit */
export function fit<T>(where: string, value: unknown, schema: z.ZodType<T>): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new Error(`${where} does not have the expected shape: ${describeIssues(result.error, value)}`);
}

/** @throws Error naming `where` and what is no JSON or does not fit */
export function parseJson<T>(where: string, text: string, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\ufeff/, ''));
  } catch {
    throw new Error(`${where} is no JSON (it begins with ${shown(text.slice(0, 40))})`);
  }
  return fit(where, value, schema);
}

/** Content of a file that ought to be there. @throws Error naming the path and the cause */
export function readBytes(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const causes: Record<string, string> = { ENOENT: 'there is no such file', EISDIR: 'it is a folder', EACCES: 'no permission' };
    throw new Error(`cannot read ${path}: ${causes[code ?? ''] ?? message}`, { cause: error });
  }
}

/** Text of a file that ought to be there. @throws Error as {@link readBytes} */
export const readText = (path: string): string => readBytes(path).toString('utf8');

/** A JSON file. @throws Error as {@link readText} and {@link parseJson} */
export const readJson = <T>(path: string, schema: z.ZodType<T>): T => parseJson(path, readText(path), schema);
