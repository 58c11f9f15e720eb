/** `dpg train`: runs an experiment into a run folder. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { configKeys, type ConfigInput } from '../dpg/config';
import { EXPERIMENTS } from '../experiments/experiments';
import { isHubName, modelFolder } from '../model/hub/hub';
import { describeMemory, estimateMemory, isLarge } from '../dpg/memory';
import { preset, PRESETS } from '../experiments/presets';
import { modelFolders, newRun, record, resumedRun, type RecordOptions, type Run } from '../runs/record';
import { readRun } from '../runs/runFolder';
import { runPath } from '../runs/runName';
import { writeSummary } from '../runs/summary';
import type { Experiment } from '../dpg/experiment';
import { validate } from '../dpg/validate';
import type { ModelFolders } from '../dpg/models';
import { saveRunFigures } from '../notebook/runFigures';
import { shown } from '../files/printable';
import { describeBackend, startBackend, type BackendChoice } from '../tensor/backend';
import { disposeParams } from '../tensor/params';
import { asUsage, readJson, UsageError, wholeNumber } from './command';
import { stepLine } from './stepLine';
import { stopRequest } from './stopRequest';

const kebab = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const KEYS = configKeys();

const KEY_HELP = KEYS.map(({ key, range, default: value, paper, description }) => {
  const notes = [range, `default ${String(value)}`, ...(paper ? [`paper: ${paper}`] : [])];
  return `      --${kebab(key).padEnd(20)} ${description} (${notes.join('; ')})`;
});

export const name = 'train';
export const summary = 'train a generator by DPG';
export const help = `dpg train EXPERIMENT [--KEY VALUE]… [--config FILE.json] [--out DIR] [--json]
dpg train --resume RUN [--change KEY=VALUE]… [--json]

EXPERIMENT is one of ${Object.keys(EXPERIMENTS).join(', ')}.

      --preset NAME     settings and models: ${PRESETS.join(', ')}; default tiny, the experiment's own
      --config FILE     configuration keys as a JSON object; they win over the preset, keys on the command line over both
      --out DIR         run folder; default runs/EXPERIMENT-seedN-TIME
      --resume RUN      goes on with a run, a folder or the name of one in runs/, from its newest checkpoint
      --change KEY=VAL  with --resume: a key that has another value from here on; --steps=N does too, e.g. to extend a finished run
      --checkpoint-steps N, --checkpoint-seconds S
                        a checkpoint after so many steps or seconds, whichever is over first; default 50 and 60
      --generator NAME  the generator: a Hugging Face folder, or a name on the hub such as openai-community/gpt2
      --target NAME     the target, likewise; HF_TOKEN, HF_HOME, HF_HUB_OFFLINE and HF_ENDPOINT count
      --json            one JSON object per step on stdout, then the summary

Configuration keys; an experiment may have other defaults, which config.json of the run shows:
${KEY_HELP.join('\n')}

Ctrl-C, SIGTERM, SIGHUP, and output that nobody reads, end the run after its current step, with a checkpoint; --resume goes on.
Exit code: 0 done, 1 an error, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP, 141 output that nobody reads.`;

const OPTIONS = {
  ...Object.fromEntries(KEYS.map(({ key }) => [kebab(key), { type: 'string' as const }])),
  preset: { type: 'string' },
  config: { type: 'string' },
  out: { type: 'string' },
  resume: { type: 'string' },
  change: { type: 'string', multiple: true },
  'checkpoint-steps': { type: 'string' },
  'checkpoint-seconds': { type: 'string' },
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
  /** Keys that differ from the run's. */
  readonly change?: readonly string[];
  readonly json: boolean;
  readonly checkpoints: Pick<RecordOptions, 'checkpointSteps' | 'checkpointSeconds'>;
}

type Values = Readonly<Record<string, string | boolean | string[] | undefined>>;
const text = (values: Values, option: string): string | undefined => values[option] as string | undefined;

function parseArguments(argv: string[]): Arguments {
  const { values, positionals } = parseArgs({ args: argv, options: OPTIONS, allowPositionals: true });
  const empty = ['out', 'resume'].find((option) => text(values, option) === '');
  if (empty) throw new UsageError(`--${empty} needs the name of a folder (got '')`);
  const common = { json: values.json === true, checkpoints: checkpointOptions(values) };
  const [experiment] = positionals;
  if (values.resume !== undefined) return { ...resumeArguments(experiment, values), ...common };
  if (positionals.length !== 1 || !Object.hasOwn(EXPERIMENTS, experiment))
    throw new UsageError(
      `dpg train takes one EXPERIMENT of ${Object.keys(EXPERIMENTS).join(', ')} (got ${positionals.join(' ') || 'none'})`,
    );
  return { experiment, ...newArguments(experiment, values), ...common };
}

