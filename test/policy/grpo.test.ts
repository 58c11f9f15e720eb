import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { adamw, disposeState, sgd, type Optimizer, type TrainingState } from '../../src/learn/optimizer';
import { fusedModel } from '../../src/model/fused';
import type { LanguageModel, TokenBatch } from '../../src/model/types';
import { grpoUpdate, type GrpoOptions, type GrpoUpdate } from '../../src/policy/grpo';
import { policyBatch, rollout, type Rollouts } from '../../src/policy/rollouts';
import { cloneParams, globalNorm, type Params } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { useBackend } from '../support/backend';
import { END, TINY, tinyParams, tinyPrompts, valuesOf } from '../support/tinyExperiment';

const [GROUP, SIZE, WIDTH] = [4, 20, 5];
const everyone = Int32Array.from({ length: SIZE }, (_, i) => i);
const plain: GrpoOptions = {
  ...{ epochs: 1, minibatch: SIZE, clip: 0.2, klCoef: 0, entropyCoef: 0, maxGradientNorm: 1e6, temperature: 1 },
};
let params: Params;
let model: LanguageModel;
let rollouts: Rollouts;
/** +1 for the first half of every group, −1 for the second. */
let advantages: Float32Array;

beforeAll(async () => {
  await useBackend('cpu');
  params = tinyParams(1);
  model = fusedModel(TINY, { workers: 0 });
  const prompts = tinyPrompts(SIZE / GROUP, 3, randomStream(1, 'prompts'));
  const random = randomStream(1, 'sampling');
  rollouts = await rollout({
    model,
    params,
    prompts,
    group: GROUP,
    maxNewTokens: WIDTH,
    temperature: 1,
    endTokens: [END],
    random,
  });
  advantages = rollouts.mask.map((m, cell) => m * (Math.floor(cell / WIDTH) % GROUP < GROUP / 2 ? 1 : -1));
});

type Changes = Partial<Omit<GrpoUpdate, 'options'>> & { options?: Partial<GrpoOptions> };
function update({ options, ...more }: Changes = {}): ReturnType<typeof grpoUpdate> {
  const optimizer = more.optimizer ?? sgd({ learningRate: 0.05 });
  const random = randomStream(1, 'minibatches');
  const state = more.state ?? optimizer.init(params);
  const fixed = { model, reference: params, rollouts, advantages, random };
  return grpoUpdate({ ...fixed, ...more, optimizer, state, options: { ...plain, ...options } });
}

/** log π of every response. */
async function responseLogProbs(at: Params): Promise<number[]> {
  const batch = policyBatch(rollouts, everyone);
  const cells = await model.logProbs(at, batch);
  return Array.from(everyone, (i) => cells.subarray(i * batch.length, (i + 1) * batch.length).reduce((a, b) => a + b, 0));
}

/** Mean over the responses for which `chosen` holds. */
const meanOf = (values: number[], chosen: (i: number) => boolean): number => {
  const some = values.filter((_, i) => chosen(i));
  return some.reduce((a, b) => a + b, 0) / some.length;
};

/** A model that notes the batches it is asked the policy gradient of, and may spoil the `broken`-th. */
function spy(broken = Infinity): LanguageModel & { readonly batches: TokenBatch[] } {
  const batches: TokenBatch[] = [];
  return {
    ...model,
    batches,
    async policyGradient(at, batch, terms) {
      const advantages = batches.push(batch) >= broken ? terms.advantages.map(() => NaN) : terms.advantages;
      return model.policyGradient(at, batch, { ...terms, advantages });
    },
  };
}

/** Plain gradient descent that notes the norms of the gradients it gets. */
function noting(norms: number[]): Optimizer {
  const inner = sgd({ learningRate: 0.05 });
  return { ...inner, update: (state, gradient) => (norms.push(globalNorm(gradient)), inner.update(state, gradient)) };
}

