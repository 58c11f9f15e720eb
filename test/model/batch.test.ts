import { describe, expect, it } from 'vitest';
import { examplesAtOnce, inputsAndLabels, microbatches, padExamples } from '../../src/model/batch';

describe('padding', () => {
  it('fills every example to S predictions, and masks what is not there', () => {
    const { ids, mask, size, length } = padExamples([[1, 2, 3], [4], [], [5, 6, 7, 8]], 3, 9);
    expect([size, length]).toEqual([4, 3]);
    expect([...mask]).toEqual([1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
    expect([...ids].map((id, cell) => [Math.floor(cell / 4), id]).filter(([, id]) => id)).toEqual(
      [[0, 1], [0, 2], [0, 3], [1, 4], [3, 5], [3, 6], [3, 7], [3, 8]], // prettier-ignore
    );
    expect([...ids.slice(12)]).toEqual([5, 6, 7, 8]);
    expect(ids.every((id) => id >= 0 && id < 9)).toBe(true);
  });

  it.each<[string, ArrayLike<number>[], string]>([
    [
      'a token beyond the vocabulary',
      [
        [1, 2],
        [0, 9, 1],
      ],
      'token 1 of example 1 is outside the vocabulary of 9 (got 9)',
    ],
    ['a negative token', [[-1, 2]], 'token 0 of example 0 is outside the vocabulary of 9 (got -1)'],
    ['a token that is no whole number', [[1, 1.5]], '(got 1.5)'],
    ['an example that is too long', [[1], [1, 2, 3, 4, 5]], 'example 1 has 5 tokens; sequenceLength 3 allows 4'],
    ['no example', [], 'a batch needs at least one example (got 0)'],
  ])('refuses %s', (_, examples, message) => {
    expect(() => padExamples(examples, 3, 9)).toThrow(message);
  });
});

describe('a batch', () => {
  const batch = padExamples([[1, 2, 3, 4], [5, 6], [7, 8, 1], [2, 2], [3]], 3, 9); // prettier-ignore

  it('has inputs, and labels one position on', () => {
    const { inputs, labels } = inputsAndLabels(batch);
    expect([...inputs.slice(0, 3), ...inputs.slice(6, 9)]).toEqual([1, 2, 3, 7, 8, 1]);
    expect([...labels.slice(0, 3), labels[3], ...labels.slice(6, 8)]).toEqual([2, 3, 4, 6, 8, 1]);
  });

  it.each([1, 2, 3, 5, 100])('is cut into pieces of at most %s examples that together are the batch', (limit) => {
    const pieces = [...microbatches(batch, limit)];
    expect(pieces.map(({ from }) => from)).toEqual(Array.from({ length: Math.ceil(5 / limit) }, (_, i) => i * limit));
    expect(pieces.every(({ piece }) => piece.size <= limit && piece.length === 3)).toBe(true);
    expect(pieces.flatMap(({ piece }) => [...piece.ids])).toEqual([...batch.ids]);
    expect(pieces.flatMap(({ piece }) => [...piece.mask])).toEqual([...batch.mask]);
    expect(pieces.reduce((n, { piece }) => n + piece.size, 0)).toBe(5);
  });
});

it.each([
  ['a small vocabulary', 32, 512, 64],
  ['GPT-2', 128, 50_257, 2],
  ['one text that is too large by itself', 1024, 128_256, 1],
])('the tape holds logits of 64 MiB: %s', (_, length, vocab, examples) => {
  expect(examplesAtOnce(length, vocab)).toBe(examples);
});
