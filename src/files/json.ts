/** Reading JSON that may be damaged, outdated or written by somebody else: a schema for each file, one sentence where it does not fit. */
import { readFileSync, statSync } from 'node:fs';
import { z } from 'zod';
import { printable, shorten, shown } from './printable';

/** What does not fit a schema, as one clause: where, what is expected, and the value there is. */
export function describeIssues({ issues }: z.ZodError, value: unknown): string {
  const clauses = issues.slice(0, 3).map(({ path, message, input }) => {
    const there = path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key], value);
    const found = there ?? input; // a schema may have rewritten the value before it looked
    const expected = message
      .replace(/^Invalid input: /, '')
      .replace('expected record', 'expected object')
      .replace(/, received .*/, '');
    return `${path.length ? `${path.join('.')}: ` : ''}${expected} (${found === undefined ? 'missing' : `got ${shown(found)}`})`;
  });
  const more = issues.length > 3 ? ` and ${issues.length - 3} more` : '';
  return printable(shorten(clauses.join('; '), 400)) + more;
}

/** @throws Error naming `where` and what does not fit */
export function fit<T>(where: string, value: unknown, schema: z.ZodType<T>): T {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  throw new Error(`${where} does not have the expected shape: ${describeIssues(result.error, value)}`);
}

/** @throws Error naming `where` and what is no JSON or does not fit */
export function parseJson<T>(where: string, text: string, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    if (text.startsWith('\ufeff'))
      throw new Error(`${where} begins with a UTF-8 byte order mark, which JSON has not: save it without`);
    throw new Error(`${where} is no JSON (${text ? `it begins with ${shown(text.slice(0, 40))}` : 'it is empty'})`);
  }
  return fit(where, value, schema);
}

/** What Git has in place of a large file that was not fetched. */
const LFS_POINTER = 'version https://git-lfs.github.com/spec/';

/** Refuses a file whose first bytes are those of a Git LFS pointer. */
export function refusePointer(start: Uint8Array, refuse: (reason: string) => never): void {
  if (Buffer.from(start.subarray(0, LFS_POINTER.length)).toString('latin1') === LFS_POINTER)
    refuse('this is a Git LFS pointer, not the file itself: fetch that with "git lfs pull"');
}

/** Content of a file that ought to be there. @throws Error naming the path and the cause */
export function readBytes(path: string): Buffer {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const causes: Record<string, string> = { ENOENT: 'there is no such file', EISDIR: 'it is a folder', EACCES: 'no permission' };
    throw new Error(`cannot read ${path}: ${causes[code ?? ''] ?? message}`, { cause: error });
  }
  refusePointer(bytes, (reason) => {
    throw new Error(`${path}: ${reason}`);
  });
  return bytes;
}

/** Text of a file that ought to be there. @throws Error as {@link readBytes} */
export const readText = (path: string): string => readBytes(path).toString('utf8');

/** No JSON file that is read at once is larger, in bytes; the largest tokenizers have a third of it. */
export const MAX_JSON = 100e6;

/** A JSON file. @throws Error as {@link readText} and {@link parseJson}, or for more than {@link MAX_JSON} */
export function readJson<T>(path: string, schema: z.ZodType<T>): T {
  const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (bytes > MAX_JSON) throw new Error(`cannot read ${path}: it has ${bytes} bytes, more than ${MAX_JSON}`);
  return parseJson(path, readText(path), schema);
}
