/** Past runs: read back into figures, made again with other settings, exported. */
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { disposeTrainer } from '../../src/dpg/train';
import { ownTarget } from '../../src/experiments/ownTarget';
import { sixtySeven } from '../../src/experiments/sixtySeven';
import { rerun } from '../../src/notebook/rerun';
import { compare, healthCurves } from '../../src/notebook/runFigures';
import { openRun } from '../../src/runs/pastRun';
import { newRun, record } from '../../src/runs/record';
import { runs } from '../../src/runs/runReport';
import { saveTinyModels, TINY_CONFIG } from '../support/tinyModels';

let place: string;
let folder: string;
let models: { generator: string; target: string };
beforeAll(async () => {
  vi.stubEnv('DPG_BACKEND', 'wasm');
  place = fs.mkdtempSync(join(tmpdir(), 'rerun-'));
  folder = join(place, 'runs', 'first');
  models = await saveTinyModels(place);
  const experiment = await sixtySeven({ ...TINY_CONFIG, steps: 3, strength: 7 }, models);
  const run = newRun(experiment, folder, models);
  for await (const { row } of record(experiment, run)) expect(row.step).toBeLessThan(4);
  run.folder.close();
  disposeTrainer(run.state);
}, 120_000);
beforeEach(() => void vi.spyOn(console, 'log').mockImplementation(() => {}));
afterAll(() => fs.rmSync(place, { recursive: true }));

describe('a past run', () => {
  it('has its settings and its steps, which the curves of a run draw', () => {
    const past = openRun(folder);
    expect(past).toMatchObject({ config: { experiment: 'sixty-seven', strength: 7 }, summary: null });
    const [entropy] = healthCurves(past.history).data as { y: number[] }[];
    expect(entropy.y).toBeAllClose(
      past.history.map(({ row }) => row.entropy),
      { rtol: 1e-4 },
    );
    expect(() => openRun(place)).toThrow('holds no run');
  });

  it('is exported by a method, as the run that has just ended is', async () => {
    const [written] = await openRun(folder).export(join(place, 'exported'));
    expect(fs.readdirSync(written)).toEqual(expect.arrayContaining(['config.json', 'model.safetensors', 'README.md']));
  });
});

describe('rerun', () => {
  it('is the same run bit by bit where nothing is changed, and to its end', async () => {
    const again = await rerun(folder, {}, join(place, 'runs', 'same'));
    const numbers = (run: typeof again) => run.history.map(({ row: { seconds: _, ...row } }) => row);
    expect(numbers(again)).toEqual(numbers(openRun(folder)));
    expect(again.summary).toMatchObject({ steps: 3 });
    expect(fs.readdirSync(join(again.folder.path, 'figures'))).toContain('phi.svg');
    await rerun(again, { steps: 2 }, join(place, 'runs', 'shorter')); // nothing is left open
  });

  it('changes what it is told to, and nothing else', async () => {
    const tensors = tf.memory().numTensors;
    const again = await rerun(openRun(folder), { strength: 70 }, join(place, 'runs', 'stronger'));
    expect(again.config).toEqual({ ...openRun(folder).config, strength: 70 });
    expect(again.history[0].row.phi).not.toBe(openRun(folder).history[0].row.phi);
    expect(tf.memory().numTensors).toBe(tensors);
    expect((compare(folder, again).data as { name: string }[]).map(({ name }) => name)).toEqual(['strength 7', 'strength 70']);
    const table = runs(join(place, 'runs'));
    expect(table.map(({ run, state }) => `${run} ${state}`)).toContain('stronger complete');
  });

  it('says what it cannot make again', async () => {
    await expect(rerun(folder, { strenght: 70 })).rejects.toThrow('unknown key "strenght"');
    const own = await ownTarget({
      name: 'own',
      objective: (p) => tf.norm(p['lm_head.weight']),
      models,
      config: { ...TINY_CONFIG, steps: 1 },
    });
    const run = newRun(own, join(place, 'own'), models);
    run.folder.close();
    await expect(rerun(run)).rejects.toThrow('is of "own", whose Φ stands in a cell');
  });
});
