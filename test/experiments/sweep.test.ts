import fs from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseConfig, type ConfigInput } from '../../src/dpg/config';
import { makeExperiment, type Sweep } from '../../src/experiments/definition';
import { EXPERIMENTS } from '../../src/experiments/experiments';
import { readResults, resultsFile, tunedLearningRate, type ResultRow } from '../../src/runs/results';
import { missingRuns, runSweep, type SweepOptions, type Swept } from '../../src/experiments/sweep';
import { disposeTrainer, startTraining, train } from '../../src/dpg/train';
import { validate } from '../../src/dpg/validate';
import { disposeParams } from '../../src/tensor/params';
import { useBackend } from '../support/backend';

beforeAll(() => useBackend('wasm'));

const small = { prompts: 8, groupSize: 2, promptLength: 4, maxNewTokens: 6, minibatch: 16, heldOutExamples: 32 };
const sweep: Sweep = {
  examples: 64,
  tuningExamples: 32,
  every: 32,
  seeds: [0, 1],
  config: small,
  methods: [
    { name: 'adamw', config: {}, learningRates: [1e-6, 3e-3] },
    { name: 'large', config: { prompts: 16, innerSteps: 2 }, learningRates: [1e-3], seeds: [1] },
    { name: 'kl', config: { klCoef: 1 }, learningRates: 'adamw' },
  ],
};

const definition = EXPERIMENTS['sixty-seven'];

/** 67, of which each step is done, and a run would end after one. */
const swept: Swept = {
  ...definition,
  sweep,
  defaults: { ...definition.defaults, stopAfterDone: 1 },
  async make(config, actors) {
    const parts = await definition.make(config, actors);
    return { ...parts, observe: async (observed) => ({ ...(await parts.observe(observed)), done: true }) };
  },
};

async function rowsOf(options: SweepOptions = {}): Promise<ResultRow[]> {
  const rows: ResultRow[] = [];
  for await (const row of runSweep(swept, { workers: 1, ...options })) rows.push(row);
  return rows;
}

const shortName = ({ stage, method, seed }: ResultRow): string => `${stage} ${method} ${seed}`;
const withoutClock = ({ seconds: _, ...row }: ResultRow) => row;

describe('a sweep', () => {
  const tuned = ['tuning adamw 100', 'tuning adamw 100', 'reported adamw 0', 'reported adamw 1'];
  let rows: ResultRow[];
  beforeAll(async () => {
    rows = await rowsOf();
  }, 120_000);

  it('tunes every method’s learning rate where there is a choice, then reports every seed', () => {
    expect(rows.map(shortName)).toEqual([...tuned, 'reported large 1', 'reported kl 0', 'reported kl 1']);
    const best = tunedLearningRate(rows, 'adamw');
    for (const { stage, method, config } of rows)
      if (stage === 'reported') expect(config.learningRate).toBe(method === 'large' ? 1e-3 : best);
  });

  it('gives all methods as many examples, measured at the same moments', () => {
    for (const { stage, config, curve, held_out } of rows) {
      const examples = curve.map((point) => point.examples);
      expect(examples).toEqual(stage === 'tuning' ? [0, 32] : [0, 32, 64]);
      expect(config.steps! * config.prompts! * config.groupSize!).toBe(examples.at(-1));
      expect(curve.at(-1)).toEqual({ examples: examples.at(-1), ...held_out });
    }
  });

  it('reports what training and validation give', async () => {
    const row = rows.find((each) => shortName(each) === 'reported large 1')!;
    const experiment = await makeExperiment(swept, { ...row.config, stopAfterDone: 0, seed: 1, workers: 1 });
    const state = startTraining(experiment);
    for await (const step of train({ ...experiment, state })) expect(step.row.step).toBeLessThanOrEqual(2);
    const { phi, metrics, tuned } = await validate(experiment, state);
    expect(row.held_out).toMatchObject({ phi, ...metrics });
    expect(row.control!.phi).not.toBe(phi);
    disposeParams(tuned);
    disposeTrainer(state);
  });

  it('measures the reported seeds on the same held-out prompts, and tunes on others', () => {
    const first = (name: string): number => rows.find((row) => shortName(row) === name)!.curve[0].phi;
    expect(first('reported adamw 0')).toBe(first('reported adamw 1'));
    expect(first('tuning adamw 100')).not.toBe(first('reported adamw 0'));
  });

  it('does only what is missing or was configured otherwise, with the same result', { timeout: 120_000 }, async () => {
    expect(await rowsOf({ rows })).toEqual([]);
    const seed = rows.filter((row) => shortName(row) !== 'reported adamw 1');
    const again = await rowsOf({ rows: seed });
    expect(again.map(withoutClock)).toEqual(rows.filter((row) => !seed.includes(row)).map(withoutClock));
    const other = rows.map((row) => (row.method === 'kl' ? { ...row, config: { ...row.config, klCoef: 2 } } : row));
    expect((await rowsOf({ rows: other })).map(shortName)).toEqual(['reported kl 0', 'reported kl 1']);
  });

  it('takes some methods, seeds and stages', async () => {
    expect((await rowsOf({ only: ['large', 'adamw'], stages: ['tuning'] })).map(shortName)).toEqual(tuned.slice(0, 2));
    const tuning = rows.filter(({ stage }) => stage === 'tuning');
    const quick = await rowsOf({ rows: tuning, only: ['kl'], seeds: [7], examples: 32 });
    expect(quick.map(shortName)).toEqual(['reported kl 7']);
    expect(quick[0].curve.at(-1)?.examples).toBe(32);
  });

  it('names what it does not have', async () => {
    await expect(rowsOf({ only: ['lion'] })).rejects.toThrow(/no method "lion"; there are: adamw, large, kl/);
    await expect(rowsOf({ only: ['kl'] })).rejects.toThrow(/learning rate of "adamw" is not tuned/);
  });

  it('leaves no tensor behind', async () => {
    const count = tf.memory().numTensors;
    await rowsOf({ only: ['large'], seeds: [1] });
    expect(tf.memory().numTensors).toBe(count);
  });
});

