/**
 * Passages of a user's own in a file, for prompts: JSON lines, or plain text with a passage a line. Training and held-out passages are of
 * different articles.
 */
import { extname } from 'node:path';
import { z } from 'zod';
import { parseJson, readBytes } from '../files/json';
import { shown } from '../files/printable';
import type { Split } from './encyclopedia/fact';
import type { TextSource } from './prompts';

/** A short text, and what it is about. */
export interface Passage {
  readonly article: string;
  readonly text: string;
  /** Line of the file, from 1 on. */
  readonly line: number;
}

/** One article in five is held out, from the second on: where there are two, one is. */
const isHeldOut = (index: number): boolean => index % 5 === 1;

function linesOf(file: string): string[] {
  const bytes = readBytes(file);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`${file} is not in UTF-8: save it in that encoding`);
  }
  return text.replace(/\r?\n$/, '').split(/\r?\n/);
}

/**
 * The passages of a file. In `.jsonl` every line is an object whose `field` is the text and whose `article`, if it has one, says which
 * passages belong together; in `.txt` every line is a text and an article for itself.
 * @throws Error naming the file, and the line that is empty or does not fit; for a file that is not UTF-8, or has one article only
 */
export function readPassages(file: string, field = 'text'): Passage[] {
  const kind = extname(file).toLowerCase();
  if (kind !== '.jsonl' && kind !== '.txt') throw new Error(`${file}: a file of passages is called .jsonl or .txt`);
  const schema = z.looseObject({ [field]: z.string(), article: z.string().optional() });
  const passages = linesOf(file).map((content, i): Passage => {
    const line = i + 1;
    const where = `${file}, line ${line}`;
    const object = kind === '.txt' || !content.trim() ? { [field]: content } : parseJson(where, content, schema);
    const text = object[field] as string;
    if (!text.trim()) throw new Error(`${where} is empty: every line has to hold a passage`);
    return { article: (object.article as string | undefined) ?? `line ${line}`, text: text.trim(), line };
  });
  const [{ article }] = passages;
  if (passages.every((passage) => passage.article === article))
    throw new Error(`${file} has one article only, ${shown(article)}: training and held-out prompts need one each`);
  return passages;
}

/** Draws the passages of one split. @param passages - of two articles at least, as {@link readPassages} has them */
export function drawPassages(passages: readonly Passage[], split: Split): TextSource {
  const articles = [...new Set(passages.map(({ article }) => article))];
  const chosen = new Set(articles.filter((_, i) => isHeldOut(i) === (split === 'heldOut')));
  const texts = passages.filter(({ article }) => chosen.has(article)).map(({ text }) => text);
  return (random) => random.pick(texts);
}
