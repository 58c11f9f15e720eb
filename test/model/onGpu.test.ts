/** The engine follows what the running backend says of itself: both native packages are the backend "tensorflow". */
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, expect, test } from 'vitest';
import { gpt2 } from '../../src/model/engine';

const config = { vocab_size: 8, n_positions: 4, n_embd: 4, n_layer: 1, n_head: 1, layer_norm_epsilon: 1e-5 };
afterAll(() => tf.setBackend('cpu'));

test.each([
  [false, /^fused/],
  [true, /^tape on tensorflow$/],
])('tfjs-node, whose isUsingGpuDevice is %s', async (isUsingGpuDevice, engine) => {
  tf.registerBackend('tensorflow', () => Object.assign(new tf.KernelBackend(), { isUsingGpuDevice, dispose: () => undefined }));
  expect(await tf.setBackend('tensorflow')).toBe(true);
  const model = gpt2(config, { workers: 1 });
  expect(model.engine).toMatch(engine);
  model.dispose();
  await tf.setBackend('cpu');
  tf.removeBackend('tensorflow');
});
