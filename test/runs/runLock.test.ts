import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createRun, resumeRun, type RunFolder } from '../../src/runs/runFolder';
import { childEnvironment, compile } from '../fixtures/compile';
import { metricsRow, runRecord } from '../support/runRows';

const record = runRecord();
const summary = { experiment: 'tiny', seed: 3, steps: 1, seconds: 1, held_out: { phi: -1 } };
const START = { trees: {}, values: {} };

let place: string;
let folder: string;
beforeEach(() => {
  place = fs.mkdtempSync(join(tmpdir(), 'lock-'));
  folder = join(place, 'runs/first');
});
afterEach(() => fs.rmSync(place, { recursive: true, force: true }));

const stepsOf = (text: string): number[] => text.split('\n').slice(0, -1).map((line) => (JSON.parse(line) as { step: number }).step);
const steps = (): number[] => stepsOf(fs.readFileSync(join(folder, 'metrics.jsonl'), 'utf8'));

function advance(run: RunFolder, from: number, to: number): void {
  for (let step = from; step <= to; step++) run.appendMetrics(metricsRow(step));
}

describe('one writer', () => {
  const lock = (): string => join(folder, 'run.lock');
  const owner = (): object => JSON.parse(fs.readFileSync(join(lock(), 'owner.json'), 'utf8')) as object;
  /** A lock as another process would have left it. */
  function leaveLock(content: string): void {
    fs.mkdirSync(lock());
    fs.writeFileSync(join(lock(), 'owner.json'), content);
  }

  it('is the one that opened the folder, until it closes it', () => {
    const run = createRun(folder, record);
    expect(() => resumeRun(folder)).toThrow(/this process already writes into the run of .*run\.lock: close\(\) it first/);
    run.close();
    run.close();
    expect(fs.existsSync(lock())).toBe(false);
    resumeRun(folder).run.close();
  });

  it('may close the folder and open it again, unless another has written there in between', async () => {
    const run = createRun(folder, record);
    await run.saveCheckpoint(0, START);
    advance(run, 1, 2);
    run.close();
    run.reopen();
    run.reopen();
    expect(() => resumeRun(folder)).toThrow(/already writes/);
    advance(run, 3, 3);
    run.close();
    expect(steps()).toEqual([1, 2, 3]);
    const other = resumeRun(folder).run;
    expect(() => run.reopen()).toThrow(/already writes/);
    advance(other, 1, 1);
    other.close();
    expect(() => run.reopen()).toThrow(/another process has gone on with the run in .*first: resume it/);
    expect(fs.existsSync(lock())).toBe(false);
  });

  it('may be another process; when it is killed, its lock is taken over', { timeout: 60_000 }, async () => {
    const script = compile('test/fixtures/endlessRun.ts', join(place, 'compiled'));
    const child = spawn(process.execPath, [script, folder, 'Infinity'], { env: childEnvironment });
    await once(child.stdout, 'data');
    try {
      expect(() => resumeRun(folder)).toThrow(
        new RegExp(`process ${child.pid} on .* writes into this run: stop it or choose another`),
      );
      expect(() => createRun(folder, record)).toThrow(new RegExp(`process ${child.pid} `));
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    expect(fs.existsSync(lock())).toBe(true);
    resumeRun(folder).run.close();
  });

  it('of an earlier start of the same batch job, on another host, is taken over; of another job, or of this start, it is not', () => {
    createRun(folder, record).close();
    vi.stubEnv('SLURM_JOB_ID', '17');
    vi.stubEnv('SLURM_RESTART_COUNT', '2');
    const left = { pid: 1, host: 'elsewhere', started: null, token: 'other' };
    leaveLock(JSON.stringify({ ...left, job: { id: '16', restarts: 1 } }));
    expect(() => resumeRun(folder)).toThrow(/process 1 on elsewhere/);
    fs.writeFileSync(join(lock(), 'owner.json'), JSON.stringify({ ...left, job: { id: '17', restarts: 2 } }));
    expect(() => resumeRun(folder)).toThrow(/process 1 on elsewhere/);
    fs.writeFileSync(join(lock(), 'owner.json'), JSON.stringify({ ...left, job: { id: '17', restarts: 1 } }));
    const { run } = resumeRun(folder);
    expect(owner()).toMatchObject({ pid: process.pid, job: { id: '17', restarts: 2 } });
    run.close();
    vi.unstubAllEnvs();
  });

  it.each([
    [
      'of another host: nobody can tell',
      { pid: 1, host: 'elsewhere', started: null },
      /process 1 on elsewhere .* if it is gone, delete/,
    ],
    ['of a living process', { pid: process.ppid, host: hostname(), started: null }, /writes into this run: stop it/],
    ['of a process id used again', { pid: process.ppid, host: hostname(), started: 'long ago' }, null],
    ['of a dead process', { pid: 2 ** 30, host: hostname(), started: null }, null],
    ['of no process: 0 is the group of whoever asks', { pid: 0, host: hostname(), started: null }, null],
  ])('a lock %s', (_, content, refusal) => {
    createRun(folder, record).close();
    const other = { ...content, token: 'other' };
    leaveLock(JSON.stringify(other));
    for (const time of [1, 4e9]) fs.utimesSync(lock(), time, time); // its age says nothing, nor does a clock that is ahead
    if (refusal) {
      expect(() => resumeRun(folder)).toThrow(refusal);
      expect(owner()).toEqual(other);
    } else {
      const { run } = resumeRun(folder);
      expect(owner()).toMatchObject({ pid: process.pid });
      run.close();
      expect(fs.readdirSync(folder).filter((name) => name.includes('lock'))).toEqual([]);
    }
  });

  it.each([
    ['empty', () => leaveLock('')],
    ['no JSON', () => leaveLock('{"pid": 1')],
    ['a folder without an owner', () => fs.mkdirSync(lock())],
    ['a file', () => fs.writeFileSync(lock(), '')],
  ])('a lock that names nobody is nobody’s: %s', (_, leave) => {
    createRun(folder, record).close();
    leave();
    const { run } = resumeRun(folder);
    expect(owner()).toMatchObject({ pid: process.pid });
    run.close();
  });

  it('writes no more when its lock was deleted, or is another’s', async () => {
    const run = createRun(folder, record);
    advance(run, 1, 1);
    fs.rmSync(lock(), { recursive: true });
    const other = resumeRunWithoutCheckpoint();
    const lost = /run\.lock is no longer this process's: it writes no more/;
    expect(() => run.appendMetrics(metricsRow(2))).toThrow(lost);
    expect(() => run.appendExamples([])).toThrow(lost);
    expect(() => run.writeSummary(summary)).toThrow(lost);
    await expect(run.saveCheckpoint(1, START)).rejects.toThrow(lost);
    run.close();
    expect(owner()).toMatchObject({ pid: process.pid }); // closing frees one's own lock alone
    advance(other, 1, 1);
    other.close();
    expect(steps()).toEqual([1]);
  });

  /** Of a run whose rows are not worth keeping. */
  function resumeRunWithoutCheckpoint(): RunFolder {
    for (const name of ['metrics.jsonl', 'examples.jsonl']) fs.truncateSync(join(folder, name));
    return resumeRun(folder).run;
  }
});
