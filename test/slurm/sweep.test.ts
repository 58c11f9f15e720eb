/**
 * `dpg sweep --slurm`, and one run on several ranks, on a real Slurm of two machines: a task that gives way to another job, one whose machine is lost, one that is killed.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { readMetrics } from '../../src/runs/runFolder';
import { readSweep, reportSweep } from '../../src/runs/sweepFolder';
import { dpg, ROOT } from '../cli/dpg';
import { resultOf } from '../support/runResult';
import { saveTinyModels, TINY_CONFIG } from '../support/tinyModels';

const STEPS = 150;
/** Milliseconds for which Slurm misses no job of a machine that comes back: its BatchStartTimeout and MessageTimeout. */
const START_UP = 11_000;
const COMMANDS = ['sbatch', 'squeue', 'scontrol', 'slurmctld', 'slurmd', 'munged'];

let missing: string | undefined;
let place: string;
beforeAll(() => {
  vi.stubEnv('PATH', `${process.env.PATH}:/usr/sbin`);
  const absent = COMMANDS.find((command) => spawnSync(command, ['-V']).error);
  missing = absent ? `there is no ${absent} here` : process.getuid!() === 0 ? undefined : 'Slurm’s daemons need root';
  if (missing) return console.log(`skipped: ${missing}`);
  place = fs.mkdtempSync(path.join(tmpdir(), 'dpg-slurm-test-'));
  vi.stubEnv('SLURM_CONF', path.join(place, 'slurm/slurm.conf'));
  vi.stubEnv('DPG_BACKEND', 'wasm');
  execFileSync(path.join(__dirname, 'start.sh'), [path.join(place, 'slurm')], { stdio: 'inherit' });
});
beforeEach(({ skip }) => {
  if (missing) skip(missing);
});
afterAll(() => {
  if (missing) return;
  spawnSync('scancel', ['--full', '--user=root']);
  const pids = fs.readdirSync(path.join(place, 'slurm')).filter((name) => name.endsWith('.pid'));
  for (const name of pids) spawnSync('kill', [fs.readFileSync(path.join(place, 'slurm', name), 'utf8').trim()]);
  fs.rmSync(place, { recursive: true, maxRetries: 20, retryDelay: 500 });
});

const slurm = (command: string, ...args: string[]): string => execFileSync(command, args, { encoding: 'utf8' }).trim();

interface Task {
  readonly job: string;
  readonly node: string;
  readonly state: string;
}

/** The array's tasks in the queue, by index; those that wait for their requeued job's delay are told not to. */
function tasks(): Map<number, Task> {
  const lines = slurm('squeue', '--array', '-h', '-p', 'low', '-o', '%K|%A|%N|%T').split('\n').filter(Boolean);
  const found = new Map(
    lines.map((line) => line.split('|')).map(([index, job, node, state]) => [Number(index), { job, node, state }]),
  );
  for (const { job, state } of found.values())
    if (state === 'PENDING') spawnSync('scontrol', ['update', `JobId=${job}`, 'StartTime=now']);
  return found;
}

/** @returns what `look` finds once it does */
async function until<T>(look: () => T | undefined | false): Promise<T> {
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    await sleep(200);
  }
}

const steps = (folder: string): number => (fs.existsSync(path.join(folder, 'metrics.jsonl')) ? readMetrics(folder).length : 0);
const ownerOf = (folder: string): number =>
  (JSON.parse(fs.readFileSync(path.join(folder, 'run.lock/owner.json'), 'utf8')) as { pid: number }).pid;
const parentOf = (pid: number): number => Number(/^PPid:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);

