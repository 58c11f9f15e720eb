import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRun, readMetrics, resumeRun } from '../../src/runs/runFolder';
import { readReports, type DamagedRun } from '../../src/runs/runReport';
import { metricsRow, runRecord } from '../support/runRows';

const NEWEST = 'checkpoints/step-000004';
const FILES = [
  'config.json',
  'metrics.jsonl',
  'examples.jsonl',
  'summary.json',
  ...['state.json', 'state.safetensors', '.complete.json'].map((name) => `${NEWEST}/${name}`),
];

/** What can have happened to a file. */
const DAMAGES: Readonly<Record<string, (path: string) => void>> = {
  missing: (path) => fs.rmSync(path),
  empty: (path) => fs.writeFileSync(path, ''),
  'cut in half': (path) => fs.truncateSync(path, fs.statSync(path).size >> 1),
  null: (path) => fs.writeFileSync(path, 'null\n'),
  '{}': (path) => fs.writeFileSync(path, '{}\n'),
  '[]': (path) => fs.writeFileSync(path, '[]\n'),
  binary: (path) => fs.writeFileSync(path, Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * 151) % 256))),
  'a folder': (path) => (fs.rmSync(path), fs.mkdirSync(path)),
};

const inConfig = (from: string, to: string) => (run: string) => {
  const path = join(run, 'config.json');
  fs.writeFileSync(path, fs.readFileSync(path, 'utf8').replace(from, to));
};

/** Name of a run folder, and what is done to it. */
const CASES: readonly (readonly [string, (run: string) => void])[] = [
  ...FILES.flatMap((file) =>
    Object.entries(DAMAGES).map(([what, damage]) => [`${file} ${what}`, (run: string) => damage(join(run, file))] as const),
  ),
  ['no checkpoints', (run) => fs.rmSync(join(run, 'checkpoints'), { recursive: true })],
  ['checkpoints is a file', (run) => (fs.rmSync(join(run, 'checkpoints'), { recursive: true }), fs.writeFileSync(join(run, 'checkpoints'), ''))],
  ['figures is a file', (run) => (fs.rmdirSync(join(run, 'figures')), fs.writeFileSync(join(run, 'figures'), ''))],
  ['a lock that names nobody', (run) => fs.writeFileSync(join(run, 'run.lock'), '?')],
  ['a seed that is text', inConfig('"seed": 3', '"seed": "three"')],
  ['another seed', inConfig('"seed": 3', '"seed": 4')],
  ['an unknown key', inConfig('"config"', '"\\u001b[2J": 1, "config"')],
]; // prettier-ignore

let place: string;
const folderOf = (name: string): string => join(place, name.replaceAll('/', '-'));

/** A complete run of four steps, checkpoints after the second and the last. */
async function healthyRun(folder: string): Promise<void> {
  const run = createRun(folder, runRecord());
  for (let step = 1; step <= 4; step++) {
    run.appendMetrics(metricsRow(step));
    run.appendExamples([{ step, response: 'λ' }]);
    const trees = { generator: { w: { shape: [2], data: Float32Array.of(step, -step) } } };
    if (step % 2 === 0) await run.saveCheckpoint(step, { trees, values: { random: [step] } });
  }
  run.writeSummary({ experiment: 'tiny', seed: 3, steps: 4, seconds: 4, held_out: { phi: -1 } });
  run.close();
}

/** Every file of a folder with its content. */
const contents = (folder: string): Record<string, string> =>
  Object.fromEntries(
    (fs.readdirSync(folder, { recursive: true }) as string[])
      .filter((name) => fs.statSync(join(folder, name)).isFile())
      .map((name) => [name, fs.readFileSync(join(folder, name), 'latin1')]),
  );

beforeAll(async () => {
  place = fs.mkdtempSync(join(tmpdir(), 'damaged-'));
  await healthyRun(folderOf('healthy'));
  for (const [name, damage] of CASES) {
    fs.cpSync(folderOf('healthy'), folderOf(name), { recursive: true });
    damage(folderOf(name));
  }
}, 60_000);
afterAll(() => fs.rmSync(place, { recursive: true }));

/** One line for people, that names a path and executes nothing. */
function expectSentence(message: string): void {
  expect(message).toContain(place);
  expect(message.length).toBeLessThan(1000);
  // eslint-disable-next-line no-control-regex -- they are what must not be there
  expect(message).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]|TypeError|undefined|EISDIR/);
}

describe(`${CASES.length} damaged run folders`, () => {
  it('hide no other: each has its sentence in the list', () => {
    expect(CASES.length).toBeGreaterThanOrEqual(60);
    const reports = readReports(place);
    expect(reports).toHaveLength(CASES.length + 1);
    expect(reports.find(({ name }) => name === 'healthy')).toMatchObject({ state: 'complete', steps: 4, heldOut: { phi: -1 } });
    const damaged = reports.filter((each): each is DamagedRun => each.state === 'damaged');
    for (const { error } of damaged) {
      expectSentence(error);
      expect(error).not.toContain('\n');
    }
    const named = damaged.map(({ name }) => name);
    for (const file of ['config.json', 'summary.json'])
      for (const what of ['empty', 'null', '{}', '[]', 'binary', 'a folder']) expect(named).toContain(`${file} ${what}`);
    expect(named).toEqual(expect.arrayContaining(['config.json missing', 'metrics.jsonl missing', 'metrics.jsonl null', 'a seed that is text']));
  });

  it.each(CASES)('resuming loses no row that is good: %s', (name) => {
    const folder = folderOf(name);
    const before = contents(folder);
    const whole = readMetrics(folderOf('healthy'));
    let resumed;
    try {
      resumed = resumeRun(folder);
    } catch (error) {
      expectSentence((error as Error).message);
      expect(contents(folder)).toEqual(before);
      return;
    }
    resumed.run.close();
    expect(readMetrics(folder)).toEqual(whole.slice(0, resumed.state!.step));
    // where the newest checkpoint is damaged, its rows are kept with it
    const kept = resumed.ignored.length ? join(folder, `${NEWEST}.damaged`) : folder;
    expect(readMetrics(kept)).toEqual(whole);
  });
});
