import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { run } from '../../src/cli/sweep';
import { planSweep, valuesOfText } from '../../src/cli/sweepPlan';
import { indexRanges } from '../../src/cli/sweepSlurm';
import type { Keys } from '../../src/dpg/keys';
import { EXPERIMENTS } from '../../src/experiments/experiments';
import { sweep } from '../../src/notebook/sweepStatus';
import { readMetrics, readRun } from '../../src/runs/runFolder';
import { createSweep, readSweep, reportSweep } from '../../src/runs/sweepFolder';
import { saveTinyModels, TINY_CONFIG } from '../support/tinyModels';
import { build, dpg, ROOT } from './dpg';

let place: string;
let shared: string[];
beforeAll(async () => {
  vi.stubEnv('DPG_BACKEND', 'wasm');
  build();
  place = fs.mkdtempSync(join(tmpdir(), 'dpg-sweep-test-'));
  const { generator, target } = await saveTinyModels(place);
  fs.writeFileSync(join(place, 'tiny.json'), JSON.stringify(TINY_CONFIG));
  shared = ['sixty-seven', '--config', join(place, 'tiny.json'), '--generator', generator, '--target', target];
}, 120_000);
afterAll(() => fs.rmSync(place, { recursive: true }));

const output: string[] = [];
beforeEach(() => {
  output.length = 0;
  vi.spyOn(console, 'log').mockImplementation((line) => void output.push(String(line)));
  return () => vi.restoreAllMocks();
});

const rows = (folder: string) => readMetrics(folder).map((row) => ({ ...row, seconds: 0 }));
const states = (folder: string) => reportSweep(folder).map(({ state }) => state);

describe('the table of runs', () => {
  test('crosses lists and ranges; the last key turns fastest, a single value is no setting', async () => {
    const argv = [...shared, '--seed', '0..2,7', '--learning-rate', '2e-4,6e-4', '--steps', '5'];
    const { manifest, folder } = await planSweep(argv);
    expect(manifest.runs.map(({ folder, settings }) => [folder, settings.seed, settings.learningRate])).toEqual([
      ['run-0', 0, 2e-4],
      ['run-1', 0, 6e-4],
      ['run-2', 1, 2e-4],
      ['run-3', 1, 6e-4],
      ['run-4', 2, 2e-4],
      ['run-5', 2, 6e-4],
      ['run-6', 7, 2e-4],
      ['run-7', 7, 6e-4],
    ]);
    expect(manifest.runs[3].settings).toEqual({ seed: 1, learningRate: 6e-4 });
    expect(manifest.runs[3].arguments).toEqual(
      expect.arrayContaining(['sixty-seven', '--seed=1', '--learning-rate=0.0006', '--steps=5', '--group-size=2']),
    );
    expect((await planSweep(argv)).folder).toBe(folder); // the same command finds its sweep again
    expect((await planSweep([...argv, '--kl-coefficient', '0'].slice(0, -2))).folder).toBe(folder);
    expect((await planSweep([...argv.slice(0, -1), '6'])).folder).not.toBe(folder);
    const eleven = await planSweep([...shared, '--seed', '0..10']);
    expect(eleven.manifest.runs.map((each) => each.folder).slice(8)).toEqual(['run-08', 'run-09', 'run-10']);
  });

  test('a text that a key takes as it is stays whole', () => {
    const { patchTokens, innerOptimizer } = EXPERIMENTS['sixty-seven'].keys as Keys;
    expect(valuesOfText(patchTokens, 'a,b')).toEqual(['a,b']);
    expect(valuesOfText(innerOptimizer, 'adamw,sgd')).toEqual(['adamw', 'sgd']);
    expect(indexRanges([0, 1, 2, 5, 7, 8])).toBe('0-2,5,7-8');
  });

  test.each<[string, string[], RegExp]>([
    ['neither here nor on Slurm', ['--seed', '0..1'], /either --local N or --slurm/],
    ['a value out of range in one run', ['--local', '1', '--prompts', '2,0'], /prompts must be .* \(got 0\)/],
    ['a value twice', ['--local', '1', '--learning-rate', '1e-3,0.001'], /--learning-rate has the value 0\.001 twice/],
    ['a range downwards', ['--local', '1', '--seed', '3..1'], /a range runs upwards.*\(got 3\.\.1\)/],
    ['too many runs', ['--local', '1', '--seed', '0..999', '--steps', '1..999'], /at most 100000 runs \(these would be 999000\)/],
    ['Slurm’s options here', ['--local', '1', '--partition', 'gpu'], /--partition is for --slurm/],
    ['no number of processes', ['--local', '0'], /--local must be a whole number from 1 to 256 \(got 0\)/],
  ])('tells a mistake: %s', async (_, more, complaint) => {
    const folder = join(place, 'never');
    await expect(run([...shared, ...more, '--out', folder])).rejects.toThrow(complaint);
    expect(fs.existsSync(folder)).toBe(false);
  });

  test('a folder with another sweep, or with anything else, is refused', async () => {
    const folder = join(place, 'taken');
    createSweep(folder, (await planSweep([...shared, '--seed', '0..1'])).manifest);
    await expect(run([...shared, '--seed', '0,2', '--local', '1', '--out', folder])).rejects.toThrow(
      /--out: .*taken holds another sweep, of 2 runs: run-1 is to have \{"seed":2\}; choose another --out/,
    );
    await expect(run([...shared, '--local', '1', '--out', place])).rejects.toThrow(/which is no part of a sweep/);
    await expect(run(['status', place])).rejects.toThrow(/holds no sweep: it has no sweep\.json/);
  });
});

