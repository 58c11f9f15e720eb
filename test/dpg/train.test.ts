import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/dpg/config';
import type { Experiment, Observed } from '../../src/dpg/experiment';
import { rewardOf } from '../../src/dpg/inner';
import { validate } from '../../src/dpg/validate';
import { startTraining, train, type TrainerState, type TrainStep } from '../../src/dpg/train';
import { sgd, type Optimizer } from '../../src/learn/optimizer';
import type { Objective } from '../../src/learn/objective';
import { tapeGpt2 } from '../../src/model/tape/tape';
import { exampleAdvantages, tokenAdvantages } from '../../src/policy/advantages';
import { responsesOf } from '../../src/policy/rollouts';
import { scoredReward } from '../../src/reward/scored';
import { cloneParams, disposeParams } from '../../src/tensor/params';
import { randomStream, restoreStream } from '../../src/tensor/random';
import { useBackend } from '../support/backend';
import { TINY, tinyExperiment, valuesOf } from '../support/tinyExperiment';

beforeAll(() => useBackend('cpu'));

/** Steps until the loop ends by itself or `count` are there. */
async function run(
  experiment: Experiment,
  state: TrainerState = startTraining(experiment),
  count = Infinity,
): Promise<TrainStep[]> {
  const steps: TrainStep[] = [];
  for await (const step of train({ ...experiment, state })) if (steps.push(step) >= count) break;
  return steps;
}

/** Rows without the clock. */
const rowsOf = (steps: readonly TrainStep[]) => steps.map(({ row: { seconds: _, ...row } }) => row);

const variants: Record<string, ConfigInput> = {
  'example-level': {},
  'token-level, robust, several inner steps': {
    credit: 'token',
    discount: 0.5,
    advantageScale: 'robust',
    advantageClip: 4,
    innerSteps: 4,
  },
  'both credits': { credit: 'both', advantageScale: 'robust' },
  'cross-group batching off, two epochs, KL': { crossGroupBatching: false, innerSteps: 3, epochs: 2, klCoef: 0.1 },
  'naive, sgd, group scale': { reward: 'naive', innerOptimizer: 'sgd', innerLearningRate: 0.1, advantageScale: 'group' },
};

it('takes the settings of each step where they change along the run', async () => {
  const experiment = tinyExperiment({ credit: 'token', discount: 0.5, steps: 4 });
  const steps = await run({ ...experiment, configAt: (step) => (step < 2 ? { credit: 'example' } : {}) });
  const perResponse = steps.map(({ advantages, rollouts: { mask, maxNewTokens } }) =>
    advantages.every((a, cell) => mask[cell] === 0 || a === advantages[cell - (cell % maxNewTokens)]),
  );
  expect(perResponse).toEqual([true, true, false, false]);
});

it('adds the advantages of responses and of tokens where credit is both', async () => {
  const [both, example, token] = await Promise.all(
    (['both', 'example', 'token'] as const).map(
      async (credit) => (await run(tinyExperiment({ credit, discount: 0.5, steps: 1 })))[0],
    ),
  );
  expect(both.advantages).toBeAllClose(
    example.advantages.map((a, cell) => a + token.advantages[cell]),
    { atol: 1e-5 },
  );
});

it.each<[string, ...ConfigInput[]]>([
  [
    'entropyCoef falls',
    { entropyCoef: 0.2, entropyCoefEnd: 0.1 },
    { entropyCoef: 0.2 },
    { entropyCoef: 0.15 },
    { entropyCoef: 0.1 },
  ],
  [
    'innerLearningRate rises',
    { innerLearningRate: 0.01, innerLearningRateEnd: 0.02 },
    { innerLearningRate: 0.01 },
    { innerLearningRate: 0.015 },
    { innerLearningRate: 0.02 },
  ],
  [
    'learningRate falls',
    { learningRate: 0.02, learningRateEnd: 0.01 },
    { learningRate: 0.02 },
    { learningRate: 0.015 },
    { learningRate: 0.01 },
  ],
])('%s linearly, from its first value at the first step to its last at the last', async (_, scheduled, ...atSteps) => {
  const make = (config: ConfigInput) => tinyExperiment({ steps: 3, ...config });
  const state = startTraining(make(atSteps[0]));
  const expected: TrainStep[] = [];
  for (const config of atSteps) expected.push(...(await run(make(config), state, 1)));
  expect(rowsOf(await run(make(scheduled)))).toEqual(rowsOf(expected));
  expect(rowsOf(await run(make(atSteps[0])))).not.toEqual(rowsOf(expected));
});

