/** `dpg runs`: what is in the run folders. */
import { parseArgs } from 'node:util';
import { RUNS } from '../files/paths';
import { printable, shorten } from '../files/printable';
import { runPath } from '../runs/runName';
import { readReport, readReports, type DamagedRun, type RunReport } from '../runs/runReport';
import { asUsage, UsageError } from './command';
import { textTable } from './textTable';

export const summary = 'list, show and compare runs';
export const help = `dpg runs list [DIR] [--json]
dpg runs show RUN [--json]
dpg runs compare RUN RUN… [--json]

list     the runs in DIR, by default runs/: how far they came and what they reached
show     one run with its configuration, its environment and its last step
compare  the configuration keys in which runs differ, and their final metrics side by side

RUN is a run folder, or the name of one in runs/. A run is "running" while a process writes there, "complete" once it has a summary of its
last step, "damaged" where a file cannot be read, else "stopped": dpg train --resume RUN goes on with it.
Exit code: 0 done, 2 wrong usage or no such run.`;

/** Runs the command; see `help` for the exit code. */
export async function run(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args: argv, options: { json: { type: 'boolean' } }, allowPositionals: true });
  const [action, ...names] = positionals;
  if (action === 'list' && names.length <= 1) return print(list(names[0] ?? RUNS), values.json, describeList);
  if (action === 'show' && names.length === 1) return print(readRunOf(names[0]), values.json, describeRun);
  if (action === 'compare' && names.length >= 2) return print(names.map(readRunOf), values.json, describeComparison);
  throw new UsageError(`dpg runs takes: list [DIR], show RUN, or compare RUN RUN… (got "${positionals.join(' ')}")`);
}

function print<T>(content: T, json: boolean | undefined, describe: (content: T) => string): number {
  console.log(printable(json ? JSON.stringify(content, null, 2) : describe(content)));
  return 0;
}

const list = (folder: string): (RunReport | DamagedRun)[] => asUsage('dpg runs list', () => readReports(folder));

const readRunOf = (run: string): RunReport => asUsage(run, () => readReport(runPath(run)));

const percent = (share: number | undefined): string => (share === undefined ? '' : `${(100 * share).toFixed(1)} %`);
/** Numbers with four digits, texts as they are. */
function short(value: unknown): string {
  if (typeof value === 'number') return String(Number.isInteger(value) ? value : Number(value.toPrecision(4)));
  if (typeof value === 'string') return value;
  return value === undefined || value === null ? '' : JSON.stringify(value);
}
const pairs = (values: Readonly<Record<string, unknown>>): string =>
  Object.entries(values)
    .map(([key, value]) => `${key} ${short(value)}`)
    .join(', ');

const HEAD = ['run', 'experiment', 'seed', 'steps', 'Φ', 'pixels', 'held out', 'seconds', 'state'];

function describeList(runs: readonly (RunReport | DamagedRun)[]): string {
  const rows = runs.flatMap((run) =>
    run.state === 'damaged'
      ? []
      : [
          [
            run.name,
            run.experiment,
            String(run.seed),
            `${run.steps}/${String(run.config.steps)}`,
            short(run.last?.phi),
            percent(run.last?.pixel_accuracy),
            run.heldOut ? pairs(run.heldOut) : '',
            run.seconds.toFixed(0),
            run.state,
          ],
        ],
  );
  const damaged = runs.flatMap((run) => (run.state === 'damaged' ? [`damaged: ${shorten(run.error, 300)}`] : []));
  return [textTable([HEAD, ...rows]), ...damaged].join('\n');
}

function describeRun(run: RunReport): string {
  const { config, environment, last, heldOut } = run;
  const section = (title: string, values: Readonly<Record<string, unknown>> | null): string[] =>
    values ? ['', title, textTable(Object.entries(values).map(([key, value]) => [`  ${key}`, short(value)]))] : [];
  return [
    describeList([run]),
    ...section('configuration', config),
    ...section('environment', { ...environment }),
    ...section('last step', last),
    ...section('held-out prompts', heldOut),
  ].join('\n');
}

/** Rows of the keys in which the runs' values differ. */
function differences(values: readonly Readonly<Record<string, unknown>>[]): string[][] {
  const keys = [...new Set(values.flatMap((each) => Object.keys(each)))];
  return keys.map((key) => [key, ...values.map((each) => short(each[key]))]).filter(([, ...cells]) => new Set(cells).size > 1);
}

function describeComparison(runs: readonly RunReport[]): string {
  const head = (title: string): string[] => [title, ...runs.map((run) => run.name)];
  const environments = runs.map(({ environment }) =>
    Object.fromEntries(Object.entries(environment).map(([key, value]) => [`environment.${key}`, value as unknown])),
  );
  const configured = differences(runs.map(({ config }, i) => ({ ...config, ...environments[i] })));
  const metrics = runs.map(({ last, heldOut, state, seconds }) => ({
    state,
    ...last,
    seconds,
    ...Object.fromEntries(Object.entries(heldOut ?? {}).map(([key, value]) => [`held_out.${key}`, value])),
  }));
  const names = [...new Set(metrics.flatMap((each) => Object.keys(each)))];
  const results = names.map((key) => [key, ...metrics.map((each) => short((each as Record<string, unknown>)[key]))]);
  return [
    configured.length ? textTable([head('configuration'), ...configured]) : 'same configuration and environment',
    textTable([head('result'), ...results]),
  ].join('\n\n');
}
