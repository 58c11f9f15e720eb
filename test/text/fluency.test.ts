import { describe, expect, it } from 'vitest';
import { randomStream } from '../../src/tensor/random';
import { distinctShare, perplexity, selfBleu, wordsOf } from '../../src/text/fluency';

describe('perplexity', () => {
  it('is the number of equally likely tokens', () => {
    expect(perplexity([Math.log(1 / 8), Math.log(1 / 8), Math.log(1 / 8)])).toBeCloseTo(8, 10);
    expect(perplexity(Float64Array.of(Math.log(1 / 2), Math.log(1 / 8)))).toBeCloseTo(4, 10); // √(2 · 8)
  });

  it('is not a number without tokens', () => expect(perplexity([])).toBeNaN());
});

describe('words of a text', () => {
  it('are words, numbers and marks', () =>
    expect(wordsOf("the l'église, built in 1872.")).toEqual(['the', 'l', "'", 'église', ',', 'built', 'in', '1872', '.']));
});

describe('distinct-2', () => {
  it('is the share of different pairs of words', () => {
    expect(distinctShare(['the old mill', 'the old bridge'])).toBe(3 / 4); // the old, old mill, the old, old bridge
    expect(distinctShare(['a b c', 'd e f'])).toBe(1);
    expect(distinctShare(Array<string>(4).fill('a b'))).toBe(1 / 4);
  });

  it('has no pair across two texts', () => expect(distinctShare(['a', 'b', 'c d'])).toBe(1));

  it('is 1 without pairs', () => expect(distinctShare(['a', 'b'])).toBe(1));
});

describe('self-BLEU-2', () => {
  it('is 1 for texts that say the same, and 0 for texts that share nothing', () => {
    expect(selfBleu(['the old mill', 'the old mill', 'the old mill'])).toBeCloseTo(1, 12);
    expect(selfBleu(['a b c', 'd e f'])).toBe(0);
  });

  it('agrees with counting by hand', () => {
    // words 2/3, pairs 1/2, of equal length: √(1/3) for both
    expect(selfBleu(['the old mill', 'the old bridge'])).toBeCloseTo(Math.sqrt(1 / 3), 12);
    // "a b" within "a b c": 1, less a penalty of exp(1 − 3/2); the other way 2/3 and 1/2, and no penalty
    expect(selfBleu(['a b', 'a b c'])).toBeCloseTo((Math.exp(-1 / 2) + Math.sqrt(1 / 3)) / 2, 12);
    // a word counts as often as in the text where it is most frequent: "a a a" finds two of its three, one of its two pairs
    expect(selfBleu(['a a a', 'a a c', 'b b b'])).toBeCloseTo(
      (Math.sqrt((2 / 3) * (1 / 2)) + Math.sqrt((2 / 3) * (1 / 2)) + 0) / 3,
      12,
    );
  });

  it('agrees with BLEU as Papineni et al. (2002) write it, text by text', () => {
    const random = randomStream(5, 'self-BLEU');
    const word = (): string => 'abcdef'[Math.floor(random.uniform() * 6)];
    const texts = Array.from({ length: 40 }, () => Array.from({ length: 2 + Math.floor(random.uniform() * 8) }, word).join(' '));
    for (const n of [1, 2, 3]) {
      const scores = texts.map((text, i) => bleu(text.split(' '), texts.filter((_, k) => k !== i).map((other) => other.split(' ')), n)); // prettier-ignore
      expect(selfBleu(texts, n)).toBeCloseTo(scores.reduce((a, b) => a + b, 0) / scores.length, 10);
    }
  });

  it('judges a text of one word by that word, and gives a text without words 0', () => {
    expect(selfBleu(['a', 'a', 'a'])).toBeCloseTo(1, 12);
    expect(selfBleu(['', 'a b', 'a b'])).toBeCloseTo(2 / 3, 12);
  });

  it('needs two texts', () => expect(() => selfBleu(['a b'])).toThrow('it needs at least two (got 1)'));
});

/** BLEU without smoothing, straight from its definition; a text shorter than `n` words has the orders it can have. */
function bleu(candidate: string[], references: string[][], n: number): number {
  const occurrences = (words: string[], gram: string[]): number =>
    words.filter((_, i) => gram.every((word, k) => words[i + k] === word)).length;
  let logs = 0;
  const orders = Math.min(n, candidate.length);
  for (let order = 1; order <= orders; order++) {
    const grams = candidate.slice(0, candidate.length - order + 1).map((_, i) => candidate.slice(i, i + order));
    const unique = [...new Map(grams.map((gram) => [gram.join(' '), gram])).values()];
    const clipped = unique.map((gram) =>
      Math.min(occurrences(candidate, gram), Math.max(...references.map((r) => occurrences(r, gram)))),
    );
    logs += Math.log(clipped.reduce((a, b) => a + b, 0) / grams.length) / orders;
  }
  const gap = (length: number): number => Math.abs(length - candidate.length);
  const [nearest] = references.map(({ length }) => length).sort((a, b) => gap(a) - gap(b) || a - b);
  return Math.exp(Math.min(0, 1 - nearest / candidate.length) + logs);
}
