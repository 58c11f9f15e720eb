/** `dpg train`: runs an experiment into a run folder. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { configKeys, type ConfigInput } from '../experiment/config';
import { EXPERIMENTS } from '../experiment/experiments';
import { modelFolders, newRun, record, resumedRun, type Run } from '../experiment/record';
import { readMetrics, readRun, type MetricsRow } from '../experiment/runFolder';
import type { Experiment } from '../experiment/train';
import { validate } from '../experiment/validate';
import type { ModelFolders } from '../experiment/weightSpace';
import { saveRunFigures } from '../notebook/runFigures';
import { describeBackend, startBackend } from '../tensor/backend';
import { disposeParams } from '../tensor/params';
import { asUsage, readJson, UsageError } from './command';

const kebab = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const KEYS = configKeys();

const KEY_HELP = KEYS.map(({ key, range, default: value, paper, description }) => {
  const notes = [range, `default ${String(value)}`, ...(paper ? [`paper: ${paper}`] : [])];
  return `      --${kebab(key).padEnd(20)} ${description} (${notes.join('; ')})`;
});

export const name = 'train';
export const summary = 'train a generator by DPG';
export const help = `dpg train EXPERIMENT [--KEY VALUE]… [--config FILE.json] [--out DIR] [--json]
dpg train EXPERIMENT --resume DIR [--json]

EXPERIMENT is one of ${Object.keys(EXPERIMENTS).join(', ')}.

      --config FILE     configuration keys as a JSON object; keys on the command line win
      --out DIR         run folder; default runs/EXPERIMENT-seedN-TIME
      --resume DIR      goes on with the run in DIR from its newest checkpoint
      --generator DIR   Hugging Face folder of the generator
      --target DIR      Hugging Face folder of the target
      --json            one JSON object per step on stdout, then the summary

Configuration keys; an experiment may have other defaults, which config.json of the run shows:
${KEY_HELP.join('\n')}

Ctrl-C ends the run after its current step, with a checkpoint; --resume goes on.
Exit code: 0 done, 1 an error, 2 wrong usage, 130 interrupted.`;

const OPTIONS = {
  ...Object.fromEntries(KEYS.map(({ key }) => [kebab(key), { type: 'string' as const }])),
  config: { type: 'string' },
  out: { type: 'string' },
  resume: { type: 'string' },
  generator: { type: 'string' },
  target: { type: 'string' },
  json: { type: 'boolean' },
} as const;

/** A value as the command line gives it: JSON where it is JSON, else text. */
function parseValue(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function readConfigFile(file: string): ConfigInput {
  const json = readJson('--config', file);
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new UsageError(`--config ${file}: a configuration is an object of keys`);
  return json;
}

/** What the command line asks for. */
interface Arguments {
  readonly experiment: string;
  readonly input: ConfigInput;
  readonly models: ModelFolders;
  readonly out?: string;
  /** The run folder to go on with. */
  readonly resume?: string;
  readonly json: boolean;
}

type Values = Readonly<Record<string, string | boolean | undefined>>;
const text = (values: Values, option: string): string | undefined => values[option] as string | undefined;

function parseArguments(argv: string[]): Arguments {
  const { values, positionals } = parseArgs({ args: argv, options: OPTIONS, allowPositionals: true });
  const [experiment] = positionals;
  if (positionals.length !== 1 || !Object.hasOwn(EXPERIMENTS, experiment))
    throw new UsageError(
      `dpg train takes one EXPERIMENT of ${Object.keys(EXPERIMENTS).join(', ')} (got ${positionals.join(' ') || 'none'})`,
    );
  return {
    experiment,
    json: values.json === true,
    ...(values.resume !== undefined ? resumeArguments(values) : newArguments(values)),
  };
}

function newArguments(values: Values): Omit<Arguments, 'experiment' | 'json'> {
  const file = text(values, 'config');
  const flags = KEYS.filter(({ key }) => values[kebab(key)] !== undefined).map(({ key }) => [
    key,
    parseValue(text(values, kebab(key))!),
  ]);
  const models = { generator: text(values, 'generator'), target: text(values, 'target') };
  for (const [option, folder] of Object.entries(models))
    if (folder !== undefined && !existsSync(folder)) throw new UsageError(`--${option} ${folder}: there is no such folder`);
  const input = { ...(file === undefined ? {} : readConfigFile(file)), ...(Object.fromEntries(flags) as ConfigInput) };
  return { input, models, out: text(values, 'out') };
}

/** A run goes on with what it began with. */
function resumeArguments(values: Values): Omit<Arguments, 'experiment' | 'json'> {
  const other = Object.keys(values).find((option) => option !== 'resume' && option !== 'json');
  if (other) throw new UsageError(`--resume goes on with the configuration of the run; leave out --${other}`);
  const resume = text(values, 'resume')!;
  const saved = asUsage('--resume', () => readRun(resume));
  const input = Object.fromEntries(Object.entries(saved.config).filter(([key]) => key !== 'experiment'));
  return { input, models: modelFolders(saved), resume };
}

async function makeExperiment({ experiment, input, models }: Arguments): Promise<Experiment> {
  try {
    return await EXPERIMENTS[experiment](input, models);
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message.replaceAll('\n', '; '));
    throw error;
  }
}

