/**
 * What a command line of `dpg train` asks for. Values are read by the type of their key.
 */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { ConfigInput } from '../dpg/config';
import { valueOfText, type Keys } from '../dpg/keys';
import type { ModelFolders } from '../dpg/models';
import type { Experiment } from '../dpg/experiment';
import { makeExperiment, type Definition, type Preset } from '../experiments/definition';
import { EXPERIMENTS } from '../experiments/experiments';
import { loadDefinition } from '../experiments/ownTarget';
import { isHubName, modelFolder } from '../model/hub/hub';
import { shown } from '../files/printable';
import { modelFolders, type RecordOptions } from '../runs/record';
import { readRun } from '../runs/runFolder';
import { runPath } from '../runs/runName';
import { asUsage, readJson, UsageError, wholeNumber } from './command';
import { kebab } from './keyHelp';

/** What the command line asks for. */
export interface Arguments {
  readonly definition: Definition;
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

/** Keys of any experiment: one that an experiment does not have is then told with those that it has. */
const ALL_KEYS: Keys = Object.assign({}, ...Object.values(EXPERIMENTS).map(({ keys }) => keys)) as Keys;

const OPTIONS = {
  preset: { type: 'string' },
  config: { type: 'string' },
  out: { type: 'string' },
  resume: { type: 'string' },
  change: { type: 'string', multiple: true },
  'checkpoint-steps': { type: 'string' },
  'checkpoint-seconds': { type: 'string' },
  generator: { type: 'string' },
  target: { type: 'string' },
  evaluator: { type: 'string' },
  json: { type: 'boolean' },
} as const;

type Values = Readonly<Record<string, string | boolean | string[] | undefined>>;
const text = (values: Values, option: string): string | undefined => values[option] as string | undefined;

/** The experiment, or module of one's own, among the arguments. */
export const experimentAmong = (argv: readonly string[]): string | undefined =>
  argv.find((argument) => Object.hasOwn(EXPERIMENTS, argument) || (/\.[cm]?js$/.test(argument) && existsSync(argument)));

/** {@link loadDefinition} @throws UsageError for a name or module that is no experiment */
export async function definitionOf(experiment: string): Promise<Definition> {
  try {
    return await loadDefinition(experiment);
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message);
    throw error;
  }
}

/** The configuration keys that may stand on a command line. */
export async function keysAmong(argv: readonly string[]): Promise<Keys> {
  const named = experimentAmong(argv);
  return { ...ALL_KEYS, ...(named && (await definitionOf(named)).keys) };
}

/** @param command - whose arguments they are, for errors @throws UsageError for anything that is not as `dpg train --help` says */
export async function parseArguments(argv: string[], command = 'train'): Promise<Arguments> {
  const keys = await keysAmong(argv);
  const options = {
    ...Object.fromEntries(Object.keys(keys).map((key) => [kebab(key), { type: 'string' as const }])),
    ...OPTIONS,
  };
  const { values, positionals } = parseArgs({ args: argv, options, allowPositionals: true }) as {
    values: Values;
    positionals: string[];
  };
  const empty = ['out', 'resume'].find((option) => text(values, option) === '');
  if (empty) throw new UsageError(`--${empty} needs the name of a folder (got '')`);
  const common = { json: values.json === true, checkpoints: checkpointOptions(values) };
  if (values.resume !== undefined) return { ...(await resumeArguments(positionals[0], values)), ...common };
  if (positionals.length !== 1)
    throw new UsageError(
      `dpg ${command} takes one EXPERIMENT of ${Object.keys(EXPERIMENTS).join(', ')}, or a module such as ` +
        `./my-target.mjs (got ${positionals.join(' ') || 'none'})`,
    );
  const definition = await definitionOf(positionals[0]);
  return { definition, ...(await newArguments(definition, keys, values)), ...common };
}

/** The experiment that is asked for. @throws UsageError for a configuration that is wrong, or does not fit the models */
export async function experimentOf({ definition, input, models }: Arguments): Promise<Experiment> {
  try {
    return await makeExperiment(definition, input, models);
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message.replaceAll('\n', '; '));
    throw error;
  }
}

