/**
 * The folder of a sweep: `sweep.json`, the table of its runs, written first; a run folder for each, whose name depends on its place in that
 * table alone; and `attempts/`, what the processes that made them have said.
 */
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { isLeftover, makeFolder, readFolder, writeFileAtomic } from '../files/atomicFile';
import { readJson } from '../files/json';
import { shown } from '../files/printable';
import { livingOwner } from './runLock';
import { readReport, type RunReport } from './runReport';

const MANIFEST = 'sweep.json';

const sweptRunSchema = z.strictObject({
  index: z.int().nonnegative(),
  /** Name of the run folder. */
  folder: z.string(),
  /** The configuration keys in which the runs differ. */
  settings: z.record(z.string(), z.union([z.number(), z.string(), z.boolean()])),
  /** What `dpg train` is given: all of it, whatever files it was read from. */
  arguments: z.array(z.string()),
});
/** One run of a sweep. */
export type SweptRun = z.infer<typeof sweptRunSchema>;

const manifestSchema = z.strictObject({
  experiment: z.string(),
  /** Options of `dpg train` that count for a run that goes on, too. */
  options: z.array(z.string()),
  runs: z.array(sweptRunSchema).min(1),
});
/** `sweep.json`: the table of the runs. */
export type SweepManifest = z.infer<typeof manifestSchema>;

const attemptSchema = z.strictObject({
  host: z.string(),
  started: z.iso.datetime(),
  /** Null while it lasts, and for one that was killed. */
  ended: z.iso.datetime().nullable(),
  /** The last lines of what it complained of; null unless it failed. */
  error: z.string().nullable(),
});

/** A run of a sweep as its folders tell it. */
export interface SweptReport extends Omit<SweptRun, 'arguments' | 'folder'> {
  /** Path of the run folder. */
  readonly folder: string;
  /** `waiting` for its first process, or for one that goes on with it. */
  readonly state: 'done' | 'running' | 'waiting' | 'failed';
  /** Of a run that has failed. */
  readonly error: string | null;
  /** Where there is a run folder. */
  readonly report: RunReport | null;
}

/** Name of the run folder of an index. */
export const runName = (index: number, count: number): string => `run-${String(index).padStart(String(count - 1).length, '0')}`;

/** Where a run's attempts leave what they say. */
export const attemptFolder = (sweep: string, { folder }: Pick<SweptRun, 'folder'>): string => join(sweep, 'attempts', folder);

/**
 * Writes the table of a sweep's runs; one that lies there already stays, and must be the same.
 * @throws Error if the folder holds another sweep, or anything else
 */
export function createSweep(folder: string, manifest: SweepManifest): void {
  makeFolder(folder);
  if (existsSync(join(folder, MANIFEST))) return requireSameSweep(folder, manifest);
  const foreign = readFolder(folder).find((name) => !isLeftover(name));
  if (foreign) throw new Error(`${folder} holds ${shown(foreign)}, which is no part of a sweep: choose a new or an empty folder`);
  writeFileAtomic(join(folder, MANIFEST), JSON.stringify(manifest, null, 1) + '\n');
}

function requireSameSweep(folder: string, manifest: SweepManifest): void {
  const there = readSweep(folder);
  if (JSON.stringify(there) === JSON.stringify(manifest)) return;
  const other = manifest.runs.find((run, i) => JSON.stringify(run) !== JSON.stringify(there.runs[i]));
  const which = other ? `: ${other.folder} is to have ${shown(other.settings)}` : '';
  throw new Error(`${folder} holds another sweep, of ${there.runs.length} runs${which}; choose another --out`);
}

/** The table of a sweep's runs. @throws Error if there is none, or one that does not fit */
export function readSweep(folder: string): SweepManifest {
  const path = join(folder, MANIFEST);
  if (!existsSync(path)) throw new Error(`${folder} holds no sweep: it has no ${MANIFEST}`);
  return readJson(path, manifestSchema);
}

/** Notes that a process begins with a run; the result notes how it has ended, with what it failed of. */
export function beginAttempt(place: string): (error: string | null) => void {
  const begun = { host: hostname(), started: new Date().toISOString() };
  const write = (attempt: z.infer<typeof attemptSchema>): void =>
    writeFileAtomic(join(place, 'attempt.json'), JSON.stringify(attempt, null, 1) + '\n');
  write({ ...begun, ended: null, error: null });
  return (error) => write({ ...begun, ended: new Date().toISOString(), error });
}

/** Why a run that is neither done nor running is not waiting, or null. */
function failure(place: string): string | null {
  const path = join(place, 'attempt.json');
  if (!existsSync(path)) return null;
  const { host, ended, error } = readJson(path, attemptSchema);
  return ended ? error : `its process on ${host} has ended without a word: it was killed, or the machine went down`;
}

/** One run of a sweep. A run folder that is damaged counts as failed. */
export function reportSwept(sweep: string, run: SweptRun): SweptReport {
  const { index, settings } = run;
  const [folder, place] = [join(sweep, run.folder), attemptFolder(sweep, run)];
  const of = (state: SweptReport['state'], report: RunReport | null, error: string | null = null): SweptReport => ({
    index,
    settings,
    folder,
    state,
    error,
    report,
  });
  try {
    const report = existsSync(join(folder, 'config.json')) ? readReport(folder) : null;
    if (report?.state === 'complete') return of('done', report);
    if (report?.state === 'running' || livingOwner(place)) return of('running', report);
    const error = failure(place);
    return of(error === null ? 'waiting' : 'failed', report, error);
  } catch (error) {
    return of('failed', null, (error as Error).message);
  }
}

/** All runs of a sweep. @throws Error as {@link readSweep} */
export const reportSweep = (sweep: string): SweptReport[] => readSweep(sweep).runs.map((run) => reportSwept(sweep, run));

/** How many runs are in each state: `3 done, 1 failed`. */
export function countStates(reports: readonly Pick<SweptReport, 'state'>[]): string {
  const states = ['done', 'running', 'waiting', 'failed'] as const;
  const counts = states.map((state) => [reports.filter((each) => each.state === state).length, state] as const);
  return counts.filter(([count]) => count).map(([count, state]) => `${count} ${state}`).join(', '); // prettier-ignore
}