test('--dry-run prints the script of the array job and writes nothing', async () => {
  const folder = join(place, "it's dry");
  const asked = ['--partition', 'gpu', '--time', '1:00:00', '--max-parallel', '2', '--sbatch', '--mem=8G --gres=gpu:1'];
  expect(await run([...shared, '--seed', '0..3', '--slurm', '--out', folder, '--dry-run', ...asked])).toBe(0);
  const dir = `'${folder.replace("'", "'\\''")}'`;
  expect(output.join('\n').split('\n')).toEqual([
    '#!/bin/sh',
    "#SBATCH --job-name='it'\\''s dry'",
    '#SBATCH --array=0-3%2',
    '#SBATCH --requeue',
    '#SBATCH --signal=B:USR1@60',
    '#SBATCH --open-mode=append',
    `#SBATCH --chdir=${dir}`,
    '#SBATCH --output=slurm-%a.out',
    "#SBATCH --partition='gpu'",
    "#SBATCH --time='1:00:00'",
    '#SBATCH --mem=8G --gres=gpu:1',
    `exec '${process.execPath}' '${join(ROOT, 'dist/cli/main.js')}' sweep run ${dir} "$SLURM_ARRAY_TASK_ID"`,
  ]);
  expect(fs.existsSync(folder)).toBe(false);
});

test('a run that failed is run again by the same command, one that is done stays as it is', { timeout: 180_000 }, async () => {
  const folder = join(place, 'failing');
  const argv = [...shared, '--seed', '4,5', '--steps', '2', '--out', folder, '--local', '2'];
  createSweep(folder, (await planSweep(argv)).manifest);
  expect(states(folder)).toEqual(['waiting', 'waiting']);
  const obstacle = join(folder, 'run-1/mine.txt');
  fs.mkdirSync(join(folder, 'run-1'));
  fs.writeFileSync(obstacle, '');
  expect(await run(argv)).toBe(1);
  expect(output.at(-1)).toBe('1 done, 1 failed');
  const [, failed] = reportSweep(folder);
  expect(failed.error).toMatch(/run-1 holds "mine\.txt", which is no part of a run/);
  output.length = 0;
  expect(await run(['status', folder])).toBe(0);
  expect(output[0]).toMatch(/run-0 +4 +2\/2 .* done\nrun-1 +5 +failed\nrun-1: dpg: .*mine\.txt.*\n1 done, 1 failed$/s);
  const times = () => fs.readdirSync(join(folder, 'run-0')).map((name) => fs.statSync(join(folder, 'run-0', name)).mtimeMs);
  const before = times();
  fs.rmSync(obstacle);
  expect(await run(argv)).toBe(0);
  expect(states(folder)).toEqual(['done', 'done']);
  expect(times()).toEqual(before);
  expect(readRun(join(folder, 'run-1')).config).toMatchObject({ ...TINY_CONFIG, seed: 5, steps: 2 });
  expect(sweep(folder)).toMatchObject([{ run: 0, seed: 4, steps: 2, state: 'done' }, { run: 1, seed: 5, state: 'done' }]); // prettier-ignore
});

test('a run that is killed and one that is stopped go on to the rows of one that was not', { timeout: 300_000 }, async () => {
  const folder = join(place, 'killed');
  const argv = [...shared, '--seed', '0,1', '--steps', '40', '--checkpoint-steps', '3', '--out', folder, '--local', '2'];
  const first = dpg('sweep', ...argv);
  const paths = ['run-0', 'run-1'].map((name) => join(folder, name));
  const begun = (path: string): boolean => fs.existsSync(join(path, 'metrics.jsonl')) && readMetrics(path).length > 4;
  while (!paths.every(begun)) await sleep(10);
  expect(states(folder)).toEqual(['running', 'running']);
  const { pid } = JSON.parse(fs.readFileSync(join(paths[0], 'run.lock/owner.json'), 'utf8')) as { pid: number };
  process.kill(pid, 'SIGKILL');
  await first.prints('run-0');
  first.process.kill('SIGTERM');
  expect(await first.exit, first.stderr()).toBe(143);
  expect(reportSweep(folder).map(({ state, error }) => [state, error])).toEqual([
    ['failed', 'its process has ended with SIGKILL'],
    ['waiting', null],
  ]);
  const reached = readMetrics(paths[1]).length;
  expect(reached).toBeLessThan(40);
  expect(await run(argv)).toBe(0);
  const { runs } = readSweep(folder);
  const whole = runs.map((each) => join(place, `whole-${each.index}`));
  const trainings = runs.map((each, i) => dpg('train', ...each.arguments, '--out', whole[i]).exit);
  expect(await Promise.all(trainings)).toEqual([0, 0]);
  expect(paths.map(rows)).toEqual(whole.map(rows));
  expect(rows(paths[0])).toHaveLength(40);
});
