import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeEnvironment } from '../../src/runs/environment';
import { createRun, readRun, readSummary, resumeRun, type RunFolder } from '../../src/runs/runFolder';
import { metricsRow, runRecord } from '../support/runRows';
import { tryTmpfs } from '../fixtures/tmpfs';

const environment = describeEnvironment({ backend: 'cpu', engine: 'tape', seed: 3 });
const record = { ...runRecord({ learningRate: 1e-3 }), environment };
const summary = { experiment: 'tiny', seed: 3, steps: 3, seconds: 3, held_out: { phi: -1 } };

let place: string;
let folder: string;
beforeEach(() => {
  place = fs.mkdtempSync(join(tmpdir(), 'run-'));
  folder = join(place, 'runs/first');
});
afterEach(() => fs.rmSync(place, { recursive: true, force: true }));

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
    run.appendMetrics(metricsRow(step));
  }
}

/** What the checkpoint of step 0 holds: nothing, it follows from the configuration. */
const START = { trees: {}, values: {} };
const lockOf = (run: string): string => join(run, 'run.lock');

const state = (phi: number) => ({
  trees: { generator: { w: { shape: [1], data: Float32Array.of(phi) } } },
  values: { random: [phi] },
});

describe('a run folder', () => {
  it('holds configuration, environment, rows and summary', () => {
    const run = createRun(folder, record);
    advance(run, 1, 2);
    run.appendMetrics(metricsRow(3, { phi: NaN, pixel_accuracy: 0.5 }));
    expect(() => run.writeSummary({ ...summary, steps: 2 })).toThrow(/a summary of step 2 is none of .*, which is at step 3: validate again/);
    run.writeSummary(summary);
    run.close();
    expect(fs.readdirSync(folder).sort()).toEqual(['config.json', 'examples.jsonl', 'figures', 'metrics.jsonl', 'summary.json']);
    expect(readRun(folder)).toEqual(record);
    expect(readSummary(folder)).toEqual(summary);
    expect(rows('metrics.jsonl')[1]).toEqual(metricsRow(2));
    expect(rows('metrics.jsonl')[2]).toMatchObject({ phi: null, pixel_accuracy: 0.5 });
    expect(rows('examples.jsonl')[2]).toEqual({ step: 2, response: 'α\n"' });
    expect(() => run.appendMetrics(metricsRow(4))).toThrow(/closed/);
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
    expect(() => run.appendMetrics(metricsRow(1))).toThrow(/row of step 1 cannot follow step 1/);
    run.close();
    expect(() => createRun(folder, record)).toThrow(
      /first already holds a run \(config\.json\): resume it or choose another folder/,
    );
    expect(steps('metrics.jsonl')).toEqual([1]);
    fs.writeFileSync(join(place, 'thesis.txt'), 'kept');
    expect(() => createRun(place, record)).toThrow(/holds "runs", which is no part of a run: choose a new or an empty folder/);
    expect(fs.readdirSync(place).sort()).toEqual(['runs', 'thesis.txt']);
    expect(() => createRun('', record)).toThrow(/needs a name/);
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
    expect(resumed).toMatchObject({ run: { record }, state: { step: 4, ...state(4) }, ignored: [] });
    expect(steps('metrics.jsonl')).toEqual([1, 2, 3, 4]);
    expect(steps('examples.jsonl')).toEqual([1, 1, 2, 2, 3, 3, 4, 4]);
    expect(fs.readdirSync(join(folder, 'checkpoints'))).toEqual(['step-000004']);
    expect(() => resumed.run.appendMetrics(metricsRow(4))).toThrow(/cannot follow step 4/);
    advance(resumed.run, 5, 5);
    resumed.run.close();
    expect(steps('metrics.jsonl')).toEqual([1, 2, 3, 4, 5]);
  });

  it('starts over at the checkpoint of the start, or where there are no rows to lose', async () => {
    createRun(folder, record).close();
    const { run, state } = resumeRun(folder);
    expect(state).toBe(null);
    await run.saveCheckpoint(0, START);
    advance(run, 1, 2);
    run.close();
    const resumed = resumeRun(folder);
    expect(resumed.state).toMatchObject({ step: 0, ...START });
    expect([...rows('metrics.jsonl'), ...rows('examples.jsonl')]).toEqual([]);
    resumed.run.close();
  });

  it.each(['checkpoints', 'checkpoints/step-000000'])('never without its checkpoints: %s is gone, the rows stay', async (gone) => {
    const run = createRun(folder, record);
    await run.saveCheckpoint(0, START);
    advance(run, 1, 2);
    run.writeSummary({ ...summary, steps: 2 });
    run.close();
    fs.rmSync(join(folder, gone), { recursive: true });
    expect(() => resumeRun(folder)).toThrow(/no checkpoint in .*checkpoints is readable; the rows stay as they are: start a new run/);
    expect(steps('metrics.jsonl')).toEqual([1, 2]);
    expect(fs.existsSync(lockOf(folder))).toBe(false);
  });

  it('with another config.json is refused by key, or taken as a change and recorded', async () => {
    const run = createRun(folder, record);
    advance(run, 1, 2);
    await run.saveCheckpoint(2, state(2));
    run.close();
    const file = join(folder, 'config.json');
    const content = fs.readFileSync(file, 'utf8');
    fs.writeFileSync(file, content.replace('"learningRate": 0.001', '"learningRate": 0.5'));
    expect(() => resumeRun(folder)).toThrow(
      /config\.json says learningRate 0\.5, but the run was made with 0\.001: put it back, or resume with --change learningRate=0\.5$/,
    );
    resumeRun(folder, { learningRate: 0.5 }).run.close();
    const changes = [{ step: 2, config: { learningRate: 0.5 } }];
    expect(readRun(folder)).toMatchObject({ config: { learningRate: 0.5 }, changes });
    const again = resumeRun(folder).run; // what is recorded is no longer a difference
    advance(again, 3, 3);
    await again.saveCheckpoint(3, state(3));
    again.close();
    resumeRun(folder).run.close();
    fs.writeFileSync(file, content);
    expect(() => resumeRun(folder)).toThrow(/says learningRate 0\.001, but the run was made with 0\.5/);
  });

  it.each<[string, (text: string) => string, RegExp]>([
    ['no JSON', (text) => text.replace('{"step":2', '{{"step":2'), /metrics\.jsonl: line 2 is no JSON/],
    ['a text for a number', (text) => text.replace('"phi":-2', '"phi":"-2"'), /metrics\.jsonl: line 2 .*phi: .*expected number.*"-2"/],
    ['no number of a step', (text) => text.replace('"step":2,', ''), /metrics\.jsonl: line 2 .*step: /],
    ['steps out of order', (text) => text.replace('"step":1', '"step":3'), /metrics\.jsonl: line 2 is of step 2, after one of step 3/],
    ['another last step', (text) => text.replace('"step":4', '"step":5'), /metrics\.jsonl ends with step 5 where the checkpoint of step 4/],
  ])('finds rows that were damaged before it trains: %s', async (_, damage, complaint) => {
    const run = createRun(folder, record);
    advance(run, 1, 4);
    await run.saveCheckpoint(4, state(4));
    run.close();
    const file = join(folder, 'metrics.jsonl');
    const damaged = damage(fs.readFileSync(file, 'utf8')).padEnd(fs.statSync(file).size, ' ');
    fs.writeFileSync(file, damaged);
    expect(() => resumeRun(folder)).toThrow(complaint);
    expect(fs.readFileSync(file, 'utf8')).toBe(damaged);
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
      /no checkpoint in .* is readable; .*start a new run in another folder:\n.*state\.json has 0 bytes/,
    );
    expect(steps('metrics.jsonl')).toEqual([1]);
    fs.writeFileSync(file, content);
    fs.truncateSync(join(folder, 'examples.jsonl'), 5);
    expect(() => resumeRun(folder)).toThrow(/examples\.jsonl lost rows: it had \d+ bytes at the checkpoint of step 1, now 5/);
    expect(steps('metrics.jsonl')).toEqual([1]);
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
      expect(() => run.writeSummary({ ...summary, steps: 2, experiment: 'x'.repeat(500_000) })).toThrow(/summary\.json: the disk is full/);
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