it('hands the step’s own fine-tuning to a reward that an experiment brings', async () => {
  const experiment = tinyExperiment({ steps: 3, innerLearningRate: 0.015, innerLearningRateEnd: 0.03, innerSteps: 2 });
  const strengths: number[] = [];
  const seen: [number, number][] = [];
  const own: Experiment = {
    ...experiment,
    objective: { at: (step) => (strengths.push(step), experiment.objective as Objective) },
    configAt: (step) => (step === 0 ? { innerSteps: 1 } : {}),
    reward: (inner) => {
      const gradient = { w: tf.tensor1d([1]) };
      const { params } = inner.optimizer.update(inner.optimizer.init({ w: tf.tensor1d([0]) }), gradient);
      seen.push([inner.innerSteps, -params.w.dataSync()[0]]);
      return scoredReward(inner, (responses) => Float32Array.from(responses, (response, i) => response.length + i));
    },
  };
  const rows = await run({ ...own, config: { ...own.config, innerOptimizer: 'sgd' } });
  expect(strengths).toEqual([0, 1, 2]);
  expect(seen).toEqual([[1, expect.closeTo(0.015, 6)], [2, expect.closeTo(0.0225, 6)], [2, expect.closeTo(0.03, 6)]]); // prettier-ignore
  expect(rows).toHaveLength(3);
});

describe.each(Object.entries(variants))('the loop, %s', (_, variant) => {
  it('is the same for the same seed, bit for bit, and another for another', async () => {
    const [first, again, other] = [3, 3, 4].map((seed) => tinyExperiment({ ...variant, seed }));
    const rows = rowsOf(await run(first));
    expect(rows.map(({ step }) => step)).toEqual([1, 2, 3, 4]);
    expect(rowsOf(await run(again))).toEqual(rows);
    expect(rowsOf(await run(other, undefined, 1))[0].phi).not.toBe(rows[0].phi);
    for (const row of rows) expect(Object.entries(row).filter(([, x]) => !Number.isFinite(x))).toEqual([]);
  });

  it('holds as many tensors after every step', async () => {
    const experiment = tinyExperiment(variant);
    const state = startTraining(experiment);
    const counts = [tf.memory().numTensors];
    for await (const { row } of train({ ...experiment, state })) counts[row.step] = tf.memory().numTensors;
    expect(counts).toEqual(new Array(5).fill(counts[0]));
  });
});

describe('a field of an experiment that is replaced in a copy', () => {
  const sharpening = (): Experiment => {
    const experiment = tinyExperiment({ steps: 2 });
    return { ...experiment, objective: { at: () => experiment.objective as Objective } };
  };
  const halfNorm: Objective = (params) => tf.mul(tf.norm(params['lm_head.weight']), -0.5);
  const tunedNorm = ({ tuned }: Observed) => ({ metrics: { half_norm: -0.5 * tf.norm(tuned['lm_head.weight']).dataSync()[0] } });

  it('objective and observe: are what is trained and what is validated', async () => {
    const experiment = { ...sharpening(), objective: halfNorm, observe: tunedNorm };
    const [{ row }] = await run(experiment, undefined, 1);
    expect(row.phi).toBeCloseTo(row.half_norm, 5);
    const { phi, metrics, tuned } = await validate(experiment);
    expect(phi).toBeCloseTo(metrics.half_norm, 5);
    disposeParams(tuned);
  });

  it('a scheduled objective: validation takes that of the last step', async () => {
    const experiment = sharpening();
    const at =
      (step: number, steps: number): Objective =>
      (params) =>
        tf.add(halfNorm(params) as tf.Tensor, 100 * step + steps);
    const scheduled = { ...experiment, objective: { at }, observe: tunedNorm };
    const rows = await run(scheduled);
    const { phi, metrics, tuned } = await validate(scheduled);
    disposeParams(tuned);
    const offsets = [...rows.map(({ row }) => row.phi - row.half_norm), phi - metrics.half_norm];
    expect(offsets.map((x) => Math.round(x))).toEqual([2, 102, 102]);
  });

  it('optimizer: fine-tunes the target in both', async () => {
    const experiment = tinyExperiment();
    const optimizer: Optimizer = {
      ...sgd({ learningRate: 1 }),
      update: (state) => ({ ...state, params: cloneParams(state.params), step: state.step + 1 }),
    };
    const still = { ...experiment, optimizer };
    const initial = valuesOf(experiment.target.params);
    const tuned: unknown[] = [];
    const observe: Experiment['observe'] = (observed) => (tuned.push(valuesOf(observed.tuned)), { metrics: {} });
    await run({ ...still, observe }, undefined, 1);
    disposeParams((await validate({ ...still, observe })).tuned);
    expect(tuned).toEqual([initial, initial]);
  });

  it('reward: is what rollouts are paid', async () => {
    const reward: Experiment['reward'] = (inner) => scoredReward(inner, (all) => Float32Array.from(all, (_, i) => i % 3));
    const [{ rewards }] = await run({ ...tinyExperiment(), reward }, undefined, 1);
    expect([...rewards.subarray(0, 4)]).toEqual([0, 1, 2, 0]);
  });
});

