/** `dpg sweep`: many runs of an experiment, here or as an array job of Slurm. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { printable } from '../files/printable';
import { countStates, createSweep, readSweep, reportSweep, reportSwept, type SweptReport } from '../runs/sweepFolder';
import { runPath } from '../runs/runName';
import { asUsage, UsageError, wholeNumber } from './command';
import { stopRequest, TIME_IS_UP } from './stopRequest';
import { planSweep, type SweepPlan } from './sweepPlan';
import { makeRun, makeRuns, trainArguments } from './sweepRun';
import { requeue, slurmScript, submit } from './sweepSlurm';
import { textTable } from './textTable';

export const summary = 'many runs of an experiment, here or on Slurm';
export const help = `dpg sweep EXPERIMENT --KEY VALUES… [--out DIR] (--local N | --slurm) [--dry-run]
dpg sweep status DIR [--json]

VALUES of any configuration key are one value, a list 2e-4,6e-4, or a range 0..9 (keys of text: give the option several times); every
value is crossed with those of the other keys. dpg train EXPERIMENT --help names the keys; --preset, --config, --generator, --target,
--evaluator and --checkpoint-… count for all runs. DIR/sweep.json holds the table of the runs, DIR/run-0, … their run folders.
The same command makes what is left: a failed run is run again, one that was stopped or killed goes on, one that is done stays as it is.

      --out DIR         default runs/sweep-EXPERIMENT-…, the same folder for the same runs
      --local N         N runs at a time on this machine; --workers says how many threads each has
      --slurm           one array job; DIR must be visible on its machines. Runs are told a minute before their time is over, take a
                        checkpoint, and are queued again
      --partition P, --time T, --sbatch "OPTIONS"
                        what the array job asks Slurm for
      --max-parallel N  tasks of the array job at a time, at most
      --dry-run         prints the job's script, or the commands, and writes nothing

status shows the runs: done, running, waiting, or failed with its error; dpg.sweep(DIR) does so in a notebook.
Exit code: 0 done or submitted, 1 a run has failed, 2 wrong usage, 130, 143, 129 stopped as dpg train is.`;

/** Runs the command; see `help` for the exit code. */
export async function run(argv: string[]): Promise<number> {
  if (argv[0] === 'status') return showStatus(argv.slice(1));
  if (argv[0] === 'run') return runTask(argv.slice(1));
  const plan = await planSweep(argv);
  const { local, slurm } = plan.values;
  if ((local !== undefined) === slurm) throw new UsageError('dpg sweep takes either --local N or --slurm');
  return slurm ? sweepSlurm(plan) : sweepLocal(plan, wholeNumber('--local', local!, [1, 256]));
}

async function sweepLocal({ manifest, folder, values }: SweepPlan, count: number): Promise<number> {
  const stray = (['partition', 'time', 'max-parallel', 'sbatch'] as const).find((option) => values[option] !== undefined);
  if (stray) throw new UsageError(`--${stray} is for --slurm`);
  if (values['dry-run']) {
    for (const run of manifest.runs) console.log(`dpg ${trainArguments(folder, manifest, run).join(' ')}`);
    return 0;
  }
  asUsage('--out', () => createSweep(folder, manifest));
  console.log(`${manifest.runs.length} runs, ${count} at a time, in ${folder}`);
  const stop = stopRequest();
  try {
    await makeRuns(folder, manifest, { count, stop, tell: (report) => console.log(describeEnd(report)) });
  } finally {
    stop.dispose();
  }
  const reports = reportSweep(folder);
  console.log(countStates(reports));
  if (stop.signal.aborted) return stop.exitCode();
  return reports.some(({ state }) => state === 'failed') ? 1 : 0;
}

function sweepSlurm({ manifest, folder, values }: SweepPlan): number {
  const parallel = values['max-parallel'];
  if (parallel !== undefined) wholeNumber('--max-parallel', parallel, [1, 1_000_000]);
  if (!values['dry-run']) asUsage('--out', () => createSweep(folder, manifest));
  const left = manifest.runs.filter((run) => !existsSync(folder) || reportSwept(folder, run).state !== 'done');
  if (!left.length) return print(`all ${manifest.runs.length} runs in ${folder} are done`);
  const script = slurmScript(folder, left.map(({ index }) => index), values); // prettier-ignore
  if (values['dry-run']) return print(script.trimEnd());
  return print(`${submit(folder, script)}: ${left.length} runs; dpg sweep status ${folder}`);
}

/** `dpg sweep run DIR INDEX`: a task of an array job. */
async function runTask([folder, index, ...rest]: string[]): Promise<number> {
  if (index === undefined || rest.length) throw new UsageError('dpg sweep run takes a DIR and an INDEX');
  const manifest = asUsage('dpg sweep run', () => readSweep(folder));
  const run = manifest.runs[wholeNumber('INDEX', index, [0, manifest.runs.length - 1])];
  const stop = stopRequest(process.env.SLURM_JOB_ID === undefined ? {} : TIME_IS_UP);
  try {
    const report = await makeRun(path.resolve(folder), manifest, run, stop);
    console.log(describeEnd(report));
    if (!stop.signal.aborted) return report.state === 'failed' ? 1 : 0;
    if (report.state === 'waiting' && stop.exitCode() === TIME_IS_UP.SIGUSR1) console.log(requeue());
    return report.state === 'done' ? 0 : stop.exitCode();
  } finally {
    stop.dispose();
  }
}

const settingsText = (settings: SweptReport['settings']): string =>
  Object.entries(settings).map(([key, value]) => `${key} ${value}`).join(', '); // prettier-ignore

function describeEnd({ folder, settings, state, report, error }: SweptReport): string {
  const phi = report?.heldOut ? `: Φ ${report.heldOut.phi.toFixed(4)} on held-out prompts` : '';
  return printable(`${path.basename(folder)} (${settingsText(settings)}) ${state}${phi}${error === null ? '' : `: ${error}`}`);
}

/** `dpg sweep status DIR`. */
function showStatus(argv: string[]): number {
  const { values, positionals } = parseArgs({ args: argv, options: { json: { type: 'boolean' } }, allowPositionals: true });
  if (positionals.length !== 1) throw new UsageError(`dpg sweep status takes one DIR (got ${positionals.join(' ') || 'none'})`);
  const reports = asUsage('dpg sweep status', () => reportSweep(runPath(positionals[0])));
  if (values.json) return print(JSON.stringify(reports, null, 2));
  const keys = Object.keys(reports[0].settings);
  const rows = reports.map(({ folder, settings, report, state }) => [
    path.basename(folder),
    ...keys.map((key) => String(settings[key])),
    report ? `${report.steps}/${String(report.config.steps)}` : '',
    report?.last ? report.last.phi.toFixed(4) : '',
    report?.heldOut ? report.heldOut.phi.toFixed(4) : '',
    state,
  ]);
  const errors = reports.flatMap(({ folder, error }) => (error === null ? [] : [`${path.basename(folder)}: ${error}`]));
  const table = textTable([['run', ...keys, 'steps', 'Φ', 'held-out Φ', 'state'], ...rows]);
  return print([table, ...errors, countStates(reports)].join('\n'));
}

function print(text: string): number {
  console.log(printable(text));
  return 0;
}
