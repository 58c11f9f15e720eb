import { distance } from 'fastest-levenshtein';
import { describe, expect, it } from 'vitest';
import { editDistance, levenshteinScore } from '../../src/reward/levenshtein';
import { randomStream } from '../../src/tensor/random';

const random = randomStream(1, 'levenshtein');
const sequence = (longest: number) => Array.from({ length: random.integer(longest + 1) }, () => random.integer(5));
const asText = (ids: readonly number[]) => String.fromCharCode(...ids.map((id) => 97 + id));

describe('the edit distance of token ids', () => {
  it('is that of the strings they stand for', () => {
    for (let i = 0; i < 500; i++) {
      const [a, b] = [sequence(12), sequence(12)];
      expect(editDistance(a, b), `${a} | ${b}`).toBe(distance(asText(a), asText(b)));
    }
    expect(editDistance([899, 3], [899, 1003])).toBe(1);
  });

  it('as a reward is minus its mean over the evaluation set', async () => {
    const evaluation = [[1, 2, 3], [1, 2, 3, 4, 5]]; // prettier-ignore
    expect(await levenshteinScore(evaluation)([[1, 2, 3], [], [1, 9, 3, 4, 5]])).toEqual(Float32Array.of(-1, -4, -2));
  });
});