function checkpointOptions(values: Values): Arguments['checkpoints'] {
  const whole = (option: string): number | undefined => {
    const value = text(values, option);
    return value === undefined ? undefined : wholeNumber(`--${option}`, value, [1, 1_000_000]);
  };
  return { checkpointSteps: whole('checkpoint-steps'), checkpointSeconds: whole('checkpoint-seconds') };
}

function newArguments(experiment: string, values: Values): Pick<Arguments, 'input' | 'models' | 'out'> {
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

const RESUME_OPTIONS = ['resume', 'change', 'steps', 'json', 'checkpoint-steps', 'checkpoint-seconds'];

/** A run goes on with what it began with, but for what is to change. */
function resumeArguments(
  experiment: string | undefined,
  values: Values,
): Pick<Arguments, 'experiment' | 'input' | 'models' | 'resume' | 'change'> {
  const other = Object.keys(values).find((option) => !RESUME_OPTIONS.includes(option));
  if (other)
    throw new UsageError(`--resume goes on with the configuration of the run; leave out --${other}, or give it as --change`);
  const resume = runPath(text(values, 'resume')!);
  const saved = asUsage('--resume', () => readRun(resume));
  const { experiment: name, ...config } = saved.config;
  if (experiment !== undefined && experiment !== name)
    throw new UsageError(`${resume} holds a run of ${name}, not of ${experiment}`);
  if (!Object.hasOwn(EXPERIMENTS, name))
    throw new UsageError(`${resume} is of the experiment ${shown(name)}, which dpg does not know: resume it where it is defined`);
  const steps = text(values, 'steps');
  const pairs = [...((values.change as string[] | undefined) ?? []), ...(steps === undefined ? [] : [`steps=${steps}`])];
  const change = Object.fromEntries(pairs.map(parseChange));
  return { experiment: name, input: { ...config, ...change }, models: modelFolders(saved), resume, change: Object.keys(change) };
}

function parseChange(pair: string): [string, unknown] {
  const at = pair.indexOf('=');
  const key = pair.slice(0, at);
  if (at < 1 || !KEYS.some((each) => each.key === key))
    throw new UsageError(`--change takes KEY=VALUE with a configuration key such as learningRate (got ${shown(pair)})`);
  return [key, parseValue(pair.slice(at + 1))];
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

/** Runs the steps, showing each. */
async function runSteps(experiment: Experiment, run: Run, { json, checkpoints }: Arguments, signal: AbortSignal): Promise<void> {
  const line = stepLine({ total: experiment.config.steps, out: process.stdout });
  const warn = json ? undefined : line.say;
  for await (const { row } of record(experiment, run, { ...checkpoints, signal, warn }))
    if (json) console.log(JSON.stringify(row));
    else line.show(row);
  line.end();
}

/** Validates on held-out prompts and writes the summary. */
async function finish(experiment: Experiment, run: Run, json: boolean): Promise<void> {
  const after = await validate(experiment, run.state);
  disposeParams(after.tuned);
  const read = after.image && (await experiment.decode?.(after.image));
  const { examples: _, ...result } = writeSummary(experiment, run, { after, read });
  const { path: folder } = run.folder;
  saveRunFigures(folder, after.image);
  const { phi, metrics } = after;
  console.log(
    json
      ? JSON.stringify(result)
      : `held-out prompts: Φ ${phi.toFixed(4)} ${JSON.stringify(metrics)}${read ? `; read: ${JSON.stringify(read)}` : ''}; run folder ${path.relative('.', folder)}`,
  );
}

function describeStart({ generator, target, config }: Experiment, backend: BackendChoice, folder: string): string {
  const memory = estimateMemory({ generator: generator.model.config, target: target.model.config }, config, backend.name);
  const told = isLarge(memory) ? [] : [describeMemory(memory)]; // what is large has been told before it was loaded
  return [...told, `${describeBackend(backend)}; generator: ${generator.model.engine}; run folder ${folder}`].join('\n');
}

/** Runs the command; see `help` for the exit code. */
export async function run(argv: string[]): Promise<number> {
  const args = await withFolders(parseArguments(argv));
  const experiment = await makeExperiment(args);
  const { resume, change, out, models, json } = args;
  const backend = await startBackend();
  const current = resume ? resumedRun(experiment, resume, change) : newRun(experiment, out, models);
  const { folder, state } = current;
  const say = json ? console.error : console.log;
  const stop = stopRequest();
  try {
    say(describeStart(experiment, backend, folder.path));
    await runSteps(experiment, current, args, stop.signal);
    if (stop.signal.aborted) {
      say(`stopped after step ${state.step}; go on with: dpg train --resume ${folder.path}`);
      return stop.exitCode();
    }
    stop.dispose(); // the checkpoint is taken: what ends the validation may end the process
    await finish(experiment, current, json);
    return 0;
  } finally {
    stop.dispose();
    folder.close();
    for (const { model } of [experiment.generator, experiment.target]) model.dispose();
  }
}
