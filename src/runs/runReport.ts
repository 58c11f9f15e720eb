/**
 * Runs read back from their folders: to list, show and compare them.
 */
import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { readFolder } from '../files/atomicFile';
import { RUNS } from '../files/paths';
import { readMetrics, readRun, readSummary } from './runFolder';
import { livingOwner } from './runLock';
import { runPath, type RunOrName } from './runName';
import type { MetricsRow } from '../dpg/train';
import type { RunRecord, Summary } from './records';

/** One run as its folder tells it. */
export interface RunReport extends RunRecord {
  readonly name: string;
  readonly folder: string;
  readonly experiment: string;
  readonly seed: number;
  /** Steps with a row in metrics.jsonl. */
  readonly steps: number;
  /** The last row of metrics.jsonl. */
  readonly last: MetricsRow | null;
  /** Result on held-out prompts after the last step, from summary.json. */
  readonly heldOut: Summary['held_out'] | null;
  /** Of all steps, resumed or not. */
  readonly seconds: number;
  /** `complete`: it has a summary of its last step; `stopped`: it can be resumed. */
  readonly state: 'running' | 'complete' | 'stopped';
}

/** A run that cannot be read. */
export interface DamagedRun {
  readonly name: string;
  readonly folder: string;
  readonly state: 'damaged';
  /** What is wrong with it, in one sentence. */
  readonly error: string;
}

/** @throws Error if the folder holds no run, or naming the file that is damaged */
export function readReport(folder: string): RunReport {
  const record = readRun(folder);
  const rows = readMetrics(folder);
  const summary = readSummary(folder);
  const last = rows.at(-1) ?? null;
  const ended = summary !== null && summary.steps === (last?.step ?? 0);
  return {
    ...record,
    name: basename(resolve(folder)),
    folder,
    experiment: record.config.experiment,
    seed: record.config.seed,
    steps: last?.step ?? 0,
    last,
    heldOut: ended ? summary.held_out : null,
    seconds: rows.reduce((sum, row) => sum + row.seconds, 0),
    state: livingOwner(folder) ? 'running' : ended ? 'complete' : 'stopped',
  };
}

/** The runs directly under `folder`, by name; one that is damaged hides none. @throws Error if the folder cannot be read */
export function readReports(folder: string): (RunReport | DamagedRun)[] {
  return readFolder(folder)
    .map((name) => join(folder, name))
    .filter((path) => ['metrics.jsonl', 'examples.jsonl', 'checkpoints'].some((name) => existsSync(join(path, name))))
    .map((path) => {
      try {
        return readReport(path);
      } catch (error) {
        return { name: basename(path), folder: path, state: 'damaged', error: (error as Error).message.replaceAll('\n', '; ') };
      }
    });
}

/** One line of {@link runs}. */
export type RunLine = Readonly<Record<string, string | number | null>>;

/**
 * The runs in a folder as a table, `dpg.table(dpg.runs())`; the rows of one: `dpg.rows(name)`.
 * @param folder - by default `runs/`
 * @throws Error if the folder cannot be read
 */
export function runs(folder = RUNS): RunLine[] {
  return readReports(folder).map((run) => {
    if (run.state === 'damaged') return { run: run.name, state: `damaged: ${run.error}` };
    const heldOut = Object.fromEntries(Object.entries(run.heldOut ?? {}).map(([key, value]) => [`held_out.${key}`, value]));
    const { name, experiment, seed, steps, last, seconds, state } = run;
    return { run: name, experiment, seed, steps, phi: last?.phi ?? null, ...heldOut, seconds, state };
  });
}

/** The rows of a run's `metrics.jsonl`. @throws Error if there is no such run, or naming the line that is damaged */
export function rows(run: RunOrName): MetricsRow[] {
  const folder = runPath(run);
  readRun(folder);
  return readMetrics(folder);
}

/** Labels that occur more than once get an addition. */
function distinct(labels: readonly string[], additions: readonly string[], join: (label: string, addition: string) => string): string[] {
  return labels.map((label, i) => (labels.filter((each) => each === label).length > 1 ? join(label, additions[i]) : label));
}

const valueText = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? 'none'));

/** What tells runs apart: the settings in which they differ, in the order of the first one's; their names where they differ in none. */
export function runLabels(reports: readonly Pick<RunReport, 'config' | 'name' | 'folder'>[]): string[] {
  const folders = reports.map(({ folder }) => folder);
  const names = distinct(reports.map(({ name }) => name), folders, (_, folder) => folder); // prettier-ignore
  const keys = [...new Set(reports.flatMap(({ config }) => Object.keys(config)))];
  const differing = keys.filter((key) => new Set(reports.map(({ config }) => JSON.stringify(config[key]))).size > 1);
  if (!differing.length) return names;
  const settings = reports.map(({ config }) => differing.map((key) => `${key} ${valueText(config[key])}`).join(', '));
  return distinct(settings, names, (label, name) => `${label} (${name})`);
}
