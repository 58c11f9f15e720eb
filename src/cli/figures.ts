/** `dpg figures`: the runs behind the notebooks' comparison figures. */
import { parseArgs } from 'node:util';
import { EXPERIMENTS } from '../experiments/experiments';
import { readResults, resultOfRun, resultsFile, saveResult, type ResultRow } from '../runs/results';
import { runSweep, type Swept } from '../experiments/sweep';
import { parseConfig } from '../dpg/config';
import type { Definition } from '../experiments/definition';
import { asUsage, UsageError, wholeNumber } from './command';
import { runPath } from '../runs/runName';
import { definitionOf } from './trainArguments';

const SWEPT = Object.values(EXPERIMENTS).flatMap(({ name, sweep }) => (sweep ? [name] : []));

export const summary = 'make the rows of the comparison figures';
export const help = `dpg figures EXPERIMENT [--tune] [--only METHOD]… [--seeds 0,1,2] [--force] [--workers N] [--out FILE]
dpg figures EXPERIMENT --add RUN --method NAME [--out FILE]

Trains with every method and seed of the comparison, at equal numbers of synthetic examples, and writes one row a run into
data/results/EXPERIMENT.jsonl, which the notebooks draw. Each method's learning rate is tuned first, by short runs whose rows are kept too.
Runs whose rows are there are left out, so that a sweep that was stopped goes on.

EXPERIMENT is one of ${SWEPT.join(', ')}, or a module of your own that exports a sweep.

      --tune           only tune the learning rates
      --only METHOD    only this method; may be repeated
      --seeds LIST     seeds of the reported runs; default 0,1,2
      --force          do runs again whose rows are there
      --workers N      worker threads; 0 (default) takes one per core
      --out FILE       another file of rows
      --add RUN        a row from a finished run folder instead, of any experiment
      --method NAME    its method's name

Exit code: 0 done, 1 an error, 2 wrong usage.`;

const OPTIONS = {
  tune: { type: 'boolean', default: false },
  only: { type: 'string', multiple: true },
  seeds: { type: 'string' },
  force: { type: 'boolean', default: false },
  workers: { type: 'string', default: '0' },
  out: { type: 'string' },
  add: { type: 'string' },
  method: { type: 'string' },
} as const;

const SEEDS = [0, 2 ** 31 - 1] as const;

function describeRow({ stage, method, seed, config, held_out, seconds }: ResultRow): string {
  const measured = Object.entries(held_out).map(([key, value]) => `${key} ${value.toFixed(4)}`);
  const rate = config.learningRate === undefined ? '' : ` learningRate ${config.learningRate}`;
  return `${stage} ${method} seed ${seed}${rate}: ${measured.join('  ')}  (${seconds.toFixed(0)} s)`;
}

function requireMethods({ name: experiment, sweep: { methods } }: Swept, names: readonly string[]): void {
  const unknown = names.find((each) => !methods.some((method) => method.name === each));
  const known = methods.map((method) => method.name).join(', ');
  if (unknown !== undefined) throw new UsageError(`--only ${unknown}: ${experiment} has the methods ${known}`);
}

/** A row from a run folder that `dpg train` has written. */
function addRun(definition: Definition, run: string, method: string | undefined, out: string): void {
  if (!method) throw new UsageError('--add takes the name of its method: --method NAME');
  const row = asUsage(`--add ${run}`, () => resultOfRun(runPath(run), method, parseConfig(definition)));
  saveResult(out, row);
  console.log(describeRow(row));
}

/** Runs the command. */
export async function run(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args: argv, options: OPTIONS, allowPositionals: true });
  const [experiment] = positionals;
  if (positionals.length !== 1)
    throw new UsageError(`dpg figures takes one EXPERIMENT of ${SWEPT.join(', ')} (got ${positionals.join(' ') || 'none'})`);
  const definition = await definitionOf(experiment);
  const out = values.out ?? resultsFile(definition.name);
  if (values.add !== undefined) addRun(definition, values.add, values.method, out);
  else await sweep(definition, out, values);
  return 0;
}

type Values = Readonly<{ tune: boolean; only?: string[]; seeds?: string; force: boolean; workers: string }>;

async function sweep({ sweep: plan, ...rest }: Definition, out: string, { tune, force, ...values }: Values): Promise<void> {
  if (!plan) throw new UsageError(`${rest.name} has no sweep; ${SWEPT.join(', ')} have one`);
  const swept = { ...rest, sweep: plan };
  const only = values.only ?? plan.methods.map((method) => method.name);
  requireMethods(swept, only);
  const rows = readResults(out).filter(({ method }) => !(force && only.includes(method)));
  const runs = runSweep(swept, {
    rows,
    only,
    seeds: values.seeds?.split(',').map((seed) => wholeNumber('--seeds', seed, SEEDS)),
    stages: tune ? ['tuning'] : ['tuning', 'reported'],
    workers: wholeNumber('--workers', values.workers, [0, 64]),
  });
  for await (const row of runs) {
    saveResult(out, row);
    console.log(describeRow(row));
  }
}