test('an array of four runs on two machines ends as runs that nothing has happened to', async () => {
  const { generator, target } = await saveTinyModels(place);
  const config = path.join(place, 'tiny.json');
  fs.writeFileSync(config, JSON.stringify({ ...TINY_CONFIG, steps: STEPS }));
  const sweep = path.join(place, 'sweep');
  const models = ['--generator', generator, '--target', target];
  const argv = ['sweep', 'sixty-seven', '--config', config, ...models, '--seed', '0..3', '--checkpoint-steps', '5'];
  const submit = async (): Promise<string> => {
    const command = dpg(...argv, '--slurm', '--partition', 'low', '--out', sweep);
    expect(await command.exit, command.stderr()).toBe(0);
    return command.stdout();
  };
  expect(await submit()).toMatch(/^Submitted batch job \d+: 4 runs/);
  const folders = [0, 1, 2, 3].map((index) => path.join(sweep, `run-${index}`));
  const attempts = folders.map((folder) => path.join(sweep, 'attempts', path.basename(folder)));
  const output = (index: number): string => fs.readFileSync(path.join(sweep, `slurm-${index}.out`), 'utf8');

  // two run; one gives way to a job of a higher partition
  await until(() => steps(folders[0]) > 6 && steps(folders[1]) > 6);
  const { node } = tasks().get(0)!;
  slurm('sbatch', '-p', 'high', '-w', node, '-o', '/dev/null', '--wrap', 'sleep 1');
  await until(() => tasks().get(0)?.state !== 'RUNNING');
  const interrupted = steps(folders[0]);
  expect(interrupted).toBeLessThan(STEPS);
  await until(() => /run-0 \(seed 0\) waiting/.test(output(0)));

  // the machine of the other one is lost, and comes back
  const lost = tasks().get(1)!;
  const task = ownerOf(attempts[1]);
  const daemon = Number(fs.readFileSync(path.join(place, `slurm/slurmd-${lost.node}.pid`), 'utf8'));
  for (const pid of [daemon, parentOf(task), ownerOf(folders[1]), task]) process.kill(pid, 'SIGKILL');
  expect(steps(folders[1])).toBeLessThan(STEPS);
  await sleep(START_UP + 1000); // where it comes back earlier, Slurm takes the job for one that is about to start, for ever
  slurm('slurmd', '-N', lost.node, '-f', process.env.SLURM_CONF!);

  // of a third one the processes are killed
  await until(() => (tasks(), steps(folders[2]) > 6));
  for (const pid of [ownerOf(attempts[2]), ownerOf(folders[2])]) process.kill(pid, 'SIGKILL');

  await until(() => tasks().size === 0);
  expect(reportSweep(sweep).map(({ state }) => state)).toEqual(['done', 'done', 'failed', 'done']);
  expect(reportSweep(sweep)[2].error).toMatch(/has ended without a word: it was killed/);
  expect(await submit()).toMatch(/: 1 runs/);
  await until(() => tasks().size === 0);
  expect(reportSweep(sweep).map(({ state }) => state)).toEqual(['done', 'done', 'done', 'done']);

  for (const { index, arguments: args } of readSweep(sweep).runs) {
    const whole = path.join(place, `whole-${index}`);
    expect(await dpg('train', ...args, '--out', whole).exit).toBe(0);
    expect(resultOf(folders[index]), `run ${index}`).toEqual(resultOf(whole));
    expect(resultOf(whole).rows).toHaveLength(STEPS);
  }
});

test('two ranks on two machines, by srun, have the bits of two on one, by torchrun', async ({ skip }) => {
  if (spawnSync('python3', ['-c', 'import torch']).status !== 0) skip('python3 has no torch (pip install torch)');
  const models = path.join(place, 'ranks');
  fs.mkdirSync(models);
  const { generator, target } = await saveTinyModels(models);
  const config = path.join(models, 'tiny.json');
  fs.writeFileSync(config, JSON.stringify({ ...TINY_CONFIG, steps: 10 }));
  const launcher = path.join(ROOT, 'notebooks/python/dpg_ranks.py');
  const argv = [launcher, 'train', 'sixty-seven', '--config', config, '--generator', generator, '--target', target, '--out'];
  const [bySlurm, byTorch] = ['srun', 'torchrun'].map((name) => path.join(models, name));
  slurm('srun', '-p', 'low', '-N', '2', '-K', 'python3', ...argv, bySlurm);
  execFileSync('python3', ['-m', 'torch.distributed.run', '--nproc-per-node', '2', '--standalone', ...argv, byTorch]);
  expect(resultOf(bySlurm).rows).toHaveLength(10);
  expect(resultOf(bySlurm)).toEqual(resultOf(byTorch));
});
