/** One run on several ranks: by torchrun, with a rank killed in the midst of a step, and as a Ray job. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readMetrics } from '../../src/runs/runFolder';
import { build, dpg } from '../cli/dpg';
import { saveTinyModels, TINY_CONFIG } from '../support/tinyModels';
import { resultOf } from '../support/runResult';
import { has, PYTHON, SCRIPTS } from './python';

const STEPS = 10;
const env = { ...process.env, DPG_BACKEND: 'wasm' };

let folder: string;
let command: string[];
beforeAll(async () => {
  build();
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'dpg-ranks-test-'));
  const { generator, target } = await saveTinyModels(folder);
  const config = path.join(folder, 'tiny.json');
  fs.writeFileSync(config, JSON.stringify({ ...TINY_CONFIG, steps: STEPS, groupSize: 3 }));
  command = ['train', 'sixty-seven', '--config', config, '--generator', generator, '--target', target];
}, 120_000);
afterAll(() => fs.rmSync(folder, { recursive: true }));

const place = (name: string): string => path.join(folder, name);

/** Two ranks by torchrun, in the run folder `name`. */
function torchrun(name: string, restarts: number, ...options: string[]) {
  const launch = ['-m', 'torch.distributed.run', '--nproc-per-node', '2', '--max-restarts', String(restarts), '--standalone'];
  const argv = [...launch, path.join(SCRIPTS, 'dpg_ranks.py'), ...command, '--out', place(name), ...options];
  const child = spawn(PYTHON, argv, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (data) => (errors += data));
  return { errors: () => errors, exit: once(child, 'close').then(([code]) => code as number) };
}

test.skipIf(!has('torch'))('two ranks twice give the same bits, and those of one but for roundings', async () => {
  for (const name of ['first', 'second']) {
    const run = torchrun(name, 0);
    expect(await run.exit, run.errors()).toBe(0);
  }
  const [first, second] = ['first', 'second'].map((name) => resultOf(place(name)));
  expect(first.rows).toHaveLength(STEPS);
  expect(second).toEqual(first);
  expect(await dpg(...command, '--out', place('alone')).exit).toBe(0);
  const rewards = (name: string) => {
    const [{ reward, reward_std: deviation, phi, grad_norm: norm }] = readMetrics(place(name));
    return [reward, deviation, phi, norm];
  };
  expect(rewards('first')).toBeAllClose(rewards('alone'), { rtol: 1e-6 });
});

/** The `dpg` of a rank, or the process that has started it. */
function processOf(name: string, rank: number, program: 'main.js' | 'dpg_ranks.py'): number {
  const pids = fs.readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
  const read = (pid: string, file: string): string[] => {
    try {
      return fs.readFileSync(`/proc/${pid}/${file}`, 'utf8').split('\0');
    } catch {
      return []; // it has ended, or is another user's
    }
  };
  const runs = (pid: string): boolean => {
    const argv = read(pid, 'cmdline');
    return (
      argv.includes(place(name)) && argv.some((each) => each.endsWith(program)) && read(pid, 'environ').includes(`RANK=${rank}`)
    );
  };
  return Number(pids.find(runs));
}

test.skipIf(!has('torch') || process.platform !== 'linux').each([
  ['dpg of rank 0', 0, 'main.js', 'rank 0 of 2 has ended with signal SIGKILL'],
  ['the process beside rank 1', 1, 'dpg_ranks.py', 'rank 1 of 2 has ended'],
] as const)(
  '%s is killed: the other ends and says so; started again, the run has the same bits',
  async (_, rank, program, sentence) => {
    const name = `killed-${rank}`;
    const steps = (): number => (fs.existsSync(path.join(place(name), 'metrics.jsonl')) ? readMetrics(place(name)).length : 0);
    const options = ['--steps=150', '--checkpoint-steps=5'];
    const run = torchrun(name, 0, ...options);
    while (steps() < 12) await sleep(20);
    const killed = performance.now();
    process.kill(processOf(name, rank, program), 'SIGKILL');
    expect(await run.exit).not.toBe(0);
    expect(performance.now() - killed).toBeLessThan(10_000); // a promise, not a speed
    expect(run.errors()).toContain(`dpg: ${sentence}`);
    expect(steps()).toBeLessThan(150);
    const again = torchrun(name, 0, ...options);
    expect(await again.exit, again.errors()).toBe(0);
    const whole = torchrun(`whole-${rank}`, 0, ...options);
    expect(await whole.exit, whole.errors()).toBe(0);
    expect(resultOf(place(name))).toEqual(resultOf(place(`whole-${rank}`)));
  },
);

test.skipIf(!has('torch') || process.platform !== 'linux')('torchrun starts the ranks again', async () => {
  const run = torchrun('restarted', 2, '--checkpoint-steps=3');
  while (!processOf('restarted', 1, 'main.js')) await sleep(20);
  process.kill(processOf('restarted', 1, 'main.js'), 'SIGKILL');
  expect(await run.exit, run.errors()).toBe(0);
  expect(resultOf(place('restarted'))).toEqual(resultOf(place('first')));
});

test.skipIf(!has('torch') || !has('ray'))('a Ray job has the bits of torchrun’s', async () => {
  const argv = [path.join(SCRIPTS, 'ray_ranks.py'), '--ranks', '2', ...command, '--out', place('ray')];
  await promisify(execFile)(PYTHON, argv, { env, maxBuffer: 2 ** 26 });
  expect(resultOf(place('ray'))).toEqual(resultOf(place('first')));
});
