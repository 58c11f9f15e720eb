/** Memory of a long metagradient: states at every √T-th step, and activations of one microbatch at a time. */
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { metagradient } from '../../src/learn/metagradient';
import { adamw } from '../../src/learn/optimizer';
import { fusedModel } from '../../src/model/fused';
import { hessianVectorProduct } from '../../src/model/fused/model';
import { workspace } from '../../src/model/fused/workspace';
import { gpt2, initializeGpt2 } from '../../src/model/families/gpt2';
import type { LanguageModel } from '../../src/model/types';
import { disposeParams } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { useBackend } from '../support/backend';

beforeAll(() => useBackend('cpu'));

const config = { vocab_size: 8, n_positions: 2, n_embd: 4, n_layer: 1, n_head: 1, layer_norm_epsilon: 1e-5 };
const model = fusedModel(config, { workers: 0 });
afterAll(() => model.dispose());

/** Most tensors alive during a metagradient of T steps, in trees of the parameters' size. */
async function treesAtPeak(steps: number): Promise<number> {
  const params = initializeGpt2(config, randomStream(1, 'memory'));
  const before = tf.memory().numTensors;
  let peak = 0;
  const watched =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      const result = await call(...args);
      peak = Math.max(peak, tf.memory().numTensors - before);
      return result;
    };
  const spy: LanguageModel = {
    ...model,
    gradient: watched((...args) => model.gradient(...args)),
    hessianVectorProduct: watched((...args) => model.hessianVectorProduct(...args)),
  };
  const examples = Array.from({ length: steps }, (_, i) => [i % 8, (3 * i) % 8]);
  const objective = (weights: typeof params) => tf.neg(tf.norm(weights['lm_head.weight']));
  const optimizer = adamw({ learningRate: 1e-3, epsRoot: 1e-3 });
  const { finalParams } = await metagradient({ model: spy, params, examples, batchSize: 1, optimizer, objective });
  disposeParams(finalParams);
  expect(tf.memory().numTensors).toBe(before);
  return peak / Object.keys(params).length;
}

it('grows with √T', async () => {
  // √T snapshots of 3 trees (parameters and two moments), a segment of √T steps of 4 (the gradient, too), and what is in work;
  // for T = 96 on the small model (0.67 MB a tree) that is 60 MB
  for (const steps of [9, 64]) expect(await treesAtPeak(steps)).toBeLessThanOrEqual(7 * Math.ceil(Math.sqrt(steps)) + 16);
});

it('takes no more than 40 MB of WebAssembly memory for a Hessian-vector product of the small model', () => {
  const small = { vocab_size: 512, n_positions: 32, n_embd: 64, n_layer: 2, n_head: 4, layer_norm_epsilon: 1e-5 };
  const w = workspace(gpt2.fused!(small));
  const [size, length] = [128, 32];
  const batch = { ids: new Int32Array(size * (length + 1)), mask: new Float32Array(size * length).fill(1), size, length };
  hessianVectorProduct(w, batch, size);
  expect(w.memory.heldBytes()).toBeLessThan(40e6);
});
