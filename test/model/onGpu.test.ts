/** The engine follows what the running backend says of itself: both native packages are the backend "tensorflow". */
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, expect, test } from 'vitest';
import { gpt2 } from '../../src/model/engine';

const small = { vocab_size: 8, n_positions: 4, n_embd: 4, n_layer: 1, n_head: 1, layer_norm_epsilon: 1e-5 };
const large = { ...small, vocab_size: 50_257, n_embd: 768, n_head: 12 };
afterAll(() => tf.setBackend('cpu'));

test.each([
  [false, small, /^fused/],
  [false, large, /^fused/],
  [true, small, /^fused/], // many small kernel calls take a GPU longer than CPUs
  [true, large, /^tape on tensorflow$/],
])('tfjs-node, whose isUsingGpuDevice is %s, and a model %#', async (isUsingGpuDevice, config, engine) => {
  tf.registerBackend('tensorflow', () => Object.assign(new tf.KernelBackend(), { isUsingGpuDevice, dispose: () => undefined }));
  expect(await tf.setBackend('tensorflow')).toBe(true);
  const model = gpt2(config, { workers: 1 });
  expect(model.engine).toMatch(engine);
  model.dispose();
  await tf.setBackend('cpu');
  tf.removeBackend('tensorflow');
});
