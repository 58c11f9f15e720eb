/** Whatever throws on the way: no tensor is left behind. */
/* eslint-disable @typescript-eslint/unbound-method -- the methods replaced here do not read `this` */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { startTraining, train } from '../../src/dpg/train';
import { validate } from '../../src/dpg/validate';
import type { Experiment } from '../../src/dpg/experiment';
import { fineTune } from '../../src/learn/fineTune';
import { metagradient } from '../../src/learn/metagradient';
import type { Objective } from '../../src/learn/objective';
import { adamw, type Optimizer } from '../../src/learn/optimizer';
import { tapeModel } from '../../src/model/tape/tape';
import type { LanguageModel } from '../../src/model/types';
import { naiveReward } from '../../src/reward/naive';
import { plainTraining } from '../../src/reward/metagradient';
import type { Params } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { useBackend } from '../support/backend';
import { TINY, tinyExperiment } from '../support/tinyExperiment';

beforeAll(() => useBackend('cpu'));

/** Calls as ever, but for the one with that number, counted from 1, which throws or whose result is spoilt. */
function failing<A extends unknown[], R>(call: (...args: A) => R, at: number, spoil?: (result: Awaited<R>) => void) {
  let count = 0;
  return ((...args: A) => {
    if (++count !== at) return call(...args);
    if (!spoil) throw new Error('no more');
    return Promise.resolve(call(...args)).then((result) => (spoil(result as Awaited<R>), result));
  }) as typeof call;
}

const norm = (params: Params) => tf.neg(tf.norm(params['lm_head.weight']));
/** Has made tensors by then, which the tape remembers. */
const normThatFails = (at: number) => {
  const check = failing((x: tf.Tensor) => x, at);
  return (params: Params) => check(tf.sqrt(tf.sum(tf.square(params['lm_head.weight']))));
};
const examples = Array.from({ length: 8 }, (_, i) => [i % 7, (3 * i) % 7, 2]);
const optimizer = adamw({ learningRate: 1e-2 });

interface Parts {
  model: LanguageModel;
  optimizer: Optimizer;
  objective: Objective;
}
const parts = (): Parts => ({ model: { ...tapeModel(TINY, { microbatch: 1 }) }, optimizer: { ...optimizer }, objective: norm });

const FAULTS: [string, (p: Parts) => void][] = [
  ['an engine’s gradient', ({ model }) => (model.gradient = failing(model.gradient, 3))],
  ['a loss of NaN', ({ model }) => (model.gradient = failing(model.gradient, 3, ({ losses }) => losses.fill(NaN)))],
  ['an optimizer', ({ optimizer }) => (optimizer.update = failing(optimizer.update, 3))],
  ['Φ at the first look', (p) => (p.objective = normThatFails(2))],
  ['Φ when it is differentiated', (p) => (p.objective = normThatFails(3))],
  ['Φ that has a gradient', (p) => (p.objective = { valueAndGradient: failing(() => Promise.reject(new Error()), 1) })],
];
const BACKWARDS: typeof FAULTS = [
  ['a tangent of infinity', ({ model: m }) => (m.hessianVectorProduct = failing(m.hessianVectorProduct, 2, spoilt))],
  ['an engine’s product', ({ model: m }) => (m.hessianVectorProduct = failing(m.hessianVectorProduct, 2))],
  ['the adjoint of an optimizer', ({ optimizer }) => (optimizer.adjoint = failing(optimizer.adjoint, 3))],
  ['a gradient when states are computed again', ({ model }) => (model.gradient = failing(model.gradient, 6))],
  ['the check of rounding', ({ model }) => (model.gradient = failing(model.gradient, 5))],
];
const spoilt = ({ tokenTangents }: { tokenTangents: Float32Array }) => tokenTangents.fill(Infinity);

/** Runs what has to throw, and counts tensors. */
async function leavesNothing(run: () => Promise<unknown>): Promise<void> {
  const before = tf.memory().numTensors;
  await expect(run()).rejects.toThrow();
  expect(tf.memory().numTensors).toBe(before);
}