function checkpointOptions(values: Values): Arguments['checkpoints'] {
  const whole = (option: string): number | undefined => {
    const value = text(values, option);
    return value === undefined ? undefined : wholeNumber(`--${option}`, value, [1, 1_000_000]);
  };
  return { checkpointSteps: whole('checkpoint-steps'), checkpointSeconds: whole('checkpoint-seconds') };
}

function readConfigFile(file: string): ConfigInput {
  const json = readJson('--config', file);
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new UsageError(`--config ${file}: a configuration is an object of keys`);
  return json;
}

/** @throws UsageError naming the presets that the experiment has */
function presetOf({ name, presets }: Definition, preset: string, input: ConfigInput): Preset {
  if (preset === 'tiny') return { input: {}, models: {} };
  if (Object.hasOwn(presets, preset)) return presets[preset](input.innerOptimizer ?? 'adamw');
  throw new UsageError(`--preset ${preset}: ${name} has the presets ${['tiny', ...Object.keys(presets)].join(', ')}`);
}

async function newArguments(definition: Definition, keys: Keys, values: Values) {
  const file = text(values, 'config');
  const flags = Object.keys(keys).filter((key) => values[kebab(key)] !== undefined);
  const given = Object.fromEntries(flags.map((key) => [key, valueOfText(keys[key], text(values, kebab(key))!)]));
  const input: ConfigInput = { ...(file === undefined ? {} : readConfigFile(file)), ...given };
  const preset = presetOf(definition, text(values, 'preset') ?? 'tiny', input);
  return {
    input: { ...preset.input, ...input },
    models: {
      generator: await folderOf(modelName(values, 'generator') ?? preset.models.generator),
      target: await folderOf(modelName(values, 'target') ?? preset.models.target),
      evaluator: await folderOf(modelName(values, 'evaluator') ?? preset.models.evaluator),
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

/** Names on the hub become the folders of their snapshots: a run goes on with these, whatever the hub has by then. */
const folderOf = async (name?: string): Promise<string | undefined> => (name === undefined ? undefined : modelFolder(name));

const RESUME_OPTIONS = ['resume', 'change', 'steps', 'json', 'checkpoint-steps', 'checkpoint-seconds'];

/** A run goes on with what it began with, but for what is to change. */
async function resumeArguments(experiment: string | undefined, values: Values) {
  const other = Object.keys(values).find((option) => !RESUME_OPTIONS.includes(option));
  if (other)
    throw new UsageError(`--resume goes on with the configuration of the run; leave out --${other}, or give it as --change`);
  const resume = runPath(text(values, 'resume')!);
  const saved = asUsage('--resume', () => readRun(resume));
  const { experiment: name, ...config } = saved.config;
  if (experiment !== undefined && experiment !== name && experiment !== saved.module)
    throw new UsageError(`${resume} holds a run of ${name}, not of ${experiment}`);
  if (!saved.module && !Object.hasOwn(EXPERIMENTS, name))
    throw new UsageError(`${resume} is of the experiment ${shown(name)}, which dpg does not know: resume it where it is defined`);
  const definition = await definitionOf(saved.module ?? name);
  const steps = text(values, 'steps');
  const pairs = [...((values.change as string[] | undefined) ?? []), ...(steps === undefined ? [] : [`steps=${steps}`])];
  const change = Object.fromEntries(pairs.map((pair) => parseChange(definition, pair)));
  const input = { ...config, ...change } as ConfigInput;
  return { definition, input, models: modelFolders(saved), resume, change: Object.keys(change) };
}

function parseChange({ keys }: Definition, pair: string): [string, unknown] {
  const at = pair.indexOf('=');
  const key = pair.slice(0, at);
  if (at < 1 || !Object.hasOwn(keys, key))
    throw new UsageError(`--change takes KEY=VALUE with a configuration key such as learningRate (got ${shown(pair)})`);
  return [key, valueOfText((keys as Keys)[key], pair.slice(at + 1))];
}
