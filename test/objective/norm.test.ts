import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, it } from 'vitest';
import { valueAndGradient } from '../../src/learn/objective';
import { negativeNorm } from '../../src/objective/norm';
import { useBackend } from '../support/backend';

beforeAll(() => useBackend('cpu'));

it('is −‖LM head‖₂, with gradient −W/‖W‖', async () => {
  const params = { 'lm_head.weight': tf.tensor2d([2, -4, 5, 6], [2, 2]), other: tf.ones([3]) };
  const { phi, gradient } = await valueAndGradient(negativeNorm, params);
  expect(phi).toBeCloseTo(-9, 5);
  expect(gradient['lm_head.weight'].dataSync()).toBeAllClose([-2 / 9, 4 / 9, -5 / 9, -6 / 9], { rtol: 1e-5 });
  expect([...gradient.other.dataSync()]).toEqual([0, 0, 0]);
});
