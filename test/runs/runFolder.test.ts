import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MetricsRow } from '../../src/dpg/train';
import { describeEnvironment } from '../../src/runs/environment';
import { createRun, readRun, readSummary, resumeRun, type RunFolder } from '../../src/runs/runFolder';
import { childEnvironment, compile } from '../fixtures/compile';
import { tryTmpfs } from '../fixtures/tmpfs';

const environment = describeEnvironment({ backend: 'cpu', engine: 'tape', seed: 3 });
const record = { config: { learningRate: 1e-3, seed: 3 }, environment };

let place: string;
let folder: string;
beforeEach(() => {
  place = fs.mkdtempSync(join(tmpdir(), 'run-'));
  folder = join(place, 'runs/first');
});
afterEach(() => fs.rmSync(place, { recursive: true, force: true }));

function metrics(step: number, phi = -step): MetricsRow {
  const zeros = {
    reward_mean: 0,
    reward_std: 0,
    degenerate_groups: 0,
    entropy: 0,
    kl: 0,
    target_loss_first: 0,
    target_loss_last: 0,
  };
  return { step, phi, ...zeros, seconds: 1 };
}

const rows = (name: string): { step: number }[] =>
  fs
    .readFileSync(join(folder, name), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { step: number });
const steps = (name: string): number[] => rows(name).map(({ step }) => step);

/** Steps with a metrics row and two examples each. */
function advance(run: RunFolder, from: number, to: number): void {
  for (let step = from; step <= to; step++) {
    run.appendExamples([
      { step, response: 'α\n"' },
      { step, response: '' },
    ]);
    run.appendMetrics(metrics(step));
  }
}

const state = (phi: number) => ({
  trees: { generator: { w: { shape: [1], data: Float32Array.of(phi) } } },
  values: { random: [phi] },
});

