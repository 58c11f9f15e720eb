/** tfjs on wasm where SIMD is missing: slower, but it works. */
import * as tf from '@tensorflow/tfjs-core';
import { expect, it, vi } from 'vitest';
import { installWasmKernels } from '../../../../src/tensor/kernels/wasm/wasmBackend';
import { useBackend } from '../../../support/backend';

it('multiplies, and differentiates a gather', async () => {
  vi.spyOn(WebAssembly, 'validate').mockReturnValue(false); // tfjs asks it too
  await useBackend('wasm');
  installWasmKernels();
  const [table, weights] = [tf.ones([2, 2]), tf.tensor2d([1, 2, 3, 4], [2, 2])];
  const f = (x: tf.Tensor) => tf.sum(tf.matMul(tf.gather(x, [1, 0, 1]) as tf.Tensor2D, weights, false, true));
  expect([...tf.grad(f)(table).dataSync()]).toEqual([4, 6, 8, 12]);
});