function describeStep({ step, phi, pixel_accuracy, entropy, seconds }: MetricsRow, { config }: Experiment): string {
  const accuracy = pixel_accuracy === undefined ? '' : `  pixels ${(100 * pixel_accuracy).toFixed(1)} %`;
  return `step ${step}/${config.steps}  Φ ${phi.toFixed(4)}${accuracy}  entropy ${entropy.toFixed(2)}  ${seconds.toFixed(2)} s`;
}

/** Runs the steps, printing one line each; false if Ctrl-C ended them. */
async function runSteps(experiment: Experiment, run: Run, json: boolean): Promise<boolean> {
  const stop = new AbortController();
  const onInterrupt = (): void => stop.abort();
  process.once('SIGINT', onInterrupt);
  for await (const { row } of record(experiment, run, { signal: stop.signal }))
    console.log(json ? JSON.stringify(row) : describeStep(row, experiment));
  process.off('SIGINT', onInterrupt);
  return !stop.signal.aborted;
}

/** Validates on held-out prompts and writes the summary. */
async function finish(experiment: Experiment, { folder, state }: Run, json: boolean): Promise<void> {
  const { phi, metrics, examples, tuned } = await validate(experiment, state.training.params);
  disposeParams(tuned);
  const seconds = readMetrics(folder.path).reduce((sum, row) => sum + row.seconds, 0);
  const result = {
    experiment: experiment.name,
    seed: experiment.config.seed,
    steps: state.step,
    seconds,
    held_out: { phi, ...metrics },
  };
  folder.writeSummary({ ...result, examples: examples.slice(0, 10) });
  saveRunFigures(folder.path);
  console.log(
    json
      ? JSON.stringify(result)
      : `held-out prompts: Φ ${phi.toFixed(4)} ${JSON.stringify(metrics)}; run folder ${path.relative('.', folder.path)}`,
  );
}

/** Runs the command; see `help` for the exit code. */
export async function run(argv: string[]): Promise<number> {
  const args = parseArguments(argv);
  const { resume, out, models, json } = args;
  const experiment = await makeExperiment(args);
  const { generator, target } = experiment;
  const current = resume ? resumedRun(experiment, resume) : newRun(experiment, out, models);
  const say = json ? console.error : console.log;
  say(`${describeBackend(await startBackend())}; generator: ${generator.model.engine}; run folder ${current.folder.path}`);
  try {
    if (await runSteps(experiment, current, json)) {
      await finish(experiment, current, json);
      return 0;
    }
    say(`stopped after step ${current.state.step}; go on with: dpg train ${experiment.name} --resume ${current.folder.path}`);
    return 130;
  } finally {
    current.folder.close();
    generator.model.dispose();
    target.model.dispose();
  }
}
