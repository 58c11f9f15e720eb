import fs from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { run as exportRun } from '../../src/cli/export';
import { run as runs } from '../../src/cli/runs';
import { run as train } from '../../src/cli/train';
import { loadActor, toTensors } from '../../src/dpg/actor';
import { readMetrics, readSummary } from '../../src/runs/runFolder';
import type { RunReport } from '../../src/runs/runReport';
import { latestCheckpoint } from '../../src/runs/savedState';
import { gpt2Logits } from '../../src/model/families/gpt2';
import type { Gpt2Config } from '../../src/model/types';
import { saveTinyModels, TINY_CONFIG } from '../support/tinyModels';

let place: string;
let first: string;
let second: string;
const output: string[] = [];
const printed = (): string => output.join('\n');
const json = (): unknown => JSON.parse(printed());

beforeEach(() => {
  output.length = 0;
  vi.spyOn(console, 'log').mockImplementation((line) => void output.push(String(line)));
  return () => vi.restoreAllMocks();
});

beforeAll(async () => {
  vi.stubEnv('DPG_BACKEND', 'wasm');
  vi.spyOn(console, 'log').mockImplementation(() => {});
  place = fs.mkdtempSync(join(tmpdir(), 'dpg-runs-test-'));
  const { generator, target } = await saveTinyModels(place);
  fs.writeFileSync(join(place, 'tiny.json'), JSON.stringify({ ...TINY_CONFIG, steps: 2 }));
  const models = ['--generator', generator, '--target', target, '--config', join(place, 'tiny.json')];
  [first, second] = ['a', 'b'].map((name) => join(place, 'runs', name));
  await train(['sixty-seven', ...models, '--out', first]);
  await train(['sixty-seven', ...models, '--out', second, '--seed', '7', '--learning-rate', '2e-3']);
}, 60_000);
afterAll(() => fs.rmSync(place, { recursive: true }));

test('list: a row a run, with what the folder says', async () => {
  expect(await runs(['list', join(place, 'runs'), '--json'])).toBe(0);
  const reports = json() as RunReport[];
  const rows = readMetrics(second);
  expect(reports.map(({ name }) => name)).toEqual(['a', 'b']);
  expect(reports[1]).toMatchObject({ experiment: 'sixty-seven', seed: 7, steps: 2, state: 'complete', last: rows[1] });
  expect(reports[1].heldOut).toEqual(readSummary(second)?.held_out);
  expect(reports[1].seconds).toBeCloseTo(rows[0].seconds + rows[1].seconds, 9);
  output.length = 0;
  await runs(['list', join(place, 'runs')]);
  const [head, a] = printed().split('\n');
  expect(head).toMatch(/^run +experiment +seed +steps +Φ +pixels +held out +seconds +state$/);
  expect(a).toMatch(/^a +sixty-seven +0 +2\/2 .*pixel_accuracy .* complete$/);
});

test('a run is running while a living process holds it, and stopped without a summary; half a row does not disturb', async () => {
  const copy = join(place, 'copy');
  fs.cpSync(first, copy, { recursive: true });
  fs.rmSync(join(copy, 'summary.json'));
  fs.appendFileSync(join(copy, 'metrics.jsonl'), '{"step": 3, "ph');
  const stateWith = async (pid: number | null, started: string | null = null): Promise<string> => {
    fs.rmSync(join(copy, 'run.lock'), { force: true, recursive: true });
    if (pid) fs.mkdirSync(join(copy, 'run.lock'));
    if (pid) fs.writeFileSync(join(copy, 'run.lock/owner.json'), JSON.stringify({ pid, host: hostname(), started, token: 'a' }));
    output.length = 0;
    await runs(['show', copy, '--json']);
    expect((json() as RunReport).steps).toBe(2);
    return (json() as RunReport).state;
  };
  expect(await stateWith(process.pid)).toBe('running');
  expect(await stateWith(process.pid, 'long ago')).toBe('stopped'); // its process id is in use again
  expect(await stateWith(2 ** 30)).toBe('stopped');
  expect(await stateWith(null)).toBe('stopped');
});

test('show: configuration, environment, last step and result', async () => {
  await runs(['show', second]);
  for (const line of [
    /^ {2}seed +7$/m,
    /^ {2}backend +wasm$/m,
    /^ {2}learningRate +0\.002$/m,
    /^held-out prompts$/m,
    /^ {2}phi +-/m,
  ])
    expect(printed()).toMatch(line);
});

test('compare: the keys that differ and no other, then the metrics side by side', async () => {
  await runs(['compare', first, second]);
  const [configuration, result] = printed().split('\n\n');
  const keys = configuration.split('\n').map((line) => line.split(/ +/));
  expect(keys).toEqual([
    ['configuration', 'a', 'b'],
    ['seed', '0', '7'],
    ['learningRate', '0.001', '0.002'],
    ['environment.seed', '0', '7'],
  ]);
  expect(result).toMatch(/^state +complete +complete$/m);
  expect(result).toMatch(/^held_out\.pixel_accuracy +[\d.]+ +[\d.]+$/m);
  output.length = 0;
  await runs(['compare', first, first]);
  expect(printed()).toContain('same configuration');
});

test.each([[[]], [['list', 'a', 'b']], [['show']], [['compare', 'a']], [['show', '/none']], [['list', '/none']]])(
  'wrong usage: dpg runs %j',
  async (argv) => {
    await expect(runs(argv)).rejects.toThrow(/dpg runs takes|holds no run|there is no such folder/);
  },
);

test('export: the generator gives the same logits, the data are those of the summary, the cards say where from', async () => {
  const out = join(place, 'new', 'exported');
  expect(await exportRun([first, '--out', out])).toBe(0);
  const loaded = await loadActor(join(out, 'sixty-seven-generator'), { engine: 'tape' });
  const trained = toTensors(latestCheckpoint(join(first, 'checkpoints')).state!.trees.generator);
  const ids = Int32Array.from(loaded.tokenizer.encode('The city of'));
  const config = loaded.model.config as Gpt2Config;
  const logits = [loaded.params, trained].map((params) =>
    tf.tidy(() => Array.from(gpt2Logits(params, config, ids, 1).dataSync())),
  );
  expect(logits[0]).toEqual(logits[1]);
  const initial = await loadActor(join(place, 'generator'), { engine: 'tape' });
  expect(tf.tidy(() => Array.from(gpt2Logits(initial.params, config, ids, 1).dataSync()))).not.toEqual(logits[0]);
  const lines = fs.readFileSync(join(out, 'sixty-seven-data/data/train.jsonl'), 'utf8').trim().split('\n');
  const written = readSummary(first)?.examples?.map(({ prompt, response }) => ({ prompt, response }));
  expect(lines.map((line) => JSON.parse(line) as object)).toEqual(written);
  for (const folder of ['sixty-seven-generator', 'sixty-seven-data'])
    expect(fs.readFileSync(join(out, folder, 'README.md'), 'utf8')).toContain('"experiment": "sixty-seven"');
  await expect(exportRun([first])).rejects.toThrow(/--out DIR/);
  await expect(exportRun(['/none', '--out', out])).rejects.toThrow(/holds no run/);
});