describe('a GRPO update', () => {
  it('raises the probability of responses with a positive advantage and lowers that of the others', async () => {
    const { state } = await update();
    const [before, after] = [await responseLogProbs(params), await responseLogProbs(state.params)];
    const change = after.map((lp, i) => lp - before[i]);
    expect(meanOf(change, (i) => advantages[i * WIDTH] > 0)).toBeGreaterThan(0.01);
    expect(meanOf(change, (i) => advantages[i * WIDTH] < 0)).toBeLessThan(-0.01);
  });

  it('starts at ratio 1 and is clipped once it has moved away', async () => {
    expect((await update()).metrics).toMatchObject({ 'clip_ratio/region_mean': 0, kl: 0 });
    const { metrics } = await update({ optimizer: sgd({ learningRate: 2 }), options: { epochs: 3 } });
    expect(metrics['clip_ratio/region_mean']).toBeGreaterThan(0.05);
  });

  it('takes nothing from tokens without advantage', async () => {
    const { state, metrics } = await update({ advantages: new Float32Array(SIZE * WIDTH) });
    expect(metrics.grad_norm).toBe(0);
    expect(valuesOf(state.params)).toEqual(valuesOf(params));
  });

  it('is pulled towards the reference by klCoef, and away from certainty by entropyCoef', async () => {
    const none = { advantages: new Float32Array(SIZE * WIDTH) };
    const reference = tf.tidy(() => ({ ...params, 'lm_head.weight': tf.mul(params['lm_head.weight'], 1.3) }));
    const kl = async (options: Partial<GrpoOptions>) => {
      const { state } = await update({ ...none, reference, options });
      return (await update({ ...none, reference, state, options: { klCoef: 1e-9 } })).metrics.kl;
    };
    expect(await kl({ klCoef: 1 })).toBeLessThan(0.95 * (await kl({ klCoef: 0 })));
    const entropy = async (entropyCoef: number) => {
      const { state } = await update({ ...none, options: { entropyCoef } });
      return (await update({ ...none, state })).metrics.entropy;
    };
    expect(await entropy(1)).toBeGreaterThan((await entropy(0)) + 0.001);
  });

  it('shortens a gradient that is too long to maxGradientNorm, in its direction, and reports its length', async () => {
    const [free, cut]: number[][] = [[], []];
    const whole = await update({ optimizer: noting(free) });
    const limit = free[0] / 3;
    const short = await update({ optimizer: noting(cut), options: { maxGradientNorm: limit } });
    expect([whole.metrics.grad_norm, short.metrics.grad_norm]).toEqual([free[0], free[0]]);
    expect(cut[0]).toBeCloseTo(limit, 6);
    const move = ({ state }: { state: TrainingState }) =>
      Object.entries(valuesOf(state.params)).flatMap(([name, x]) => x.map((v, i) => v - valuesOf({ p: params[name] }).p[i]));
    const expected = move(whole).map((x) => x / 3);
    expect(move(short)).toBeAllClose(expected, { rtol: 1e-3 });
  });

  it('visits every rollout once an epoch, in a new order, in minibatches as even as can be', async () => {
    const observed = spy();
    await update({ model: observed, options: { epochs: 2, minibatch: 8 } });
    expect(observed.batches.map(({ size }) => size)).toEqual([6, 7, 7, 6, 7, 7]);
    const rows = observed.batches.flatMap(({ ids, size, length }) =>
      Array.from({ length: size }, (_, i) => ids.slice(i * (length + 1), (i + 1) * (length + 1)).join()),
    );
    const { ids, length } = policyBatch(rollouts, everyone);
    const all = Array.from(everyone, (i) => ids.slice(i * (length + 1), (i + 1) * (length + 1)).join());
    const [first, second] = [rows.slice(0, SIZE), rows.slice(SIZE)];
    for (const epoch of [first, second]) expect([...epoch].sort()).toEqual([...all].sort());
    expect(first).not.toEqual(second);
    expect(first).not.toEqual(all);
  });

  it('frees the old state and nothing else', async () => {
    const optimizer = adamw({ learningRate: 1e-3 });
    const state = optimizer.init(cloneParams(params));
    const before = tf.memory().numTensors;
    const { state: next } = await update({
      optimizer,
      state,
      options: { epochs: 2, minibatch: 8, klCoef: 0.1, maxGradientNorm: 0.01 },
    });
    expect(tf.memory().numTensors).toBe(before);
    expect(Object.values(state.params).every((x) => x.isDisposed)).toBe(true);
    expect(next.step).toBe(6);
    disposeState(next);
  });

  it('that fails on the way names what to change and leaves the state as it was', async () => {
    const optimizer = sgd({ learningRate: 0.05 });
    const state = optimizer.init(params);
    const failing = update({ model: spy(2), optimizer, state, options: { minibatch: 8 } });
    await expect(failing).rejects.toThrow("the policy gradient has norm NaN; lower the generator's learningRate");
    expect(valuesOf(state.params)).toEqual(valuesOf(params));
  });
});
