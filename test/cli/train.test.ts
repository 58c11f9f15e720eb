import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { UsageError } from '../../src/cli/command';
import { helpFor, run } from '../../src/cli/train';
import { EXPERIMENTS } from '../../src/experiments/experiments';
import { readMetrics, readRun, readSummary } from '../../src/runs/runFolder';
import { latestCheckpoint } from '../../src/runs/savedState';
import { randomStream } from '../../src/tensor/random';
import { childEnvironment } from '../fixtures/compile';
import { tryTmpfs } from '../fixtures/tmpfs';
import { saveTinyModels, TINY_CONFIG } from '../support/tinyModels';
import { build, dpg, ROOT } from './dpg';

let place: string;
let models: string[];
beforeAll(async () => {
  vi.stubEnv('DPG_BACKEND', 'wasm');
  build();
  place = fs.mkdtempSync(join(tmpdir(), 'dpg-train-test-'));
  const { generator, target } = await saveTinyModels(place);
  models = ['--generator', generator, '--target', target];
  fs.writeFileSync(join(place, 'tiny.json'), JSON.stringify(TINY_CONFIG));
}, 120_000);
afterAll(() => fs.rmSync(place, { recursive: true }));

const output: string[] = [];
beforeEach(() => {
  output.length = 0;
  vi.spyOn(console, 'log').mockImplementation((line) => void output.push(String(line)));
  vi.spyOn(console, 'error').mockImplementation(() => {});
  return () => vi.restoreAllMocks();
});

/** Arguments of a run of the tiny models into `place/name`. */
const tiny = (name: string, ...more: string[]): string[] => [
  'sixty-seven',
  ...models,
  ...['--config', join(place, 'tiny.json'), '--out', join(place, name)],
  ...more,
];
const rows = (folder: string) => readMetrics(folder).map((row) => ({ ...row, seconds: 0 }));