describe('a run folder', () => {
  it('holds configuration, environment, rows and summary', () => {
    const run = createRun(folder, record);
    advance(run, 1, 2);
    run.appendMetrics({ ...metrics(3, NaN), pixel_accuracy: 0.5 });
    run.writeSummary({ phi: -1 });
    run.close();
    expect(fs.readdirSync(folder).sort()).toEqual(['config.json', 'examples.jsonl', 'figures', 'metrics.jsonl', 'summary.json']);
    expect(readRun(folder)).toEqual(record);
    expect(readSummary(folder)).toEqual({ phi: -1 });
    expect(rows('metrics.jsonl')[1]).toEqual(metrics(2));
    expect(rows('metrics.jsonl')[2]).toMatchObject({ phi: null, pixel_accuracy: 0.5 });
    expect(rows('examples.jsonl')[2]).toEqual({ step: 2, response: 'α\n"' });
    expect(() => run.appendMetrics(metrics(4))).toThrow(/closed/);
  });

  it('says what it ran on', () => {
    expect(environment).toMatchObject({ node: process.version, backend: 'cpu', engine: 'tape', seed: 3 });
    expect(environment.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(environment.tfjs).toMatch(/^\d+\.\d+\.\d+/);
    expect(environment.commit ?? '').toMatch(/^([0-9a-f]{40}(-dirty)?)?$/);
  });

  it('refuses a folder that holds another run, and rows out of order', () => {
    const run = createRun(folder, record);
    advance(run, 1, 1);
    expect(() => run.appendMetrics(metrics(1))).toThrow(/row of step 1 cannot follow step 1/);
    run.close();
    expect(() => createRun(folder, record)).toThrow(
      /first already holds a run \(config\.json\): resume it or choose another folder/,
    );
    expect(steps('metrics.jsonl')).toEqual([1]);
    expect(() => resumeRun(place)).toThrow(/holds no run: it has no config\.json/);
  });
});

describe('resuming', () => {
  it('cuts rows back to the checkpoint, torn lines and leftovers too', async () => {
    const run = createRun(folder, record);
    advance(run, 1, 4);
    await run.saveCheckpoint(4, state(4));
    advance(run, 5, 6);
    run.close();
    fs.appendFileSync(join(folder, 'metrics.jsonl'), '{"step":7,"ph');
    fs.mkdirSync(join(folder, 'checkpoints/.step-000006.tmp-1-01234567'));
    const resumed = resumeRun(folder);
    expect(resumed).toMatchObject({ ...record, state: { step: 4, ...state(4) }, ignored: [] });
    expect(steps('metrics.jsonl')).toEqual([1, 2, 3, 4]);
    expect(steps('examples.jsonl')).toEqual([1, 1, 2, 2, 3, 3, 4, 4]);
    expect(fs.readdirSync(join(folder, 'checkpoints'))).toEqual(['step-000004']);
    expect(() => resumed.run.appendMetrics(metrics(4))).toThrow(/cannot follow step 4/);
    advance(resumed.run, 5, 5);
    resumed.run.close();
    expect(steps('metrics.jsonl')).toEqual([1, 2, 3, 4, 5]);
  });

  it('starts over without a checkpoint', () => {
    const run = createRun(folder, record);
    advance(run, 1, 2);
    run.close();
    const resumed = resumeRun(folder);
    expect(resumed.state).toBe(null);
    expect([...rows('metrics.jsonl'), ...rows('examples.jsonl')]).toEqual([]);
    resumed.run.close();
  });

  it('falls back behind a damaged checkpoint, keeps it aside, and can write that step again', async () => {
    const run = createRun(folder, record);
    for (const step of [1, 2]) {
      advance(run, step, step);
      await run.saveCheckpoint(step, state(step));
    }
    run.close();
    const damaged = join(folder, 'checkpoints/step-000002');
    fs.truncateSync(join(damaged, 'state.safetensors'), 20);
    const resumed = resumeRun(folder);
    expect(resumed.state).toMatchObject({ step: 1, ...state(1) });
    expect(resumed.ignored).toEqual([{ path: damaged, reason: expect.stringContaining('20 bytes instead of') as string }]);
    advance(resumed.run, 2, 2);
    await resumed.run.saveCheckpoint(2, state(2));
    resumed.run.close();
    expect(fs.readdirSync(join(folder, 'checkpoints')).sort()).toEqual(['step-000001', 'step-000002', 'step-000002.damaged']);
    const again = resumeRun(folder);
    expect(again.state).toMatchObject({ step: 2, ...state(2) });
    again.run.close();
  });

  it('does not throw rows away when no checkpoint is readable, or when rows are missing', async () => {
    const run = createRun(folder, record);
    advance(run, 1, 1);
    await run.saveCheckpoint(1, state(1));
    run.close();
    const file = join(folder, 'checkpoints/step-000001/state.json');
    const content = fs.readFileSync(file);
    fs.writeFileSync(file, '');
    expect(() => resumeRun(folder)).toThrow(
      /no checkpoint in .* is readable; start a new run in another folder:\n.*state\.json has 0 bytes/,
    );
    expect(steps('metrics.jsonl')).toEqual([1]);
    fs.writeFileSync(file, content);
    fs.truncateSync(join(folder, 'examples.jsonl'), 5);
    expect(() => resumeRun(folder)).toThrow(/examples\.jsonl lost rows: it had \d+ bytes at the checkpoint of step 1, now 5/);
    expect(steps('metrics.jsonl')).toEqual([1]);
  });
});

describe('one writer', () => {
  const lock = (): string => join(folder, 'run.lock');

  it('is the one that opened the folder, until it closes it', () => {
    const run = createRun(folder, record);
    expect(() => resumeRun(folder)).toThrow(/this process already writes into the run of .*run\.lock: close\(\) it first/);
    run.close();
    run.close();
    expect(fs.existsSync(lock())).toBe(false);
    resumeRun(folder).run.close();
  });

  it('may close the folder and open it again, unless another has written there in between', () => {
    const run = createRun(folder, record);
    advance(run, 1, 2);
    run.close();
    run.reopen();
    run.reopen();
    expect(() => resumeRun(folder)).toThrow(/already writes/);
    advance(run, 3, 3);
    run.close();
    expect(steps('metrics.jsonl')).toEqual([1, 2, 3]);
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

  it.each([
    [
      'of another host: nobody can tell',
      { pid: 1, host: 'elsewhere', started: null },
      /process 1 on elsewhere .* if it is gone, delete/,
    ],
    ['of a living process', { pid: process.ppid, host: hostname(), started: null }, /writes into this run: stop it/],
    ['of a process id used again', { pid: process.ppid, host: hostname(), started: 'long ago' }, null],
    ['of a dead process', { pid: 2 ** 30, host: hostname(), started: null }, null],
  ])('a lock %s', (_, owner, refusal) => {
    createRun(folder, record).close();
    fs.writeFileSync(lock(), JSON.stringify(owner));
    if (refusal) {
      expect(() => resumeRun(folder)).toThrow(refusal);
      expect(JSON.parse(fs.readFileSync(lock(), 'utf8'))).toEqual(owner);
    } else {
      fs.writeFileSync(`${lock()}.takeover`, JSON.stringify(owner)); // it died while taking over
      const { run } = resumeRun(folder);
      expect(JSON.parse(fs.readFileSync(lock(), 'utf8'))).toMatchObject({ pid: process.pid });
      run.close();
      expect(fs.readdirSync(folder).filter((name) => name.includes('lock'))).toEqual([]);
    }
  });

  it('an empty lock belongs to a process that is just writing it, or died doing so', () => {
    createRun(folder, record).close();
    fs.writeFileSync(lock(), '');
    expect(() => resumeRun(folder)).toThrow(/just taking/);
    fs.utimesSync(lock(), 1, 1);
    resumeRun(folder).run.close();
  });
});

describe('a disk that refuses', () => {
  it('when full: rows and checkpoints so far stay, and the run goes on after', async (context) => {
    const disk = tryTmpfs(place, 'size=256k');
    if (!disk) return context.skip('mounting a tmpfs is not permitted here');
    try {
      folder = join(disk.path, 'run');
      const run = createRun(folder, record);
      advance(run, 1, 2);
      await run.saveCheckpoint(2, state(2));
      expect(() => run.appendExamples([{ step: 3, response: 'x'.repeat(500_000) }])).toThrow(
        /examples\.jsonl: the disk is full \(ENOSPC\)/,
      );
      const large = { trees: { generator: { w: { shape: [100_000], data: new Float32Array(100_000) } } }, values: {} };
      await expect(run.saveCheckpoint(3, large)).rejects.toThrow(/the disk is full/);
      expect(() => run.writeSummary({ text: 'x'.repeat(500_000) })).toThrow(/summary\.json: the disk is full/);
      advance(run, 3, 3);
      run.close();
      expect(steps('examples.jsonl')).toEqual([1, 1, 2, 2, 3, 3]);
      const resumed = resumeRun(folder);
      expect(resumed.state).toMatchObject({ step: 2, ...state(2) });
      resumed.run.close();
    } finally {
      disk.unmount();
    }
  });

  it('when read-only, or when the path runs through a file', (context) => {
    fs.writeFileSync(join(place, 'file'), '');
    expect(() => createRun(join(place, 'file/run'), record)).toThrow(
      /file\/run: a part of the path is a file, not a folder \(ENOTDIR\)/,
    );
    const disk = tryTmpfs(place, 'ro');
    if (!disk) return context.skip('mounting a tmpfs is not permitted here');
    try {
      expect(() => createRun(join(disk.path, 'run'), record)).toThrow(/run: the file system is read-only \(EROFS\)/);
    } finally {
      disk.unmount();
    }
  });
});
