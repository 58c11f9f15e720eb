/** `dpg train`: runs an experiment into a run folder. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { configKeys, type ConfigInput } from '../experiment/config';
import { EXPERIMENTS } from '../experiment/experiments';
import { newRun, record, resumedRun, type Run } from '../experiment/record';
import { readRun } from '../experiment/runFolder';
import type { Experiment } from '../experiment/train';
import { validate } from '../experiment/validate';
import { describeBackend, startBackend } from '../tensor/backend';
import { disposeParams } from '../tensor/params';
import { UsageError } from './command';

const kebab = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const KEYS = configKeys();

export const name = 'train';
export const summary = 'train a generator by DPG';
export const help = `dpg train EXPERIMENT [--KEY VALUE]… [--config FILE.json] [--out DIR] [--resume DIR] [--json]

EXPERIMENT is one of ${Object.keys(EXPERIMENTS).join(', ')}.

      --config FILE     configuration keys as a JSON object; keys on the command line win
      --out DIR         run folder; default runs/EXPERIMENT-seedN-TIME
      --resume DIR      goes on with the run in DIR from its newest checkpoint
      --generator DIR   Hugging Face folder of the generator
      --target DIR      Hugging Face folder of the target
      --json            one JSON object per step on stdout, then the summary

Configuration keys (range; default; the paper's value):
${KEYS.map(({ key, range, default: value, paper, description }) => `  --${kebab(key)}  ${description} (${range}; ${String(value)}${paper ? `; paper: ${paper}` : ''})`).join('\n')}

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
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ConfigInput;
  } catch (error) {
    throw new UsageError(`--config ${file}: ${(error as Error).message.split('\n')[0]}`);
  }
}

/** The configuration keys of a run that is resumed. */
function savedConfig(folder: string): ConfigInput {
  const { experiment: _, ...config } = readRun(folder).config;
  return config;
}

interface Arguments {
  readonly experiment: string;
  readonly input: ConfigInput;
  readonly values: Partial<Record<'out' | 'resume' | 'generator' | 'target', string>> & { json?: boolean };
}

function parseArguments(argv: string[]): Arguments {
  const { values, positionals } = parseArgs({ args: argv, options: OPTIONS, allowPositionals: true });
  const given = values as Record<string, string | boolean | undefined>;
  if (positionals.length !== 1 || !(positionals[0] in EXPERIMENTS))
    throw new UsageError(
      `dpg train takes one EXPERIMENT of ${Object.keys(EXPERIMENTS).join(', ')} (got ${positionals.join(' ') || 'none'})`,
    );
  const flags = KEYS.filter(({ key }) => given[kebab(key)] !== undefined).map(({ key }) => [
    key,
    parseValue(given[kebab(key)] as string),
  ]);
  const file = given.config ? readConfigFile(given.config as string) : {};
  if (given.resume && (flags.length || given.config || given.out))
    throw new UsageError('--resume goes on with the configuration of the run; leave out the other keys');
  const input = given.resume ? savedConfig(given.resume as string) : { ...file, ...(Object.fromEntries(flags) as ConfigInput) };
  return { experiment: positionals[0], input, values: given };
}

async function makeExperiment({ experiment, input, values }: Arguments): Promise<Experiment> {
  try {
    return await EXPERIMENTS[experiment](input, { generator: values.generator, target: values.target });
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message);
    throw error;
  }
}

/** Runs the steps, printing one line each. */
async function runSteps(experiment: Experiment, run: Run, json: boolean): Promise<boolean> {
  const stop = new AbortController();
  const onInterrupt = (): void => stop.abort();
  process.once('SIGINT', onInterrupt);
  for await (const { row } of record(experiment, run, { signal: stop.signal })) {
    const accuracy = row.pixel_accuracy === undefined ? '' : `  pixels ${(100 * row.pixel_accuracy).toFixed(1)} %`;
    console.log(
      json
        ? JSON.stringify(row)
        : `step ${row.step}/${experiment.config.steps}  Φ ${row.phi.toFixed(4)}${accuracy}  entropy ${row.entropy.toFixed(2)}  ${row.seconds.toFixed(2)} s`,
    );
  }
  process.off('SIGINT', onInterrupt);
  return stop.signal.aborted;
}

/** Runs the command; see `help` for the exit code. */
export async function run(argv: string[]): Promise<number> {
  const args = parseArguments(argv);
  const log = args.values.json ? console.error : console.log;
  const experiment = await makeExperiment(args);
  const { config, generator, target } = experiment;
  log(`${describeBackend(await startBackend())}; generator: ${generator.model.engine}`);
  const current = args.values.resume ? resumedRun(experiment, args.values.resume) : newRun(experiment, args.values.out);
  try {
    const started = performance.now();
    if (await runSteps(experiment, current, args.values.json === true)) return 130;
    const { phi, metrics, examples, tuned } = await validate(experiment, current.state.training.params);
    disposeParams(tuned);
    const summary = {
      experiment: experiment.name,
      seed: config.seed,
      steps: current.state.step,
      seconds: (performance.now() - started) / 1000,
      held_out: { phi, ...metrics },
    };
    current.folder.writeSummary({ ...summary, examples: examples.slice(0, 10) });
    console.log(
      args.values.json
        ? JSON.stringify(summary)
        : `held-out prompts: Φ ${phi.toFixed(4)} ${JSON.stringify(metrics)}; run folder ${path.relative('.', current.folder.path)}`,
    );
    return 0;
  } finally {
    current.folder.close();
    generator.model.dispose();
    target.model.dispose();
  }
}