describe('dpg train', () => {
  test('writes a whole run folder; --json prints what it writes; flags win over --config', async () => {
    expect(await run(tiny('run', '--steps', '2', '--prompts', '3', '--json'))).toBe(0);
    const folder = join(place, 'run');
    const printed = output.map((line) => JSON.parse(line) as object);
    const { examples, ...result } = readSummary(folder)!;
    expect(printed).toEqual([...readMetrics(folder), result]);
    expect(result).toMatchObject({ experiment: 'sixty-seven', seed: 0, steps: 2 });
    expect(examples).toHaveLength(TINY_CONFIG.heldOutExamples);
    const { config, environment, models: used } = readRun(folder);
    expect(config).toMatchObject({ ...TINY_CONFIG, experiment: 'sixty-seven', steps: 2, prompts: 3 });
    expect(Object.keys(config).sort()).toEqual(['experiment', ...Object.keys(EXPERIMENTS['sixty-seven'].keys)].sort());
    expect(environment).toMatchObject({ seed: 0, backend: 'wasm', engine: expect.stringContaining('fused') as string });
    expect(used?.generator.folder).toBe(models[1]);
    expect(fs.readdirSync(folder).map((name) => name.replace(/^events.*/, 'events')).sort()).toEqual(
      ['checkpoints', 'config.json', 'events', 'examples.jsonl', 'figures', 'metrics.jsonl', 'summary.json'],
    ); // prettier-ignore
    await expect(run(tiny('run', '--steps', '2'))).rejects.toThrow(/already holds a run .*: resume it or choose another/);
    expect(readMetrics(folder)).toHaveLength(2);
  });

  test('a preset is below --config and flags; memory is told first', async () => {
    await expect(run(tiny('preset', '--preset', 'paper', '--steps', '1', '--strength', '7'))).resolves.toBe(0);
    const { config } = readRun(join(place, 'preset'));
    expect(config).toMatchObject({
      ...TINY_CONFIG,
      steps: 1,
      strength: 7,
      groupSize: 2,
      innerEpsRoot: 1e-9 / 64,
      advantageScale: 'group',
    });
    expect(output[0]).toMatch(/^memory: about 0\.\d GB of .+ free/);
  });

  test.each<[string, string[], RegExp]>([
    ['no experiment', [], /one EXPERIMENT of .*sixty-seven.* \(got none\)/],
    [
      'an unknown experiment',
      ['constructor'],
      /no experiment "constructor": take one of qr-code, sixty-seven, .*or a module of your own/,
    ],
    ['a value out of range', ['sixty-seven', '--steps', '0'], /steps must be whole number ≥ 1, ≤ 1000000 \(got 0\)/],
    ['a text for a number', ['sixty-seven', '--prompts', 'many'], /prompts must be .* \(got "many"\)/],
    ['a key of another experiment', ['sixty-seven', '--uuid', '1'], /unknown key "uuid"; sixty-seven has seed, /],
    [
      'texts that do not fit the model',
      ['sixty-seven', '--max-new-tokens', '60'],
      /prompt \(16\) and response \(60 tokens\) exceed/,
    ],
    ['keys that do not fit each other', ['sixty-seven', '--inner-steps', '7'], /innerSteps must divide/],
    ['no UUID', ['uuid', '--uuid', '1234'], /uuid must be text of the form .* \(got "1234"\)/],
    ['an unknown language', ['rephrase', '--language', 'latin'], /language must be es \| fr \| de \| it \(got "latin"\)/],
    [
      'a reward that needs texts',
      ['sixty-seven', '--reward', 'embedding'],
      /reward must be metagradient \| naive \(got "embedding"\)/,
    ],
    ['a config file that is not there', ['sixty-seven', '--config', '/none.json'], /--config \/none\.json: ENOENT/],
    ['a model that is not there', ['sixty-seven', '--target', '/none'], /--target \/none: there is no such folder/],
    [
      'a name that no model can have',
      ['sixty-seven', '--target', 'a/b/c'],
      /--target a\/b\/c: there is no such folder, and models of/,
    ],
    ['an unknown preset', ['sixty-seven', '--preset', 'huge'], /--preset huge: sixty-seven has the presets tiny, paper, gpt2/],
    ['a run that is not there', ['--resume', '/none'], /--resume: \/none holds no run/],
    ['--resume with other keys', ['--resume', '/none', '--seed', '1'], /leave out --seed, or give it as --change/],
    ['an empty name of a folder', ['sixty-seven', '--out', ''], /--out needs the name of a folder \(got ''\)/],
    [
      'no checkpoint interval',
      ['sixty-seven', '--checkpoint-seconds', '0'],
      /--checkpoint-seconds must be a whole number from 1/,
    ],
  ])('tells a mistake in one line: %s', async (_, argv, complaint) => {
    const error = await run(argv).catch((thrown: unknown) => thrown as Error);
    expect(error).toBeInstanceOf(UsageError);
    expect((error as Error).message).toMatch(complaint);
    expect((error as Error).message).not.toContain('\n');
  });

  test.each([
    ['{"stepz": 3}', /unknown key "stepz"/],
    ['[1]', /a configuration is an object/],
    ['{', /JSON/],
  ])('a config file with %s', async (content, complaint) => {
    const file = join(place, 'odd.json');
    fs.writeFileSync(file, content);
    await expect(run(['sixty-seven', '--config', file])).rejects.toThrow(complaint);
  });

  test.each(Object.values(EXPERIMENTS))(
    'the help of $name names its keys with range and its own default',
    async ({ name, keys, defaults }) => {
      const help = await helpFor([name]);
      for (const [key, { range, default: general, sameAs }] of Object.entries(keys)) {
        const value = (defaults as Record<string, string>)[key] ?? general ?? `= ${sameAs}`;
        const flag = `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} `;
        const line = help.split('\n').find((each) => each.trim().startsWith(flag));
        expect(line).toContain(`(${range}`);
        expect(line).toContain(`; default ${String(value)}`);
      }
    },
  );

  test('a read-only disk: exit code 1 and one line; an unknown flag: exit code 2', { timeout: 60_000 }, async (context) => {
    const unknown = dpg('train', 'sixty-seven', '--stepz', '3');
    expect(await unknown.exit).toBe(2);
    expect(unknown.stderr()).toMatch(/^dpg: .*--stepz.*\n$/);
    const disk = tryTmpfs(place, 'ro');
    if (!disk) return context.skip('mounting a tmpfs is not permitted here');
    try {
      const refused = dpg('train', ...tiny('', '--out', join(disk.path, 'run')));
      expect(await refused.exit).toBe(1);
      expect(refused.stderr()).toMatch(/^dpg: cannot write .*: the file system is read-only \(EROFS\)\n$/);
    } finally {
      disk.unmount();
    }
  });

  test('prompt and response longer than the positions: exit code 2, and no folder', { timeout: 60_000 }, async () => {
    const child = dpg('train', ...tiny('misfit', '--max-new-tokens', '13'));
    expect(await child.exit).toBe(2);
    expect(child.stderr()).toMatch(/^dpg: prompt \(4\) and response \(13 tokens\) exceed the generator's 16 positions.*\n$/);
    expect(fs.existsSync(join(place, 'misfit'))).toBe(false);
  });

  test('Ctrl-C: exit code 130; --resume goes on as if it had not been', { timeout: 60_000 }, async () => {
    const child = dpg('train', ...tiny('stopped', '--steps', '150'));
    await child.prints('step 2/');
    child.process.kill('SIGINT');
    expect(await child.exit).toBe(130);
    const folder = join(place, 'stopped');
    expect(child.stdout()).toContain(`go on with: dpg train --resume ${folder}`);
    expect(fs.existsSync(join(folder, 'run.lock'))).toBe(false);
    const [stopped] = latestCheckpoint(join(folder, 'checkpoints')).state ? rows(folder).slice(-1) : [];
    expect(stopped.step).toBeGreaterThanOrEqual(2);
    const resumed = dpg('train', '--resume', folder);
    await resumed.prints(`step ${stopped.step + 3}/150`);
    expect(resumed.stdout()).not.toContain(`step ${stopped.step}/150`);
    resumed.process.kill('SIGINT');
    expect(await resumed.exit).toBe(130);
    const steps = rows(folder).length;
    expect(await run(tiny('whole', '--steps', '150', '--json', '--stop-after-done', '0', '--out', join(place, 'whole')))).toBe(0);
    expect(rows(folder)).toEqual(rows(join(place, 'whole')).slice(0, steps));
  });
});

describe('what ends a run early, with a checkpoint', () => {
  const endings: [string, number, (child: ReturnType<typeof dpg>) => unknown, ...string[]][] = [
    ['SIGINT on the tape', 130, (child) => child.process.kill('SIGINT'), '--engine', 'tape'],
    ['SIGTERM', 143, (child) => child.process.kill('SIGTERM')],
    ['SIGHUP', 129, (child) => child.process.kill('SIGHUP')],
    ['a reader that leaves', 141, (child) => child.process.stdout!.destroy()],
  ];
  test.each(endings)('%s: exit code %i', { timeout: 60_000 }, async (name, code, end, ...more) => {
    const folder = join(place, name);
    const child = dpg('train', ...tiny(name, '--steps', '100000', '--stop-after-done', '0', ...more));
    await child.prints('step 2/');
    end(child);
    expect(await child.exit, child.stderr()).toBe(code);
    expect(child.stderr()).not.toMatch(/\n {4}at /);
    expect(fs.existsSync(join(folder, 'run.lock'))).toBe(false);
    expect(latestCheckpoint(join(folder, 'checkpoints')).state?.step).toBe(readMetrics(folder).at(-1)!.step);
  });
});

test('a finished run is extended, another key changed: both are recorded, and only what is named', async () => {
  expect(await run(tiny('extended', '--steps', '2'))).toBe(0);
  const folder = join(place, 'extended');
  await expect(run(['--resume', folder, '--change', 'learningRat=1'])).rejects.toThrow(
    /--change takes KEY=VALUE .*learningRat=1/,
  );
  expect(await run(['--resume', folder, '--steps', '4', '--change', 'klCoef=0.5'])).toBe(0);
  expect(readMetrics(folder).map(({ step }) => step)).toEqual([1, 2, 3, 4]);
  expect(readSummary(folder)).toMatchObject({ steps: 4 });
  const { config, changes } = readRun(folder);
  expect(config).toMatchObject({ steps: 4, klCoef: 0.5 });
  expect(changes).toEqual([{ step: 2, config: { steps: 4, klCoef: 0.5 } }]);
});

interface Child {
  readonly start: () => void;
  /** Resolves after it has saved its first checkpoint. */
  readonly checkpoint: () => Promise<unknown>;
  readonly kill: () => void;
  readonly exit: Promise<unknown>;
  readonly errors: () => string;
}

/** A process that has loaded all modules and waits to start or resume the run `place/name`. */
function loadChild(name: string, lastStep = Infinity): Child {
  const script = join(__dirname, '../fixtures/recordedRun.cjs');
  const config = JSON.stringify({ ...TINY_CONFIG, steps: 100_000 });
  const argv = [script, join(place, 'dist'), join(place, name), place, config, String(lastStep)];
  const child = spawn(process.execPath, argv, { env: childEnvironment });
  let errors = '';
  child.stderr.on('data', (text) => (errors += text));
  child.stdin.on('error', () => {}); // it was killed before it read
  return {
    start: () => void child.stdin.write('go\n'),
    checkpoint: () => once(child.stdout, 'data'),
    kill: () => void child.kill('SIGKILL'),
    exit: once(child, 'exit'),
    errors: () => errors,
  };
}

/** Processes of the command itself take seconds each; `DPG_KILLS=50 npm test` kills more of them. */
const KILLS = Number(process.env.DPG_KILLS ?? 20);

test(
  `a run that is killed at ${KILLS} random moments and resumed equals one that was not`,
  { timeout: 4_000 * KILLS },
  async () => {
    fs.cpSync(join(ROOT, 'dist'), join(place, 'dist'), { recursive: true }); // all processes run the same code, whoever builds meanwhile
    fs.copyFileSync(join(ROOT, 'package.json'), join(place, 'package.json'));
    const random = randomStream(67, 'kills');
    const examples = (name: string): string =>
      fs.readFileSync(join(place, name, 'examples.jsonl'), 'utf8').replace(/[^\n]*$/, '');
    const snapshots: { metrics: object[]; examples: string }[] = [];
    let next = loadChild('killed');
    for (let i = 0; i < KILLS; i++) {
      const child = next;
      next = loadChild('killed', i < KILLS - 1 ? Infinity : 1);
      child.start();
      if (i % 4) await child.checkpoint(); // else it dies while it starts or resumes
      await sleep(random.uniform() * 100);
      child.kill();
      expect(await child.exit, child.errors()).toEqual([null, 'SIGKILL']);
      expect(latestCheckpoint(join(place, 'killed/checkpoints')).ignored).toEqual([]);
      if (fs.existsSync(join(place, 'killed/examples.jsonl')))
        snapshots.push({ metrics: rows(join(place, 'killed')), examples: examples('killed') });
    }
    next.kill();
    const lastStep = 2 + Math.max(...snapshots.map(({ metrics }) => metrics.length));
    for (const name of ['killed', 'never-killed']) {
      const child = loadChild(name, lastStep);
      child.start();
      expect(await child.exit, child.errors()).toEqual([0, null]);
    }
    const whole = rows(join(place, 'never-killed'));
    expect(whole).toHaveLength(lastStep);
    expect(lastStep).toBeGreaterThan(KILLS * 0.74 * 2); // steps behind a checkpoint were never lost
    expect(rows(join(place, 'killed'))).toEqual(whole);
    expect(examples('killed')).toBe(examples('never-killed'));
    for (const { metrics, examples: written } of snapshots) {
      expect(metrics).toEqual(whole.slice(0, metrics.length));
      expect(examples('never-killed').startsWith(written)).toBe(true);
    }
    const [killed, never] = ['killed', 'never-killed'].map((name) => latestCheckpoint(join(place, name, 'checkpoints')).state);
    expect(killed?.trees).toEqual(never?.trees);
    expect(fs.readdirSync(join(place, 'killed/checkpoints'))).toEqual(fs.readdirSync(join(place, 'never-killed/checkpoints')));
  },
);
