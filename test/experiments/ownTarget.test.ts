/** Your own target: the same fields in a notebook and as a module, treated as the built-in experiments are. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run as train } from '../../src/cli/train';
import { run as exportRun } from '../../src/cli/export';
import { startTraining, train as steps } from '../../src/dpg/train';
import { validate } from '../../src/dpg/validate';
import { number } from '../../src/dpg/keys';
import { loadDefinition, ownDefinition, ownTarget } from '../../src/experiments/ownTarget';
import { runSweep, type Swept } from '../../src/experiments/sweep';
import { readMetrics, readRun } from '../../src/runs/runFolder';
import { disposeParams, type Params } from '../../src/tensor/params';
import { useBackend } from '../support/backend';
import { saveTinyModels, TINY_CONFIG } from '../support/tinyModels';

let place: string;
let models: { generator: string; target: string };
beforeAll(async () => {
  await useBackend('wasm');
  place = fs.mkdtempSync(path.join(os.tmpdir(), 'own-target-'));
  models = await saveTinyModels(place);
});
afterAll(() => fs.rmSync(place, { recursive: true }));

const norm = (params: Params): tf.Tensor => tf.norm(params['lm_head.weight']);
const keys = { weight: number({ above: 0, max: 10, default: 1, description: 'Of the norm' }) };
const config = { ...TINY_CONFIG, steps: 2 };

describe('in a notebook', () => {
  it('needs a name and an objective', async () => {
    const objective = (params: Params): tf.Tensor => tf.neg(norm(params));
    const experiment = await ownTarget({ name: 'small-head', objective, models, config });
    const rows = [];
    for await (const { row } of steps({ ...experiment, state: startTraining(experiment) })) rows.push(row);
    expect(rows.map(({ step }) => step)).toEqual([1, 2]);
    const { phi, tuned } = await validate(experiment);
    expect(phi).toBeCloseTo(-norm(tuned).dataSync()[0], 5);
    disposeParams(tuned);
  });

  it('hands configuration and models to every function', async () => {
    const experiment = await ownTarget({
      name: 'own',
      keys,
      defaults: { weight: 3 },
      objective: (params, { config: { weight } }) => tf.mul(norm(params), -weight),
      observe: ({ tuned, phi }, { target }) => ({
        metrics: {
          change: norm(tuned).dataSync()[0] - norm(target.params).dataSync()[0],
          weight: -phi / norm(tuned).dataSync()[0],
        },
        done: true,
      }),
      prompts: (_, count, random, { config: { promptLength } }) =>
        Array.from({ length: count }, () => Array.from({ length: promptLength }, () => random.integer(5))),
      models,
      config,
    });
    const rows = [];
    for await (const { row, ended } of steps({ ...experiment, state: startTraining(experiment) })) {
      expect(ended).toBe('ended: all that is wanted is there (stopAfterDone 1)');
      rows.push(row);
    }
    expect(rows).toHaveLength(1); // done at once
    expect(rows[0].weight).toBeCloseTo(3, 4);
    expect(rows[0].change).not.toBe(0);
  });

  it('may look at what the tuned target does, whichever engine trains', async () => {
    const probe = [[1, 2, 3, 4]];
    const phis = [];
    for (const engine of ['fused', 'tape'] as const) {
      const experiment = await ownTarget({
        name: 'first-token',
        objective: (params, { target }) =>
          tf.mean(tf.slice(target.forward(params, probe).attentions[0], [0, 0, 3, 0], [-1, -1, 1, 1])),
        models,
        config: { ...config, engine },
      });
      const state = startTraining(experiment);
      for await (const { row, rewards } of steps({ ...experiment, state })) {
        phis.push(row.phi);
        expect(new Set(rewards).size).toBeGreaterThan(1);
      }
    }
    expect(phis.slice(0, 2)).toBeAllClose(phis.slice(2), { rtol: 1e-4 });
  });

  it('tells what is wrong with it', async () => {
    const objective = (params: Params): tf.Tensor => norm(params);
    expect(() => ownDefinition({ name: 'a', objektive: objective } as never)).toThrow(
      'a target has no "objektive"; there are name,',
    );
    expect(() => ownDefinition({ name: 'a' } as never)).toThrow('the target a needs an objective');
    await expect(ownTarget({ name: 'a', objective, keys, models, config: { weight: 11 } })).rejects.toThrow(
      'weight must be > 0, ≤ 10 (got 11)',
    );
    await expect(ownTarget({ name: 'a', objective, models, config: { strength: 1 } as never })).rejects.toThrow(
      'unknown key "strength"; a has seed',
    );
  });

  it('is swept like the built-in ones', async () => {
    const definition = ownDefinition({
      name: 'own',
      objective: (params: Params) => tf.neg(norm(params)),
      models,
      defaults: TINY_CONFIG,
      sweep: {
        examples: 8,
        tuningExamples: 4,
        every: 4,
        seeds: [0],
        config: { prompts: 2, groupSize: 2 },
        methods: [{ name: 'adamw', config: {}, learningRates: [1e-3] }],
      },
    }) as unknown as Swept;
    const rows = [];
    for await (const row of runSweep(definition, { workers: 1 })) rows.push(row);
    expect(rows.map(({ method, curve }) => [method, curve.length])).toEqual([['adamw', 3]]);
  });
});

describe('as a module', () => {
  const module = (): string => {
    const file = path.join(place, 'small-head.mjs');
    const text = `export const keys = {};
export const objective = (params) => params['lm_head.weight'].square().sum().mul(-1);
export const observe = ({ phi }) => ({ metrics: { twice: 2 * phi } });
export const models = ${JSON.stringify(models)};
export const defaults = ${JSON.stringify(config)};
`;
    fs.writeFileSync(file, text);
    return file;
  };

  it('is trained, resumed by its folder alone, extended and exported by dpg', async () => {
    const folder = path.join(place, 'run');
    expect(await train([module(), '--out', folder, '--json'])).toBe(0);
    expect(readRun(folder)).toMatchObject({ module: module(), config: { experiment: 'small-head', steps: 2 } });
    expect(await train(['--resume', folder, '--steps', '3', '--json'])).toBe(0);
    const rows = readMetrics(folder);
    expect(rows.map(({ step, phi, twice }) => [step, twice / phi])).toEqual([1, 2, 3].map((step) => [step, 2]));
    expect(await exportRun([folder, '--out', path.join(place, 'exported')])).toBe(0);
    expect(fs.readdirSync(path.join(place, 'exported')).sort()).toEqual(['small-head-data', 'small-head-generator']);
  });

  it('that is no target, or not there, is named', async () => {
    fs.writeFileSync(path.join(place, 'empty.mjs'), '');
    await expect(loadDefinition(path.join(place, 'empty.mjs'))).rejects.toThrow('the target empty needs an objective');
    await expect(loadDefinition('./none.mjs')).rejects.toThrow('there is no experiment "./none.mjs"');
  });
});