describe('a step', () => {
  it('is made of the rollouts, rewards and advantages that it shows', async () => {
    const experiment = tinyExperiment();
    const state = startTraining(experiment);
    const batches = restoreStream(state.streams.batches.state());
    const [{ row, rollouts, rewards, advantages, image }] = await run(experiment, state, 1);
    const again = await rewardOf(experiment)(responsesOf(rollouts), 4, batches);
    expect(again.values).toEqual(rewards);
    expect(row.phi).toBe(again.phi);
    const { values } = exampleAdvantages(rewards, 4, { scale: 'batch', clip: 1e6 });
    expect(advantages).toEqual(rollouts.mask.map((m, cell) => m * values[Math.floor(cell / 5)]));
    const mean = rewards.reduce((a, b) => a + b) / 24;
    expect(row.reward).toBeCloseTo(mean, 10);
    expect(row.reward_std).toBeCloseTo(Math.sqrt(rewards.reduce((sum, r) => sum + (r - mean) ** 2, 0) / 24), 10);
    const lengths = responsesOf(rollouts).map((response) => response.length);
    expect(row['completions/mean_length']).toBeCloseTo(lengths.reduce((a, b) => a + b) / 24, 10);
    const observed = await experiment.observe({ tuned: again.tuned, examples: [], phi: again.phi });
    expect(row).toMatchObject({ ...observed.metrics, target_loss_first: again.targetLossFirst });
    expect(image).toEqual(observed.image);
    disposeParams(again.tuned);
  });

  it('at token level credits the tokens that the metagradient credits', async () => {
    const experiment = tinyExperiment({ credit: 'token', discount: 0.5 });
    const state = startTraining(experiment);
    const batches = restoreStream(state.streams.batches.state());
    const [{ rollouts, advantages }] = await run(experiment, state, 1);
    const { tokens, tuned } = await rewardOf(experiment)(responsesOf(rollouts), 4, batches);
    disposeParams(tuned);
    expect(advantages).toEqual(tokenAdvantages(tokens!, rollouts.mask, 5, 0.5, { scale: 'batch', clip: 1e6 }));
  });

  it('starts from the same target every time and leaves both initial models as they are', async () => {
    const experiment = tinyExperiment();
    const before = [experiment.generator, experiment.target].map(({ params }) => valuesOf(params));
    const fixed = [[1, 2, 3], [4, 5, 6]]; // prettier-ignore
    const phis: number[] = [];
    const reward: Experiment['reward'] =
      () =>
      async (...rest) => {
        const { phi, tuned } = await rewardOf(experiment)(fixed, 2, randomStream(0, 'fixed'));
        disposeParams(tuned);
        phis.push(phi);
        return rewardOf(experiment)(...rest);
      };
    await run({ ...experiment, reward });
    expect(phis).toEqual(new Array(4).fill(phis[0]));
    expect([experiment.generator, experiment.target].map(({ params }) => valuesOf(params))).toEqual(before);
  });

  it('changes the generator in the direction of Φ over many steps', async () => {
    const experiment = tinyExperiment({ steps: 30, prompts: 16 });
    const phis = (await run(experiment)).map(({ row }) => row.phi);
    const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
    expect(mean(phis.slice(-5))).toBeGreaterThan(mean(phis.slice(0, 5)));
  });

  it('runs on the tape engine as well, with the same numbers up to rounding', async () => {
    const fused = tinyExperiment();
    const model = tapeGpt2(TINY);
    const tape = { ...fused, generator: { ...fused.generator, model }, target: { ...fused.target, model } };
    const [[a], [b]] = [await run(fused, undefined, 1), await run(tape, undefined, 1)];
    expect(b.rollouts.ids).toEqual(a.rollouts.ids);
    expect(b.rewards).toBeAllClose(a.rewards, { rtol: 1e-3 });
    expect([b.row.phi, b.row.entropy]).toBeAllClose([a.row.phi, a.row.entropy], { rtol: 1e-4 });
  });
});

