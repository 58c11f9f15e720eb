/**
 * Runs read back from their folders: to list, show and compare them.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { DATA } from '../dpg/actor';
import type { MetricsRow } from '../dpg/train';
import { readMetrics, readRun, readSummary, type RunRecord } from './runFolder';

/** Where runs go unless they are told otherwise. */
export const RUNS = join(DATA, '..', 'runs');

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
  /** Result on held-out prompts, from summary.json. */
  readonly heldOut: Readonly<Record<string, number>> | null;
  /** Of all steps, resumed or not. */
  readonly seconds: number;
  /** `stopped` means that it can be resumed. */
  readonly state: 'running' | 'complete' | 'stopped';
}

/** @throws Error if the folder holds no run, or naming the file that is damaged */
export function readReport(folder: string): RunReport {
  const record = readRun(folder);
  const rows = readMetrics(folder);
  const summary = readSummary(folder);
  const last = rows.at(-1) ?? null;
  return {
    ...record,
    name: basename(resolve(folder)),
    folder,
    experiment: String(record.config.experiment),
    seed: record.environment.seed,
    steps: last?.step ?? 0,
    last,
    heldOut: (summary?.held_out ?? null) as RunReport['heldOut'],
    seconds: rows.reduce((sum, row) => sum + row.seconds, 0),
    state: isBeingWritten(folder) ? 'running' : summary ? 'complete' : 'stopped',
  };
}

/** Folders of the runs directly under `folder`, by name. */
export const runFolders = (folder: string): string[] =>
  readdirSync(folder)
    .sort()
    .map((name) => join(folder, name))
    .filter((path) => existsSync(join(path, 'config.json')) && existsSync(join(path, 'metrics.jsonl')));

/** Whether a living process holds the run's lock; one on another host counts as living. */
function isBeingWritten(folder: string): boolean {
  try {
    const { pid, host } = JSON.parse(readFileSync(join(folder, 'run.lock'), 'utf8')) as { pid: number; host: string };
    if (host === hostname()) process.kill(pid, 0); // signal 0 only asks
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // alive, another user's
  }
}
