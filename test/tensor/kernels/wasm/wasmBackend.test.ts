/** tfjs on wasm with our kernels against tfjs on cpu. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { installWasmKernels } from '../../../../src/tensor/kernels/wasm/wasmBackend';
import { randomStream } from '../../../../src/tensor/random';
import { useBackend } from '../../../support/backend';

const random = randomStream(9, 'wasm backend');
const normal = (shape: number[]) => Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => random.normal());

beforeAll(async () => {
  await useBackend('wasm');
  installWasmKernels();
  installWasmKernels(); // a second time: no harm
});

/** Runs `f` on both backends. */
async function onBoth(f: () => tf.Tensor): Promise<void> {
  const run = async (backend: string) => {
    await tf.setBackend(backend);
    const result = tf.tidy(f);
    return { values: result.dataSync(), shape: result.shape, dtype: result.dtype };
  };
  const expected = await run('cpu');
  const actual = await run('wasm');
  expect([actual.shape, actual.dtype]).toEqual([expected.shape, expected.dtype]);
  expect(actual.values).toBeAllClose(expected.values, { rtol: 1e-5 });
}

describe.each([
  [[], []],
  [[3], [3]],
  [[1], [4]],
  [[4], [1]],
  [
    [2, 3],
    [2, 3],
  ],
  [
    [3, 1],
    [1, 3],
  ],
  [[2, 3], [3]],
])('matMul of batches %j and %j', (aOuter, bOuter) => {
  it.each([
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ])('transposed %s, %s', async (transposeA, transposeB) => {
    const a = normal([...aOuter, ...(transposeA ? [5, 7] : [7, 5])]);
    const b = normal([...bOuter, ...(transposeB ? [9, 5] : [5, 9])]);
    const aShape = [...aOuter, ...(transposeA ? [5, 7] : [7, 5])];
    const bShape = [...bOuter, ...(transposeB ? [9, 5] : [5, 9])];
    await onBoth(() => tf.matMul(tf.tensor(a, aShape), tf.tensor(b, bShape), transposeA, transposeB));
  });
});

it('refuses integers and misshapen matrices as before', async () => {
  await tf.setBackend('wasm');
  const integers = tf.tensor2d([1, 2, 3, 4], [2, 2], 'int32');
  expect(() => tf.matMul(integers, integers)).toThrow('float32');
  expect(() => tf.matMul(tf.ones([2, 3]), tf.ones([2, 3]))).toThrow('inner shapes');
});

it('sums over leading and other axes, keeping dimensions or not', async () => {
  const x = normal([4, 5, 6]);
  for (const axes of [[0], [0, 1], [1], [2], [0, 2], [0, 1, 2]]) {
    for (const keepDims of [false, true]) await onBoth(() => tf.sum(tf.tensor(x, [4, 5, 6]), axes, keepDims));
  }
  await onBoth(() => tf.sum(tf.tensor2d([1, 2, 3, 4], [2, 2], 'int32'), 0));
});

it('transposes matrices and tensors of higher rank', async () => {
  const x = normal([6, 35]);
  await onBoth(() => tf.transpose(tf.tensor(x, [6, 35])));
  await onBoth(() => tf.transpose(tf.tensor(x, [6, 35]), [0, 1]));
  await onBoth(() => tf.transpose(tf.tensor(x, [6, 5, 7]), [2, 0, 1]));
});

it('has the gradient of a gather, dropping segments outside the range', async () => {
  const x = normal([5, 3]);
  await onBoth(() => tf.grad((table: tf.Tensor) => tf.gather(table, tf.tensor1d([1, 4, 1, 0], 'int32')))(tf.tensor(x, [5, 3])));
  await onBoth(() => tf.unsortedSegmentSum(tf.tensor(x, [5, 3]), tf.tensor1d([1, -1, 1, 0, 7], 'int32'), 3));
});

it('frees shared data once, after the last owner', async () => {
  await tf.setBackend('wasm');
  const { numTensors, numBytes } = tf.memory();
  const x = tf.tensor1d([1, 2, 3]);
  const copy = tf.clone(x);
  x.dispose();
  expect([...copy.dataSync()]).toEqual([1, 2, 3]);
  copy.dispose();
  expect(tf.memory()).toMatchObject({ numTensors, numBytes });
});

it('an array that the heap has no room for is an error that names the way out, and nothing else is harmed', async () => {
  await tf.setBackend('wasm');
  const backend = tf.backend() as unknown as { makeOutput(shape: number[], dtype: 'float32'): tf.TensorInfo };
  const [held, before]: [tf.TensorInfo[], tf.Tensor] = [[], tf.tensor1d([1, 2, 3])];
  const fill = (): void => {
    for (let i = 0; i < 8; i++) held.push(backend.makeOutput([2 ** 27], 'float32')); // 0.5 GB each, never touched
  };
  expect(fill).toThrow(
    'no room for 537 MB more in the heap of the backend wasm, which can grow to 4.3 GB: free tensors, or start again with',
  );
  expect(tf.add(before, 1).dataSync()).toEqual(Float32Array.of(2, 3, 4));
  for (const { dataId } of held) tf.backend().disposeData(dataId);
});
