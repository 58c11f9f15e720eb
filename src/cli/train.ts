/** `dpg train`: runs an experiment into a run folder. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { configKeys, type ConfigInput } from '../dpg/config';
import { EXPERIMENTS } from '../experiments/experiments';
import { isHubName, modelFolder } from '../model/hub/hub';
import { describeMemory, estimateMemory, isLarge } from '../dpg/memory';
import { preset, PRESETS } from '../experiments/presets';
import { modelFolders, newRun, record, resumedRun, type Run } from '../runs/record';
import { readMetrics, readRun } from '../runs/runFolder';
import type { Experiment } from '../dpg/experiment';
import { validate } from '../dpg/validate';
import type { ModelFolders } from '../dpg/models';
import { saveRunFigures } from '../notebook/runFigures';
import { describeBackend, startBackend } from '../tensor/backend';
import { disposeParams } from '../tensor/params';
import { asUsage, readJson, UsageError } from './command';
import { stepLine } from './stepLine';

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

      --preset NAME     settings and models: ${PRESETS.join(', ')}; default tiny, the experiment's own
      --config FILE     configuration keys as a JSON object; they win over the preset, keys on the command line over both
      --out DIR         run folder; default runs/EXPERIMENT-seedN-TIME
      --resume DIR      goes on with the run in DIR from its newest checkpoint
      --generator NAME  the generator: a Hugging Face folder, or a name on the hub such as openai-community/gpt2
      --target NAME     the target, likewise; HF_TOKEN, HF_HOME, HF_HUB_OFFLINE and HF_ENDPOINT count
      --json            one JSON object per step on stdout, then the summary

Configuration keys; an experiment may have other defaults, which config.json of the run shows:
${KEY_HELP.join('\n')}

Ctrl-C ends the run after its current step, with a checkpoint; --resume goes on.
Exit code: 0 done, 1 an error, 2 wrong usage, 130 interrupted.`;

const OPTIONS = {
  ...Object.fromEntries(KEYS.map(({ key }) => [kebab(key), { type: 'string' as const }])),
  preset: { type: 'string' },
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
    ...(values.resume !== undefined ? resumeArguments(values) : newArguments(experiment, values)),
  };
}

function newArguments(experiment: string, values: Values): Omit<Arguments, 'experiment' | 'json'> {
  const file = text(values, 'config');
  const flags = KEYS.filter(({ key }) => values[kebab(key)] !== undefined).map(({ key }) => [
    key,
    parseValue(text(values, kebab(key))!),
  ]);
  const input = { ...(file === undefined ? {} : readConfigFile(file)), ...(Object.fromEntries(flags) as ConfigInput) };
  const { input: defaults, models } = asUsage('--preset', () =>
    preset(text(values, 'preset') ?? 'tiny', experiment, input.innerOptimizer),
  );
  return {
    input: { ...defaults, ...input },
    models: {
      generator: modelName(values, 'generator') ?? models.generator,
      target: modelName(values, 'target') ?? models.target,
    },
    out: text(values, 'out'),
  };
}

function modelName(values: Values, option: string): string | undefined {
  const name = text(values, option);
  if (name !== undefined && !existsSync(name) && !isHubName(name))
    throw new UsageError(`--${option} ${name}: there is no such folder, and models of the hub are called organisation/model`);
  return name;
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

/** Names on the hub become the folders of their snapshots: a run goes on with these, whatever the hub has by then. */
async function withFolders(args: Arguments): Promise<Arguments> {
  const { generator, target } = args.models;
  const folder = async (name?: string): Promise<string | undefined> => (name === undefined ? undefined : modelFolder(name));
  return { ...args, models: { generator: await folder(generator), target: await folder(target) } };
}

async function makeExperiment({ experiment, input, models }: Arguments): Promise<Experiment> {
  try {
    return await EXPERIMENTS[experiment](input, models);
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message.replaceAll('\n', '; '));
    throw error;
  }
}

/** Runs the steps, showing each; false if Ctrl-C ended them. */
async function runSteps(experiment: Experiment, run: Run, json: boolean): Promise<boolean> {
  const stop = new AbortController();
  const onInterrupt = (): void => stop.abort();
  process.once('SIGINT', onInterrupt);
  const line = stepLine({ total: experiment.config.steps, out: process.stdout });
  for await (const { row } of record(experiment, run, { signal: stop.signal, warn: json ? undefined : line.say }))
    if (json) console.log(JSON.stringify(row));
    else line.show(row);
  line.end();
  process.off('SIGINT', onInterrupt);
  return !stop.signal.aborted;
}

/** Validates on held-out prompts and writes the summary. */
async function finish(experiment: Experiment, { folder, state }: Run, json: boolean): Promise<void> {
  const { phi, metrics, image, examples, tuned } = await validate(experiment, state.training.params);
  disposeParams(tuned);
  const read = image && (await experiment.decode?.(image));
  const seconds = readMetrics(folder.path).reduce((sum, row) => sum + row.seconds, 0);
  const result = {
    experiment: experiment.name,
    seed: experiment.config.seed,
    steps: state.step,
    seconds,
    held_out: { phi, ...metrics },
    read,
  };
  folder.writeSummary({ ...result, examples: examples.slice(0, 10) });
  saveRunFigures(folder.path, image);
  console.log(
    json
      ? JSON.stringify(result)
      : `held-out prompts: Φ ${phi.toFixed(4)} ${JSON.stringify(metrics)}${read ? `; read: ${JSON.stringify(read)}` : ''}; run folder ${path.relative('.', folder.path)}`,
  );
}

/** Runs the command; see `help` for the exit code. */
export async function run(argv: string[]): Promise<number> {
  const args = await withFolders(parseArguments(argv));
  const { resume, out, models, json } = args;
  const experiment = await makeExperiment(args);
  const { generator, target } = experiment;
  const current = resume ? resumedRun(experiment, resume) : newRun(experiment, out, models);
  const say = json ? console.error : console.log;
  const backend = await startBackend();
  const memory = estimateMemory(
    { generator: generator.model.config, target: target.model.config },
    experiment.config,
    backend.name,
  );
  if (!isLarge(memory)) say(describeMemory(memory)); // what is large has been told before it was loaded
  say(`${describeBackend(backend)}; generator: ${generator.model.engine}; run folder ${current.folder.path}`);
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
