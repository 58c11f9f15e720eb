/** adamw's kernels on `wasm` and `cpu` against its tfjs ops: the same bits. (The ops are tested against float64 in optimizer.test.ts.) */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { adjointLeaf, updateLeaf, type AdamwLeaf, type AdamwSettings } from '../../src/learn/adamw';
import { installCpuKernels } from '../../src/tensor/kernels/cpu/cpuBackend';
import { installWasmKernels } from '../../src/tensor/kernels/wasm/wasmBackend';
import { randomStream } from '../../src/tensor/random';
import { useBackend } from '../support/backend';

const settings = { learningRate: 5e-3, b1: 0.9, b2: 0.95, eps: 1e-8, epsRoot: 1e-5, weightDecay: 1e-2 };
const random = randomStream(3, 'adamw');
const normal = (shape: number[], scale: number) =>
  tf.tensor(
    Array.from({ length: tf.util.sizeFromShape(shape) }, () => scale * random.normal()),
    shape,
  );

/** The result of `f` where the backend lacks adamw's kernels. */
function withoutKernels<R>(f: () => R): R {
  const kernels = ['AdamwUpdate', 'AdamwAdjoint'].map((name) => tf.getKernel(name, tf.getBackend()));
  for (const { kernelName } of kernels) tf.unregisterKernel(kernelName, tf.getBackend());
  const result = f();
  kernels.forEach(tf.registerKernel);
  return result;
}

/** The values of every result, and which kernels were called. */
function valuesOf(compute: () => object): { values: Record<string, Float32Array>; kernels: string[] } {
  const run = vi.spyOn(tf.engine(), 'runKernel');
  const results = Object.entries(compute() as Record<string, tf.Tensor>);
  const kernels = run.mock.calls.map(([name]) => name);
  run.mockRestore();
  return { values: Object.fromEntries(results.map(([key, x]) => [key, x.dataSync<'float32'>()])), kernels };
}

const bitsOf = ({ values }: ReturnType<typeof valuesOf>) =>
  Object.entries(values).map(([name, x]) => [name, Buffer.from(x.buffer, x.byteOffset, x.byteLength).toString('hex')]);

/** Update and adjoint by the kernels, after checking that the ops give the same bits. */
function sameBits(settings: AdamwSettings, { p, m, v, g }: AdamwLeaf & { g: tf.Tensor }, bar: AdamwLeaf) {
  const update = () => updateLeaf(settings, 3, { p, m, v }, g);
  const adjoint = () => adjointLeaf(settings, 3, { m, v }, g, bar);
  const fused = [update, adjoint].map(valuesOf);
  expect(fused.map(({ kernels }) => kernels)).toEqual([['AdamwUpdate'], ['AdamwAdjoint']]);
  const plain = withoutKernels(() => [update, adjoint].map(valuesOf));
  expect(plain[0].kernels.length).toBeGreaterThan(10);
  expect(fused.map(bitsOf)).toEqual(plain.map(bitsOf));
  return fused.map(({ values }) => values);
}

describe.each(['wasm', 'cpu'] as const)('on %s', (backend) => {
  beforeAll(async () => {
    await useBackend(backend);
    (backend === 'wasm' ? installWasmKernels : installCpuKernels)();
  });

  it.each([[[1]], [[7]], [[64, 3]], [[33, 31]], [[66000]]])('update and adjoint of %j', (shape) => {
    const [p, m, g, pBar, mBar, vBar] = [1, 0.01, 0.01, 1, 1, 1].map((scale) => normal(shape, scale));
    const v = tf.square(normal(shape, 0.01));
    sameBits(settings, { p, m, v, g }, { p: pBar, m: mBar, v: vBar });
  });

  it.each([
    ['eps 1e-8', 1e-8],
    ['eps 0', 0],
  ])('epsRoot 0, %s: where no gradient has been, the step is 0 and so is what is paid for it; elsewhere as ever', (_, eps) => {
    const zeros = { p: normal([5], 1), m: tf.zeros([5]), v: tf.zeros([5]), g: tf.zeros([5]) };
    const bar = { p: normal([5], 1), m: tf.zeros([5]), v: normal([5], 1) };
    const still = { ...settings, eps, epsRoot: 0, weightDecay: 0 };
    const [update, adjoint] = sameBits(still, zeros, bar);
    expect(update.p).toEqual(zeros.p.dataSync());
    const direct = eps
      ? bar.p.dataSync<'float32'>().map((x) => (-0.1 * (still.learningRate / (1 - 0.9 ** 3)) * x) / eps)
      : new Float32Array(5);
    expect(adjoint.g).toBeAllClose(direct, { atol: eps ? 1 : 0 }); // the update's own slope, lr/eps, and nothing of 0/0
    expect(adjoint.p).toEqual(bar.p.dataSync());
    const [moving] = sameBits(still, { ...zeros, m: tf.fill([5], 2), v: tf.fill([5], 4), g: tf.fill([5], 2) }, bar);
    expect(moving.p).not.toEqual(zeros.p.dataSync());
  });
});
