/** tfjs on a GPU by WebGPU: reading at once, the tape's metagradient; training with the fused engine there. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { Experiment } from '../../src/dpg/experiment';
import { startTraining, train, type TrainStep } from '../../src/dpg/train';
import { runCase } from '../../src/experiments/metagradientSpec';
import { gpt2 } from '../../src/model/engine';
import { tapeModel } from '../../src/model/tape/tape';
import { describeBackend, startBackend } from '../../src/tensor/backend';
import { referenceCases, referenceModel } from '../support/reference';
import { TINY, tinyExperiment } from '../support/tinyExperiment';
import { regressionSlope, relativeError } from '../setup';

let missing: string | undefined;
beforeAll(async () => {
  vi.stubEnv('DPG_BACKEND', 'webgpu');
  missing = await startBackend().then(
    (choice) => void console.log(describeBackend(choice)),
    (error: Error) => error.message,
  );
  if (missing) console.log(`skipped: ${missing}`);
});
beforeEach(({ skip }) => {
  if (missing) skip(missing);
});

/** A tensor that only the GPU has. */
const product = (size: number): tf.Tensor2D => tf.tidy(() => tf.matMul(tf.fill([size, size], 2), tf.eye(size)));

test('values come at once, of every type and size, and again', async () => {
  for (const size of [64, 300]) {
    const x = product(size);
    expect(x.dataSync()).toEqual(new Float32Array(size * size).fill(2));
    expect(x.dataSync()).toEqual(await x.data());
  }
  const x = product(64);
  expect(tf.cast(x, 'int32').dataSync()).toEqual(new Int32Array(64 * 64).fill(2));
  expect(tf.greater(x, tf.fill([64, 64], 1.5)).dataSync()).toEqual(new Uint8Array(64 * 64).fill(1));
  expect(tf.complex(x, x).dataSync()).toEqual(new Float32Array(2 * 64 * 64).fill(2));
});

test('promises give the same, and reading at once goes on while they are awaited', async () => {
  const promised = Promise.all([product(70).data(), product(90).data()]);
  expect(product(80).dataSync()[0]).toBe(2);
  expect((await promised).map(([first]) => first)).toEqual([2, 2]);
  expect(product(100).dataSync()[0]).toBe(2);
});

test('while Dawn awaits something else, reading is refused with the way out', async () => {
  const { device } = tf.backend() as unknown as { device: { queue: { onSubmittedWorkDone(): Promise<void> } } };
  product(64).dataSync();
  const done = device.queue.onSubmittedWorkDone();
  expect(() => product(110).dataSync()).toThrow('await that first');
  await done;
  await new Promise(setImmediate);
  expect(product(120).dataSync()[0]).toBe(2);
});

test.each(referenceCases.filter(({ spec }) => spec.batches.length <= 4))(
  'metagradient of $spec.name equals unrolled float64 autograd in value and scale',
  async ({ spec, expected }) => {
    const { config, params } = referenceModel();
    const model = tapeModel(config);
    expect(model.engine).toBe('tape on webgpu');
    const { phi, tau, trainLosses } = await runCase(spec, model, params);
    expect(phi).toBeCloseTo(expected.phi, 4);
    expect(trainLosses).toBeAllClose(expected.train_losses, { rtol: 1e-5 });
    expect(relativeError(tau.flat(), expected.tau.flat())).toBeLessThanOrEqual(1e-3);
    expect(Math.abs(regressionSlope(tau.flat(), expected.tau.flat()) - 1)).toBeLessThanOrEqual(1e-2);
  },
);

test('a GRPO step gives the numbers of the CPU', async () => {
  const fused = tinyExperiment();
  const model = gpt2(TINY);
  expect(model.engine).toMatch(/^fused on /);
  const onGpu = { ...fused, generator: { ...fused.generator, model }, target: { ...fused.target, model } };
  const step = async (experiment: Experiment): Promise<TrainStep> => {
    for await (const first of train({ ...experiment, state: startTraining(experiment) })) return first;
    throw new Error('no step');
  };
  const [a, b] = [await step(fused), await step(onGpu)];
  expect(b.rollouts.ids).toEqual(a.rollouts.ids);
  expect(b.rewards).toBeAllClose(a.rewards, { rtol: 1e-3 });
  expect([b.row.phi, b.row.entropy]).toBeAllClose([a.row.phi, a.row.entropy], { rtol: 1e-4 });
});
