/** The runs that a command line of `dpg sweep` asks for: every value of every key with every one of the others. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { parseConfig } from '../dpg/config';
import { given, valueOfText, type Key, type Keys } from '../dpg/keys';
import { RUNS } from '../files/paths';
import { runName, type SweepManifest, type SweptRun } from '../runs/sweepFolder';
import { asUsage, UsageError } from './command';
import { kebab } from './keyHelp';
import { keysAmong, parseArguments, type Arguments } from './trainArguments';

/** More is a slip of the hand. */
const MOST_RUNS = 100_000;

const PASSED_ON = ['preset', 'config', 'generator', 'target', 'evaluator'];
const CHECKPOINTS = ['checkpoint-steps', 'checkpoint-seconds'];

/** What a sweep is asked for beside its runs. */
export const SWEEP_OPTIONS = {
  out: { type: 'string' },
  local: { type: 'string' },
  slurm: { type: 'boolean', default: false },
  partition: { type: 'string' },
  time: { type: 'string' },
  'max-parallel': { type: 'string' },
  sbatch: { type: 'string' },
  'dry-run': { type: 'boolean', default: false },
} as const;

/** Values of {@link SWEEP_OPTIONS}. */
export type SweepValues = ReturnType<typeof parseArgs<{ options: typeof SWEEP_OPTIONS }>>['values'];

/** What a command line asks for. */
export interface SweepPlan {
  readonly manifest: SweepManifest;
  /** The same for the same runs. */
  readonly folder: string;
  readonly values: SweepValues;
}

/** The values that a text stands for: one that the key takes as it is, else a list `a,b` or a range of whole numbers `0..9`. */
export function valuesOfText(key: Key, text: string): string[] {
  if (key.accepts(valueOfText(key, text))) return [text];
  const [, first, last] = /^(-?\d+)\.\.(-?\d+)$/.exec(text) ?? [];
  if (first === undefined) return text.split(',').flatMap((part) => (part === text ? [part] : valuesOfText(key, part)));
  const count = Number(last) - Number(first) + 1;
  if (!(count >= 1 && count <= MOST_RUNS))
    throw new UsageError(`a range runs upwards, to at most ${MOST_RUNS} values (got ${text})`);
  return Array.from({ length: count }, (_, i) => String(Number(first) + i));
}

/** One value of each list, in every way; the last list turns fastest. */
export const crossed = <T>(lists: readonly (readonly T[])[]): T[][] =>
  lists.reduce<T[][]>((rows, list) => rows.flatMap((row) => list.map((value) => [...row, value])), [[]]);

/** The values of each key on the command line. @throws UsageError for a value that is there twice, or too many runs */
function listsOf(keys: Keys, values: Readonly<Record<string, unknown>>): [key: string, texts: string[]][] {
  const named = Object.entries(values).flatMap(([option, texts]) => {
    const key = Object.keys(keys).find((each) => kebab(each) === option);
    return key === undefined ? [] : [[key, texts as string[]] as const];
  });
  const lists = named.map(([key, texts]): [string, string[]] => [key, texts.flatMap((text) => valuesOfText(keys[key], text))]);
  for (const [key, texts] of lists) {
    const twice = texts.find((text, i) => texts.findIndex((other) => same(keys[key], other, text)) < i);
    if (twice !== undefined) throw new UsageError(`--${kebab(key)} has the value ${twice} twice`);
  }
  const count = lists.reduce((product, [, texts]) => product * texts.length, 1);
  if (count > MOST_RUNS) throw new UsageError(`a sweep has at most ${MOST_RUNS} runs (these would be ${count})`);
  return lists;
}

const same = (key: Key, a: string, b: string): boolean => valueOfText(key, a) === valueOfText(key, b);

/** The command line of `dpg train` without the files that it was read from, which may be others by the time it runs. */
function frozen(experiment: string, { definition, input, models }: Arguments): string[] {
  asUsage('dpg sweep', () => parseConfig(definition, input)); // a mistake is told before anything runs
  const flag = (name: string, value: unknown): string => `--${name}=${String(value)}`;
  const folders = Object.entries(given(models)).map(([name, folder]) => flag(name, path.resolve(folder as string)));
  return [experiment, ...Object.entries(given(input)).map(([key, value]) => flag(kebab(key), value)), ...folders];
}

/** What follows `--sbatch` begins with a dash itself, which would be taken for an option. */
const withSbatchJoined = (argv: readonly string[]): string[] =>
  argv.flatMap((argument, i) =>
    argv[i - 1] === '--sbatch' ? [] : argument === '--sbatch' && i + 1 < argv.length ? [`--sbatch=${argv[i + 1]}`] : [argument],
  );

/** @throws UsageError for anything that is not as `dpg sweep --help` says */
export async function planSweep(argv: string[]): Promise<SweepPlan> {
  const keys = await keysAmong(argv);
  const text = Object.fromEntries([...PASSED_ON, ...CHECKPOINTS].map((name) => [name, { type: 'string' as const }]));
  const lists = Object.fromEntries(Object.keys(keys).map((key) => [kebab(key), { type: 'string' as const, multiple: true }]));
  const options = { ...lists, ...text, ...SWEEP_OPTIONS };
  const { values, positionals } = parseArgs({ args: withSbatchJoined(argv), options, allowPositionals: true });
  if (positionals.length !== 1) throw new UsageError(`dpg sweep takes one EXPERIMENT (got ${positionals.join(' ') || 'none'})`);
  const experiment = /\.[cm]?js$/.test(positionals[0]) ? path.resolve(positionals[0]) : positionals[0];
  const optionsOf = (names: readonly string[]): string[] =>
    Object.entries(values).flatMap(([name, value]) => (names.includes(name) ? [`--${name}=${String(value)}`] : []));
  const swept = listsOf(keys, values);
  const runs = await runsOf(keys, swept, [experiment, ...optionsOf(PASSED_ON), ...optionsOf(CHECKPOINTS)]);
  const manifest = { experiment, options: optionsOf(CHECKPOINTS), runs };
  return { manifest, folder: path.resolve(values.out ?? ownFolder(manifest)), values: values as SweepValues };
}

async function runsOf(keys: Keys, lists: readonly [string, string[]][], shared: readonly string[]): Promise<SweptRun[]> {
  const rows = crossed(lists.map(([key, texts]) => texts.map((text) => [key, text] as const)));
  const several = lists.filter(([, texts]) => texts.length > 1).map(([key]) => key);
  const runs: SweptRun[] = [];
  for (const [index, row] of rows.entries()) {
    const args = await parseArguments([...shared, ...row.map(([key, text]) => `--${kebab(key)}=${text}`)]);
    const values = row.filter(([key]) => several.includes(key)).map(([key, text]) => [key, valueOfText(keys[key], text)]);
    const settings = Object.fromEntries(values) as SweptRun['settings'];
    runs.push({ index, folder: runName(index, rows.length), settings, arguments: frozen(shared[0], args) });
  }
  return runs;
}

/** The same command finds its sweep again. */
function ownFolder(manifest: SweepManifest): string {
  const hash = createHash('sha256').update(JSON.stringify(manifest)).digest('hex');
  return path.join(RUNS, `sweep-${path.basename(manifest.experiment).replace(/\.[cm]?js$/, '')}-${hash.slice(0, 8)}`);
}