describe('four steps of fine-tuning', () => {
  let params: Params;
  beforeAll(() => void ({ params } = tinyExperiment().target));

  it.each([...FAULTS, ...BACKWARDS])('%s: metagradient', async (_, breakIt) => {
    const own = parts();
    breakIt(own);
    await leavesNothing(() => metagradient({ ...own, params, examples, batchSize: 2, checkRounding: true }));
  });

  it.each(FAULTS.slice(0, 3))('%s: fineTune', async (_, breakIt) => {
    const own = parts();
    breakIt(own);
    await leavesNothing(() => fineTune({ ...own, params, examples, batchSize: 2 }));
  });

  it.each(FAULTS)('%s: plainTraining, and naive reward at its second data set', async (_, breakIt) => {
    const [own, second] = [parts(), parts()];
    breakIt(own);
    await leavesNothing(() => plainTraining({ ...own, params, innerSteps: 4, sequenceLength: 4 }, examples));
    second.model.gradient = failing(second.model.gradient, 6);
    const reward = naiveReward({ ...second, params, innerSteps: 4, sequenceLength: 4 });
    await leavesNothing(() => reward(examples, 2, randomStream(1, 'batches')));
  });

  it('a microbatch of the tape', async () => {
    const { model } = parts();
    const shortened = { ...params, 'lm_head.weight': tf.zeros([TINY.vocab_size, 3]) }; // fits nothing, which the tape learns at its end
    await leavesNothing(() => fineTune({ model, optimizer, params: shortened, examples, batchSize: 2 }));
    shortened['lm_head.weight'].dispose();
  });
});

describe('a step of an experiment, and its validation', () => {
  /** The experiment with parts of it replaced. */
  const changed = (change: (e: Experiment) => Partial<Experiment>): Experiment => {
    const experiment = tinyExperiment({ innerSteps: 2, epochs: 2 });
    return { ...experiment, ...change(experiment) };
  };
  const withGenerator = ({ generator }: Experiment, own: Partial<LanguageModel>) => ({
    generator: { ...generator, model: { ...generator.model, ...own } },
  });
  const observe = () => Promise.reject(new Error('cannot see'));
  const policyGradient = (e: Experiment, spoil?: (result: { gradient: Params }) => void) =>
    withGenerator(e, { policyGradient: failing(e.generator.model.policyGradient, 4, spoil) });
  const nan = ({ gradient }: { gradient: Params }) => {
    gradient['lm_head.weight'].dispose();
    gradient['lm_head.weight'] = tf.fill([TINY.vocab_size, TINY.n_embd], NaN);
  };

  it.each<[string, (e: Experiment) => Partial<Experiment>]>([
    ['observe', () => ({ observe })],
    ['a misspelt parameter', () => ({ objective: (params: Params) => tf.sum(params.lm_heat) })],
    ['the generator’s engine', (e) => policyGradient(e)],
    ['a policy gradient of NaN', (e) => policyGradient(e, nan)],
    ['a reward of too few', () => ({ reward: () => async () => Promise.reject(new Error('none')) })],
  ])('%s', async (_, change) => {
    const experiment = changed(change);
    const state = startTraining(experiment);
    await leavesNothing(async () => {
      for await (const step of train({ ...experiment, state })) expect(step).toBeUndefined();
    });
    expect(state.step).toBe(0);
  });

  it.each<[string, (e: Experiment) => Partial<Experiment>]>([
    ['observe', () => ({ observe })],
    ['a misspelt parameter', () => ({ objective: (params: Params) => tf.sum(params.lm_heat) })],
  ])('of validation: %s', async (_, change) => {
    const experiment = changed(change);
    await leavesNothing(() => validate(experiment));
  });
});

describe('a misspelt parameter', () => {
  it('is told before anything is trained', async () => {
    const own = parts();
    own.model.gradient = failing(own.model.gradient, 1);
    const { params } = tinyExperiment().target;
    const setting = { ...own, params, examples, objective: (p: Params) => tf.sum(p['lm_head.wieght']) };
    await expect(metagradient({ ...setting, batchSize: 2 })).rejects.toThrow('the objective reads "lm_head.wieght"');
    const training = plainTraining({ ...setting, innerSteps: 4, sequenceLength: 4 }, examples);
    await expect(training).rejects.toThrow('the objective reads "lm_head.wieght"');
  });
});
