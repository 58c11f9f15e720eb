import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path, { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { sixtySeven } from '../../src/experiments/sixtySeven';
import { loadActor, toStored } from '../../src/dpg/actor';
import { validate } from '../../src/dpg/validate';
import { loadCheckpoint, saveCheckpoint } from '../../src/model/hub/checkpoint';
import { exportRun } from '../../src/runs/export';
import { newRun, record, resumedRun, type RecordOptions, type Run } from '../../src/runs/record';
import { runs } from '../../src/runs/runReport';
import { writeSummary } from '../../src/runs/summary';
import { readMetrics, type RunFolder } from '../../src/runs/runFolder';
import { latestCheckpoint } from '../../src/runs/savedState';
import type { Experiment } from '../../src/dpg/experiment';
import { disposeTrainer } from '../../src/dpg/train';
import type { ModelFolders } from '../../src/dpg/models';
import { writtenTexts } from '../../src/notebook/runFigures';
import { saveTinyModels, TINY_CONFIG } from '../support/tinyModels';

let place: string;
let folders: ModelFolders;
beforeAll(async () => {
  vi.stubEnv('DPG_BACKEND', 'wasm');
  place = fs.mkdtempSync(join(tmpdir(), 'record-'));
  folders = await saveTinyModels(place);
});
afterAll(() => fs.rmSync(place, { recursive: true }));

const tiny = (more: object = {}): Promise<Experiment> => sixtySeven({ ...TINY_CONFIG, steps: 8, klCoef: 0.1, ...more }, folders);

/** Takes steps until `last` is done, then stops as Ctrl-C does. */
async function takeSteps(experiment: Experiment, run: Run, last: number): Promise<void> {
  const stop = new AbortController();
  for await (const { row } of record(experiment, run, { checkpointSteps: 3, examplesEvery: 2, signal: stop.signal }))
    if (row.step === last) stop.abort();
  run.folder.close();
  disposeTrainer(run.state);
}

const read = (name: string, file: string): string => fs.readFileSync(join(place, name, file), 'utf8');
/** Everything the newest checkpoint holds but the lengths of the row files, which have seconds in them. */
function lastState(name: string) {
  const { step, trees, values } = latestCheckpoint(join(place, name, 'checkpoints')).state!;
  return { step, trees, values: values.values };
}
const rows = (name: string) => readMetrics(join(place, name)).map((row) => ({ ...row, seconds: 0 }));

test.each(['fused', 'tape'] as const)('a resumed run equals one that was not stopped, bit by bit: %s', async (engine) => {
  const make = async (): Promise<Experiment> => {
    const { observe, ...rest } = await tiny({ engine });
    return { ...rest, observe: async (observed) => ({ ...(await observe(observed)), reached: 0.6 }) }; // puts schedules ahead
  };
  const experiment = await make();
  const [whole, parts] = [`${engine}-whole`, `${engine}-parts`];
  await takeSteps(experiment, newRun(experiment, join(place, whole), folders), 8);
  await takeSteps(experiment, newRun(experiment, join(place, parts), folders), 2);
  for (const last of [3, 7, 8]) {
    const again = await make(); // as in another process: nothing is shared
    await takeSteps(again, resumedRun(again, join(place, parts)), last);
    again.generator.model.dispose();
    again.target.model.dispose();
  }
  expect(rows(parts)).toEqual(rows(whole));
  expect(rows(whole).map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(new Set(rows(whole).map(({ phi }) => phi)).size).toBe(8); // the runs did something
  expect(read(parts, 'examples.jsonl')).toBe(read(whole, 'examples.jsonl'));
  expect(lastState(parts)).toEqual(lastState(whole));
});

test('a step that fails, in training or in logging, is done again as it would have been', async () => {
  const experiment = await tiny();
  let calls = 0;
  const observe: Experiment['observe'] = (tuned) => {
    if (++calls === 3) throw new Error('no reward'); // in step 5, when step 4 is not in a checkpoint yet
    return experiment.observe(tuned);
  };
  const broken = { ...experiment, observe };
  const folder = join(place, 'failing');
  await takeSteps(experiment, newRun(experiment, folder, folders), 2);
  const failing = resumedRun(broken, folder);
  await expect(takeSteps(broken, failing, 8)).rejects.toThrow('no reward');
  failing.folder.close();
  const full = resumedRun(experiment, folder);
  const appendExamples = (): void => {
    throw new Error('disk full');
  };
  const refusing: Run = { ...full, folder: { ...full.folder, appendExamples } };
  await expect(takeSteps(experiment, refusing, 8)).rejects.toThrow('disk full');
  full.folder.close();
  await takeSteps(experiment, resumedRun(experiment, folder), 8);
  await takeSteps(experiment, newRun(experiment, join(place, 'sound'), folders), 8);
  expect(rows('failing')).toEqual(rows('sound'));
  expect(read('failing', 'examples.jsonl')).toBe(read('sound', 'examples.jsonl'));
});

test('refuses to go on with another experiment, configuration or model; rows stay', async () => {
  const experiment = await tiny();
  const folder = join(place, 'refusing');
  await takeSteps(experiment, newRun(experiment, folder, folders), 2);
  const refusal = (change: Partial<Experiment>) => () => resumedRun({ ...experiment, ...change }, folder);
  expect(refusal({ name: 'qr-code' })).toThrow(/holds a run of sixty-seven, not of qr-code/);
  expect(refusal({ config: { ...experiment.config, seed: 5 } })).toThrow(/was made with seed 0, not 5/);
  expect(refusal({ target: experiment.generator })).toThrow(/began with a target of other weights \(.*target\): start a new run/);
  expect(rows('refusing')).toHaveLength(2);
  resumedRun(experiment, folder).folder.close();
});

test('a checkpoint is due after so many steps or seconds, and at the start', async () => {
  const experiment = await tiny();
  const saved = async (name: string, options: RecordOptions): Promise<number[]> => {
    const run = newRun(experiment, join(place, name), folders);
    const { folder, state } = run;
    const steps: number[] = [];
    const saveCheckpoint: RunFolder['saveCheckpoint'] = (step, rest) => (steps.push(step), folder.saveCheckpoint(step, rest));
    const spied: RunFolder = { ...folder, record: folder.record, saveCheckpoint };
    for await (const _ of record(experiment, { ...run, folder: spied }, options));
    folder.close();
    disposeTrainer(state);
    return steps;
  };
  expect(await saved('by-steps', { checkpointSteps: 3, checkpointSeconds: 1e6 })).toEqual([0, 3, 6, 8]);
  expect(await saved('slow', { checkpointSteps: 100, checkpointSeconds: 0 })).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
});

test('a run of one’s own experiment is exported from its folder alone', async () => {
  const experiment = { ...(await tiny()), name: 'my-own', purpose: 'nothing in particular happens' };
  const run = newRun(experiment, join(place, 'own'), folders);
  await takeSteps(experiment, run, 3);
  const written = await exportRun(run, join(place, 'exported'), { examples: [{ prompt: 'a', response: 'b' }] });
  expect(written.map((folder) => path.basename(folder))).toEqual(['my-own-generator', 'my-own-data']);
  const { params, tokenizer } = await loadActor(written[0]);
  expect(toStored(params)).toEqual(latestCheckpoint(join(place, 'own/checkpoints')).state!.trees.generator);
  expect(tokenizer.encode('The city')).toEqual(experiment.generator.tokenizer.encode('The city'));
  expect(fs.readFileSync(join(written[0], 'README.md'), 'utf8')).toContain('so that nothing in particular happens');
  await saveCheckpoint(join(place, 'saved'), { config: experiment.generator.model.config, params }); // tensors, as a notebook has them
  expect(loadCheckpoint(join(place, 'saved')).params).toEqual(toStored(params));
});

test('a summary is of the step that was validated', async () => {
  const experiment = await tiny();
  const run = newRun(experiment, join(place, 'stale'), folders);
  for await (const { row } of record(experiment, run)) if (row.step === 2) break;
  const validated = await validate(experiment, run.state);
  expect(writeSummary(experiment, run, { after: validated })).toMatchObject({ steps: 2, held_out: { phi: validated.phi } });
  run.folder.close();
  for await (const { row } of record(experiment, run)) if (row.step === 3) break;
  expect(() => writeSummary(experiment, run, { after: validated })).toThrow(/a summary of step 2 is none of .*at step 3: validate again/);
  run.folder.close();
  expect(runs(place).find((line) => line.run === 'stale')).toMatchObject({ steps: 3, state: 'stopped' });
});

test('new runs of the same second have folders of their own', async () => {
  const experiment = await tiny();
  const runs = [1, 2, 3].map(() => newRun(experiment, undefined, folders));
  expect(new Set(runs.map(({ folder }) => folder.path)).size).toBe(3);
  for (const { folder, state } of runs) {
    folder.close();
    disposeTrainer(state);
    fs.rmSync(folder.path, { recursive: true });
  }
});

test('the texts of a step that a notebook shows are those of examples.jsonl', async () => {
  const experiment = await tiny({ steps: 1 });
  const run = newRun(experiment, join(place, 'texts'), folders);
  const shown = [];
  for await (const step of record(experiment, run)) shown.push(...writtenTexts(experiment, step));
  run.folder.close();
  const lines = read('texts', 'examples.jsonl').trim().split('\n');
  const written = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(shown).toEqual(
    written.map(({ prompt, response, reward, advantage }) => ({ prompt, response, τ: reward, advantage })),
  );
  expect(shown.length).toBeGreaterThan(1);
});
