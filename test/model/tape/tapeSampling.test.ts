import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, it } from 'vitest';
import { drawTokens } from '../../../src/model/tape/tapeSampling';
import { useBackend } from '../../support/backend';

beforeAll(() => useBackend('cpu'));

it('draws the token at which the cumulative probability passes the uniform number', () => {
  const logits = tf.tensor2d(
    [1, 2, 3, 4].flatMap(() => [0.1, 0.2, 0.3, 0.4].map(Math.log)),
    [4, 4],
  );
  const { ids, logProbs } = drawTokens(logits, 1, [0.05, 0.25, 0.55, 0.9]);
  expect([...ids]).toEqual([0, 1, 2, 3]);
  expect(logProbs).toBeAllClose([0.1, 0.2, 0.3, 0.4].map(Math.log), { rtol: 1e-6 });
});

it('never draws a token of probability 0, although probabilities add up to less than 1', () => {
  const vocab = 30_000;
  const row = Float32Array.from({ length: vocab }, (_, i) => (i === 0 || i >= vocab - 3 ? -1e9 : Math.sin(i)));
  const logits = tf.tensor2d([...row, ...row], [2, vocab]);
  const { ids, logProbs } = drawTokens(logits, 0.7, [0, 1 - 2 ** -24]);
  expect([...ids]).toEqual([1, vocab - 4]);
  expect(Math.min(...logProbs)).toBeGreaterThan(-15);
});

it('says so where there is nothing to draw', () => {
  for (const broken of [NaN, Infinity]) {
    const { ids, logProbs } = drawTokens(tf.tensor2d([0, broken, 0, 0, 1, 0], [2, 3]), 1, [0.5, 0.5]);
    expect([...ids]).toEqual([0, 1]);
    expect([...logProbs].map(Number.isNaN)).toEqual([true, false]);
  }
});
