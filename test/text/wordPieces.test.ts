import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { randomStream } from '../../src/tensor/random';
import { lambada } from '../../src/text/encyclopedia/article';
import { LANGUAGES, randomUuid } from '../../src/text/encyclopedia/fact';
import { runningText } from '../../src/text/prompts';
import { characterTokenizer, loadTokenizer, tokenizerFiles } from '../../src/text/tokenizer';
import { wordPieceTokenizer } from '../../src/text/wordPieces';

const texts = (seed: number, articles: number) =>
  LANGUAGES.map((language) => runningText(randomStream(seed, language), articles, language, { identifierRate: 0.05 }));
const corpus = texts(1, 2000).join(' ');
const tokenizer = wordPieceTokenizer(corpus, 896);
const pieces = (text: string) => tokenizer.encode(text).map((id) => tokenizer.decode([id]));

describe('word pieces', () => {
  test('every text comes back as it was, also what the corpus does not hold', () => {
    const unseen = LANGUAGES.flatMap((language) => lambada(language, 50, randomStream(2, language)).map(({ text }) => text));
    const odd = ['', ' ', '  a', 'a ', 'aa', '.', ' .', 'Thetower', '1 000', randomUuid(randomStream(1, 'odd')), 'x de4fab12-1'];
    for (const text of [...texts(3, 200), ...unseen, ...odd]) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  test('a sentence takes a third of the tokens that its characters take, in every language', () => {
    const characters = characterTokenizer(corpus);
    for (const text of texts(3, 200)) expect(tokenizer.encode(text).length / characters.encode(text).length).toBeLessThan(1 / 3);
  });

  test('a word is one piece at the start and after a space, a number one piece a digit', () => {
    expect(pieces('tower, (tower) of 1407-12')).toEqual([
      'tower',
      ',',
      '(',
      't',
      'o',
      'w',
      'e',
      'r',
      ')',
      'of',
      '',
      ...'1407-12',
    ]);
    expect(tokenizer.encode('The tower')[1]).toBe(tokenizer.encode('tower')[0]);
  });

  test('a UUID is a space and its 36 characters, whatever it begins with', () => {
    const random = randomStream(1, 'uuids');
    const uuids = ['de4fab12-1234-4abc-8abc-0123456789ab', ...Array.from({ length: 500 }, () => randomUuid(random))];
    for (const uuid of uuids) {
      expect(pieces(uuid)).toEqual(['', ...uuid]);
      expect(pieces(`Number ${uuid}.`).slice(-37)).toEqual([...uuid, '.']);
    }
  });

  test('ids go by frequency, special tokens come last', () => {
    const counts = new Map<number, number>();
    for (const id of tokenizer.encode(corpus.slice(0, 400_000))) counts.set(id, (counts.get(id) ?? 0) + 1);
    const total = (from: number) => Array.from({ length: 100 }, (_, i) => counts.get(from + i) ?? 0).reduce((a, b) => a + b);
    expect(total(0)).toBeGreaterThan(total(300));
    expect(total(300)).toBeGreaterThan(total(600));
    const { vocabSize, padId, bosId, sepId, eosId } = tokenizer;
    expect([vocabSize, padId, bosId, sepId, eosId]).toEqual([900, 896, 897, 898, 899]);
    expect(tokenizer.decode([padId!, ...tokenizer.encode('A tower'), sepId!, eosId!])).toBe('A tower');
  });

  test('goes through a Hugging Face folder', () => {
    const folder = mkdtempSync(join(tmpdir(), 'word-pieces-'));
    for (const [name, content] of Object.entries(tokenizerFiles(tokenizer))) writeFileSync(join(folder, name), content);
    const loaded = loadTokenizer(folder);
    rmSync(folder, { recursive: true });
    for (const text of texts(4, 20)) expect(loaded.encode(text)).toEqual(tokenizer.encode(text));
    expect(loaded).toMatchObject({ vocabSize: 900, eosId: 899 });
  });

  test('names a character that it lacks, and a size below the alphabet', () => {
    expect(() => tokenizer.encode('A tower for 5 €.')).toThrow('"€" (U+20AC) at position 14');
    expect(() => wordPieceTokenizer('abc', 3)).toThrow('size must be at least 4');
  });
});
