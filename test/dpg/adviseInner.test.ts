/** The advice on eps_root: what τ predicts of Φ, against what Φ does. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, it } from 'vitest';
import { adviseInner } from '../../src/dpg/adviseInner';
import { sgd } from '../../src/learn/optimizer';
import type { Params } from '../../src/tensor/params';
import { useBackend } from '../support/backend';
import { tinyExperiment } from '../support/tinyExperiment';

beforeAll(() => useBackend('cpu'));

it('τ predicts Φ, in scale too, where the fine-tuning is gentle; where eps_root is too small it does not', async () => {
  const experiment = tinyExperiment({ innerLearningRate: 1e-4, prompts: 8, groupSize: 8 });
  const rows = await adviseInner(experiment, { epsRoots: [1e-13, 0.1], dataSets: 16 });
  const [tiny, large] = rows;
  expect(large.agreement).toBeGreaterThan(0.999);
  expect(large.slope).toBeGreaterThan(0.99);
  expect(large.slope).toBeLessThan(1.01);
  expect(tiny.agreement).toBeLessThan(0.9);
  expect(tiny.slope).toBeGreaterThan(10); // τ is far too small
});

it('advises the one at which the most of Φ is predicted', async () => {
  const rows = await adviseInner(tinyExperiment(), { dataSets: 8 });
  const parts = rows.map(({ agreement, phi_deviation }) => agreement * phi_deviation);
  expect(rows.findIndex(({ advised }) => advised)).toBe(parts.indexOf(Math.max(...parts)));
  expect(rows.filter(({ advised }) => advised)).toHaveLength(1);
  expect(rows.every(({ phi_deviation }) => phi_deviation > 0)).toBe(true);
});

it('a fine-tuning that has no such setting is refused, and where nothing moves nothing is predicted', async () => {
  const refused = /^innerEpsRoot is a setting of adamw and lion; this fine-tuning is by /;
  await expect(adviseInner(tinyExperiment({ innerOptimizer: 'sgd' }))).rejects.toThrow(refused);
  await expect(adviseInner({ ...tinyExperiment(), optimizer: sgd({ learningRate: 1 }) })).rejects.toThrow(refused);
  const still = { ...tinyExperiment(), objective: (params: Params) => tf.mul(tf.sum(params['lm_head.weight']), 0) };
  const rows = await adviseInner(still, { epsRoots: [1e-3, 1e-2], dataSets: 2 });
  expect(rows).toMatchObject([
    { agreement: 0, slope: 0, phi_deviation: 0, advised: true },
    { agreement: 0, advised: false },
  ]);
});

it('examples that do not make equal batches are refused before anything is written', async () => {
  await expect(adviseInner(tinyExperiment({ innerSteps: 2 }), { examples: 7 })).rejects.toThrow(
    'innerSteps must divide the 7 examples of a data set (got 2)',
  );
});
