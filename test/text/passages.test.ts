import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parseKeys } from '../../src/dpg/keys';
import type { Actor } from '../../src/dpg/experiment';
import { articlePrompts, PASSAGES, promptedKeys } from '../../src/experiments/weightSpace';
import { randomStream } from '../../src/tensor/random';
import { drawPassages, readPassages } from '../../src/text/passages';
import { characterTokenizer } from '../../src/text/tokenizer';

const place = mkdtempSync(join(tmpdir(), 'passages-'));
afterAll(() => rmSync(place, { recursive: true }));
const fileOf = (name: string, content: string | Uint8Array): string => {
  const file = join(place, name);
  writeFileSync(file, content);
  return file;
};
const drawn = (file: string, split: 'train' | 'heldOut'): string[] => {
  const draw = drawPassages(readPassages(file), split);
  const random = randomStream(1, split);
  return [...new Set(Array.from({ length: 2000 }, () => draw(random)))].sort();
};

describe('a file of passages', () => {
  const line = (article: string, text: string): string => JSON.stringify({ article, text });

  test('is split by article: no article is in both, and every passage is in one', () => {
    const lines = Array.from({ length: 12 }, (_, i) => line(`article ${i >> 1}`, `${i >> 1} ${i}`));
    const file = fileOf('a.jsonl', lines.join('\n') + '\n');
    expect(drawn(file, 'heldOut')).toEqual(['1 2', '1 3']); // the second of six articles
    expect(drawn(file, 'train').length).toBe(10);
  });

  test('is plain text, a passage a line, with any ends of lines; or objects with a field of another name', () => {
    const text = fileOf('a.txt', 'One.\r\nTwo.\r\nThree.\r\n');
    expect(readPassages(text).map(({ text }) => text)).toEqual(['One.', 'Two.', 'Three.']);
    expect([drawn(text, 'train'), drawn(text, 'heldOut')]).toEqual([['One.', 'Three.'], ['Two.']]);
    expect(readPassages(fileOf('b.jsonl', '{"body":"A"}\n{"body":"B"}'), 'body').map(({ text }) => text)).toEqual(['A', 'B']);
  });

  test.each([
    ['gap.txt', 'One.\n\nTwo.', /gap\.txt, line 2 is empty: every line has to hold a passage$/],
    ['blank.jsonl', `${line('a', 'x')}\n \n${line('b', 'y')}`, /blank\.jsonl, line 2 is empty/],
    ['hollow.jsonl', `${line('a', 'x')}\n${line('b', ' ')}`, /hollow\.jsonl, line 2 is empty/],
    ['nothing.txt', '', /nothing\.txt, line 1 is empty/],
    ['latin1.txt', Uint8Array.of(0x63, 0x61, 0x66, 0xe9), /latin1\.txt is not in UTF-8: save it in that encoding$/],
    ['utf16.txt', Uint8Array.of(0xff, 0xfe, 0x41, 0), /utf16\.txt is not in UTF-8/],
    ['single.jsonl', `${line('Tea', 'x')}\n${line('Tea', 'y')}`, /single\.jsonl has one article only, "Tea"/],
    ['one.txt', 'One.', /one\.txt has one article only/],
    ['broken.jsonl', `${line('a', 'x')}\n{`, /broken\.jsonl, line 2/],
    ['other.jsonl', '{"body":"A"}', /other\.jsonl, line 1 .*text/],
    ['table.csv', 'x', /table\.csv: a file of passages is called \.jsonl or \.txt$/],
  ])('%s is refused in one sentence', (name, content, message) => {
    const file = fileOf(name, content);
    const refusal = (): unknown => readPassages(file);
    expect(refusal).toThrow(message);
    expect(refusal).toThrow(/^[^\n]+$/);
  });

  test('that is not there is refused', () => {
    expect(() => readPassages(join(place, 'none.txt'))).toThrow(/none\.txt: there is no such file/);
  });
});

test('the passages that come with the project: 200 at least, in short sentences, several an article, none twice', () => {
  const passages = readPassages(PASSAGES);
  expect(passages.length).toBeGreaterThanOrEqual(200);
  expect(new Set(passages.map(({ text }) => text)).size).toBe(passages.length);
  for (const { text } of passages) expect(text).toMatch(/^(?:[A-Z][^.]+\.(?: |$)){1,3}$/);
  const articles = passages.map(({ article }) => article);
  for (const article of articles) expect(articles.indexOf(article)).not.toBe(articles.lastIndexOf(article));
});

describe('prompts of a file', () => {
  const file = fileOf('prompts.txt', 'the cat sat on the mat\nthe dog lay by the fire\na bird sang in the tree\n');
  const prompts = (text: string, promptsFile = file) =>
    articlePrompts({ tokenizer: characterTokenizer(text) } as Actor, parseKeys(promptedKeys, { promptsFile, promptLength: 12 }));

  test('continue its passages, held-out ones others', () => {
    const tokenizer = characterTokenizer('abcdefghijklmnopqrstuvwxyz ');
    const source = prompts('abcdefghijklmnopqrstuvwxyz ');
    const texts = (split: 'train' | 'heldOut') => source(split, 40, randomStream(3, 'p')).map(tokenizer.decode).join('|');
    expect(texts('train')).toMatch(/cat|bird/);
    expect(texts('train')).not.toMatch(/dog|fire/);
    expect(texts('heldOut')).toMatch(/dog/);
    expect(texts('heldOut')).not.toMatch(/cat|bird/);
  });

  test('a passage that the generator cannot read is named with its line, before anything is drawn', () => {
    expect(() => prompts('abcdefghijklmnopqrstuwxz ')).toThrow(/prompts\.txt, line 2: "y" \(U\+0079\) at position 10/);
  });
});