const SWEPT = Object.values(EXPERIMENTS).filter((definition): definition is Swept => definition.sweep !== undefined);

describe.each(SWEPT)('the sweep of $name', ({ sweep: { methods, config, ...sizes }, ...definition }) => {
  it.each(methods)('comes out even for $name', (method) => {
    const { prompts, groupSize } = { ...config, ...method.config };
    const size = prompts * groupSize;
    for (const examples of [sizes.examples, sizes.tuningExamples, sizes.every]) expect(examples % size).toBe(0);
    for (const examples of [sizes.examples, sizes.tuningExamples]) expect(examples % sizes.every).toBe(0);
    expect(sizes.examples / sizes.every).toBeLessThanOrEqual(60);
    expect(() => parseConfig(definition, { ...config, ...method.config })).not.toThrow();
  });
});

describe.each(SWEPT.filter(({ name }) => fs.existsSync(resultsFile(name))))('the rows of $name as committed', (definition) => {
  const { name: experiment, sweep: committed } = definition;
  const rows = readResults(resultsFile(experiment));

  it.each(committed.methods)('are all there for $name, as it is configured now', ({ name }) => {
    for (const stage of ['tuning', 'reported'] as const) expect(missingRuns(definition, name, stage, { rows })).toEqual([]);
  });

  it('are few enough to be kept, and reported for three seeds (UUID: one) that no tuning run has', () => {
    expect(fs.statSync(resultsFile(experiment)).size).toBeLessThan(150_000);
    expect(new Set(committed.seeds).size).toBe(experiment === 'uuid' ? 1 : 3);
    for (const { stage, seed } of rows) expect(committed.seeds.includes(seed)).toBe(stage === 'reported');
  });
});

describe.each(['sixty-seven', 'l2-norm'])('sgd’s fine-tuning in the sweep of %s', (name) => {
  const meanChange = async (config: ConfigInput): Promise<number> => {
    const experiment = await makeExperiment(EXPERIMENTS[name], { ...config, workers: 1 });
    const { tuned } = await validate(experiment);
    const head = 'lm_head.weight';
    return tf.tidy(() => tf.mean(tf.abs(tf.sub(tuned[head], experiment.target.params[head]))).dataSync()[0]);
  };

  it('moves the LM head as far as adamw’s', async () => {
    const { config, methods } = EXPERIMENTS[name].sweep!;
    const sgd = methods.find((method) => method.name === 'sgd')!;
    const ratio = (await meanChange({ ...config, ...sgd.config })) / (await meanChange(config));
    expect(Math.abs(ratio - 1)).toBeLessThan(0.02);
  });
});