describe('the end of the loop', () => {
  it('comes after the running step when the signal aborts, and the state goes on as if it had never stopped', async () => {
    const whole = rowsOf(await run(tinyExperiment({ steps: 5 })));
    const experiment = tinyExperiment({ steps: 5 });
    const state = startTraining(experiment);
    const stop = new AbortController();
    const steps: TrainStep[] = [];
    for await (const step of train({ ...experiment, state, signal: stop.signal })) if (steps.push(step) === 2) stop.abort();
    expect(steps).toHaveLength(2);
    for await (const step of train({ ...experiment, state })) if (steps.push(step) === 4) break; // left early
    expect(state.step).toBe(4);
    steps.push(...(await run(experiment, state)));
    expect(rowsOf(steps)).toEqual(whole);
    expect(await run(experiment, state)).toEqual([]);
  });

  it('comes after stopAfterDone steps in a row that are done', async () => {
    const done = [false, true, true, false, true, true, true, true];
    let at = 0;
    const observe = () => ({ metrics: {}, done: done[at++] });
    const experiment = { ...tinyExperiment({ steps: 8, stopAfterDone: 3 }), observe };
    const state = startTraining(experiment);
    expect((await run(experiment, state)).map(({ left }) => left)).toEqual([7, 2, 1, 4, 2, 1, 0]);
    expect(await run(experiment, state)).toEqual([]);
    at = 0;
    expect(await run({ ...tinyExperiment({ steps: 8, stopAfterDone: 0 }), observe })).toHaveLength(8);
    at = 0;
    expect(await run({ ...tinyExperiment({ steps: 8 }), observe })).toHaveLength(2);
  });

  it('comes with the error of a step that fails; the state is that of the last whole step', async () => {
    const whole = rowsOf(await run(tinyExperiment()));
    const experiment = tinyExperiment();
    const state = startTraining(experiment);
    let calls = 0;
    const failing: Experiment = {
      ...experiment,
      reward:
        () =>
        async (...rest) => {
          const rewards = await rewardOf(experiment)(...rest);
          if (++calls === 3) rewards.values[2] = NaN;
          return rewards;
        },
    };
    const steps: TrainStep[] = [];
    await expect(async () => {
      for await (const step of train({ ...failing, state })) steps.push(step);
    }).rejects.toThrow('reward 2 is NaN');
    expect([steps.length, state.step]).toEqual([2, 2]);
    steps.push(...(await run(experiment, state)));
    expect(rowsOf(steps)).toEqual(whole);
  });
});

describe('bad input', () => {
  it.each<[string, Partial<Experiment>, string]>([
    ['an objective that is NaN', { objective: ({ 'lm_head.weight': w }) => tf.sum(tf.log(w)) }, 'the objective returned NaN'],
    ['an unknown parameter', { objective: (p) => tf.sum(p.lm_head) }, 'reads "lm_head", which is no parameter of this model'],
    [
      'prompts that are too long',
      { prompts: (_, n) => Array.from({ length: n }, () => new Array<number>(8).fill(1)) },
      "prompt (8) and response (5 tokens) exceed the generator's 12 positions",
    ],
    [
      'a token outside the vocabulary',
      { prompts: (_, n) => Array.from({ length: n }, () => [1, 99]) },
      'token id 99 is outside the vocabulary of 11',
    ],
  ])('%s stops the run', async (_, change, message) => {
    await expect(run({ ...tinyExperiment(), ...change })).rejects.toThrow(message);
  });

  it('responses longer than the target’s positions stop the run', async () => {
    const experiment = tinyExperiment({ maxNewTokens: 8 });
    const short = tapeGpt2({ ...TINY, n_positions: 6 });
    await expect(run({ ...experiment, target: { ...experiment.target, model: short } })).rejects.toThrow(
      "sequenceLength 7 exceeds the model's 6 positions",
    );
  });
});
