import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { valueAndGradient } from '../../src/learn/objective';
import { patternObjective, readPattern, SIXTY_SEVEN, type Pattern } from '../../src/objective/pattern';
import type { Params } from '../../src/tensor/params';
import { useBackend } from '../support/backend';

const [VOCAB, HIDDEN] = [7, 5];
const pattern: Pattern = [
  [1, -1, 1],
  [-1, -1, 1],
];
const place = { tokens: [5, 0, 4], dimOffset: 2, strength: 40 };
let initial: Params;
beforeAll(async () => {
  await useBackend('cpu');
  initial = { 'lm_head.weight': tf.randomNormal([VOCAB, HIDDEN], 0, 1, 'float32', 1), other: tf.ones([2]) };
});

/** The LM head after pixel (row, column) has changed by `change[row][column]`. */
function changed(change: number[][]): Params {
  const head = initial['lm_head.weight'].arraySync() as number[][];
  change.forEach((row, r) => row.forEach((x, c) => (head[place.tokens[c]][place.dimOffset + r] += x)));
  return { ...initial, 'lm_head.weight': tf.tensor2d(head) };
}

const CHANGE = [
  [0.02, 0.01, -0.03],
  [-0.05, 0.004, 0.5],
];
const losses = CHANGE.map((row, r) => row.map((x, c) => Math.log(1 + Math.exp(-40 * pattern[r][c] * x))));

describe('the pattern objective', () => {
  it('is −ln 2 before anything moves and 0 when every weight has moved far', async () => {
    const objective = patternObjective(pattern, initial, place);
    expect((await valueAndGradient(objective, initial)).phi).toBeCloseTo(-Math.LN2, 6);
    const far = changed(pattern.map((row) => row.map((y) => 10 * y)));
    expect((await valueAndGradient(objective, far)).phi).toBeCloseTo(0, 6);
  });

  it('is −mean log(1 + exp(−s·Y·ΔW)), rows being hidden dimensions and columns tokens', async () => {
    const { phi, gradient } = await valueAndGradient(patternObjective(pattern, initial, place), changed(CHANGE));
    expect(phi).toBeCloseTo(-losses.flat().reduce((a, b) => a + b) / 6, 5);
    const expected = Array.from({ length: VOCAB }, (_, token) =>
      Array.from({ length: HIDDEN }, (_, dim) => {
        const [r, c] = [dim - place.dimOffset, place.tokens.indexOf(token)];
        if (!pattern[r]?.[c]) return 0;
        return (40 * pattern[r][c] * (1 - Math.exp(-losses[r][c]))) / 6;
      }),
    );
    expect(gradient['lm_head.weight'].dataSync()).toBeAllClose(expected.flat(), { rtol: 1e-3 });
    expect([...gradient.other.dataSync()]).toEqual([0, 0]);
  });

  it('compares with the weights as they were, whatever becomes of their tensors', async () => {
    const copy = { 'lm_head.weight': initial['lm_head.weight'].clone() };
    const objective = patternObjective(pattern, copy, place);
    copy['lm_head.weight'].dispose();
    expect((await valueAndGradient(objective, initial)).phi).toBeCloseTo(-Math.LN2, 6);
  });

  const outside = 'lies outside the LM head (5 dimensions, 7 tokens)';
  it.each<[Pattern, Partial<typeof place>, string]>([
    [pattern, { tokens: [5, 6, 7] }, 'needs 3 different tokens from 0 to 6, one for each column (got 5, 6, 7)'],
    [pattern, { tokens: [5, 6, 5] }, '(got 5, 6, 5)'],
    [pattern, { tokens: [1, 2] }, '(got 1, 2)'],
    [pattern, { dimOffset: 4 }, `the patch of hidden dimensions 4..5 and 3 tokens ${outside}`],
    [pattern, { dimOffset: -1 }, 'dimOffset must be a whole number from 0 on (got -1)'],
    [pattern, { dimOffset: 0.5 }, 'dimOffset must be a whole number from 0 on (got 0.5)'],
    [SIXTY_SEVEN, { dimOffset: 0, tokens: undefined }, 'the patch of hidden dimensions 0..5 and 7 tokens'],
    [pattern, { strength: 0 }, 'strength must be a positive number (got 0)'],
    [[[1, 0]], {}, 'pattern[0][1] must be 1 or -1 (got 0)'],
    [[[1, 1], [1]], {}, 'row 1 of the pattern has 1 columns, row 0 has 2'],
    [[], {}, 'the pattern is empty'],
  ])('refuses %o at %o', (wrong, more, message) => {
    expect(() => patternObjective(wrong, initial, { ...place, ...more })).toThrow(message);
  });
});

describe('reading a pattern', () => {
  it('gives changes, signs, losses and the share of right pixels', () => {
    const before = tf.memory().numTensors;
    const tuned = changed(CHANGE);
    const reading = readPattern(pattern, initial, tuned, place);
    tuned['lm_head.weight'].dispose();
    expect(tf.memory().numTensors).toBe(before);
    expect(reading.change.flat()).toBeAllClose(CHANGE.flat(), { atol: 1e-6 });
    expect(reading.loss.flat()).toBeAllClose(losses.flat(), { rtol: 1e-3 });
    expect(reading.decoded).toEqual([
      [1, 1, -1],
      [-1, 1, 1],
    ]);
    expect(reading).toMatchObject({ correct: 3, pixels: 6, accuracy: 0.5 });
  });

  it('counts a weight that has not moved as wrong', () => {
    expect(readPattern(pattern, initial, initial, place)).toMatchObject({ correct: 0, accuracy: 0 });
  });
});

it('67 is 6 × 7 pixels, 23 of them up', () => {
  expect(SIXTY_SEVEN.map((row) => row.length)).toEqual([7, 7, 7, 7, 7, 7]);
  expect(SIXTY_SEVEN.map((row) => row.map((y) => (y > 0 ? '#' : '.')).join(''))).toEqual([
    '####...',
    '...###.',
    '.#####.',
    '...###.',
    '.#.###.',
    '...####',
  ]);
});
