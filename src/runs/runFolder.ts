/**
 * The folder of one run: `config.json metrics.jsonl examples.jsonl checkpoints/ figures/ summary.json`.
 *
 * A checkpoint notes how long the two row files were, after they were flushed; resuming cuts them back to that length, so that
 * the rows of a run that was killed and resumed equal those of one that was not.
 */
import { existsSync, readFileSync, renameSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { appendWhole, fileSize, makeFolder, removeLeftovers, syncFile, writeFileAtomic } from '../files/atomicFile';
import type { MetricsRow } from '../dpg/train';
import type { Environment } from './environment';
import { lockRun } from './runLock';
import { latestCheckpoint, saveState, type LatestCheckpoint, type SavedState } from './savedState';

/** One synthetic example of a step: prompt, response, reward and whatever else is worth reading. */
export type ExampleRow = { readonly step: number } & Readonly<Record<string, unknown>>;

/** A model that a run starts from. */
export interface ModelRecord {
  /** Its Hugging Face folder; absent for the experiment's own. */
  readonly folder?: string;
  /** Of its parameters. */
  readonly sha256: string;
}

/** What `config.json` holds. */
export interface RunRecord {
  readonly config: Readonly<Record<string, unknown>>;
  readonly environment: Environment;
  readonly models?: Readonly<Record<'generator' | 'target', ModelRecord>>;
}

/** A run folder open for writing, by this process alone until `close`. Every method throws an Error with path and cause. */
export interface RunFolder {
  readonly path: string;
  /** Folder for figures. */
  readonly figures: string;
  /** One row a GRPO step, in ascending order of steps. */
  appendMetrics(row: MetricsRow): void;
  appendExamples(rows: readonly ExampleRow[]): void;
  /** Flushes all rows so far, then writes everything needed to go on behind `step`. */
  saveCheckpoint(step: number, state: Omit<SavedState, 'step'>): Promise<void>;
  writeSummary(summary: Readonly<Record<string, unknown>>): void;
  /** Lets other processes write here; the folder stays as it is. */
  close(): void;
  /** Undoes `close`. @throws Error if another process writes there or has written in between */
  reopen(): void;
}

/** Result of {@link resumeRun}. */
export interface ResumedRun extends RunRecord {
  readonly run: RunFolder;
  /** Where to go on, or null: from the start. */
  readonly state: SavedState | null;
  /** Checkpoints that were damaged; they were renamed to `….damaged`. */
  readonly ignored: LatestCheckpoint['ignored'];
}

const ROWS = ['metrics.jsonl', 'examples.jsonl'];

/**
 * Starts a run in `folder`, made with its parents if absent.
 *
 * @throws Error if the folder holds another run or another process writes there
 */
export function createRun(folder: string, record: RunRecord): RunFolder {
  makeFolder(folder);
  return withLock(folder, (release) => {
    const present = ['config.json', ...ROWS, 'checkpoints', 'summary.json'].find((name) => existsSync(join(folder, name)));
    if (present) throw new Error(`${folder} already holds a run (${present}): resume it or choose another folder`);
    writeFileAtomic(join(folder, 'config.json'), prettyJson(record));
    return openRun(folder, release);
  });
}

/**
 * Opens a run to go on from its newest whole checkpoint: later rows are cut off, leftovers of a killed process removed.
 *
 * @throws Error if there is no run, another process writes there, no checkpoint of several is readable, or rows are missing
 */
export function resumeRun(folder: string): ResumedRun {
  const record = readRun(folder);
  return withLock(folder, (release) => {
    const checkpoints = join(folder, 'checkpoints');
    for (const place of [folder, checkpoints]) removeLeftovers(place);
    const { state: saved, ignored } = latestCheckpoint(checkpoints);
    if (!saved && ignored.length > 0) {
      const reasons = ignored.map(({ reason }) => `\n  ${reason}`).join('');
      throw new Error(`no checkpoint in ${checkpoints} is readable; start a new run in another folder:${reasons}`);
    }
    const { rowBytes, state } = saved ? unpack(saved) : { rowBytes: {}, state: null };
    truncateRows(folder, rowBytes, state?.step);
    for (const { path } of ignored) setAside(path);
    return { ...record, run: openRun(folder, release, state?.step), state, ignored };
  });
}

/** Reads `config.json` of a run folder. Throws Error if there is none. */
export function readRun(folder: string): RunRecord {
  const path = join(folder, 'config.json');
  if (!existsSync(path)) throw new Error(`${folder} holds no run: it has no config.json`);
  return JSON.parse(readFileSync(path, 'utf8')) as RunRecord;
}

/** Reads `summary.json`, or null for a run that has not ended. */
export function readSummary(folder: string): Record<string, unknown> | null {
  const path = join(folder, 'summary.json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>) : null;
}

/** Reads `metrics.jsonl`; a last line that is still being written is left out. */
export function readMetrics(folder: string): MetricsRow[] {
  const path = join(folder, 'metrics.jsonl');
  const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : [];
  return lines.map((line) => JSON.parse(line) as MetricsRow);
}

function openRun(folder: string, release: () => void, lastStep = -Infinity): RunFolder {
  const [metrics, examples] = ROWS.map((name) => join(folder, name));
  const figures = join(folder, 'figures');
  makeFolder(figures);
  for (const path of [metrics, examples]) appendRows(path, []); // both exist from the start
  const sizes = (): string => [metrics, examples].map(fileSize).join();
  let left: string | undefined; // sizes when it was closed
  const checkOpen = (): void => {
    if (left !== undefined) throw new Error(`the run in ${folder} is closed: resume it to write again`);
  };
  return {
    path: folder,
    figures,
    appendMetrics(row) {
      checkOpen();
      if (!(row.step > lastStep)) throw new Error(`${metrics}: a row of step ${row.step} cannot follow step ${lastStep}`);
      appendRows(metrics, [row]);
      lastStep = row.step;
    },
    appendExamples(rows) {
      checkOpen();
      appendRows(examples, rows);
    },
    async saveCheckpoint(step, { trees, values }) {
      checkOpen();
      const rowBytes = Object.fromEntries(ROWS.map((name) => [name, flushedSize(join(folder, name))]));
      await saveState(join(folder, 'checkpoints'), { step, trees, values: { rowBytes, values } });
    },
    writeSummary(summary) {
      checkOpen();
      writeFileAtomic(join(folder, 'summary.json'), prettyJson(summary));
    },
    close() {
      left ??= sizes();
      release();
    },
    reopen() {
      if (left === undefined) return;
      release = withLock(folder, (unlock) => {
        if (sizes() !== left) throw new Error(`another process has gone on with the run in ${folder}: resume it`);
        return unlock;
      });
      left = undefined;
    },
  };
}

/** Runs `f` under the folder's lock, which stays held unless `f` throws. */
function withLock<T>(folder: string, f: (release: () => void) => T): T {
  const release = lockRun(folder);
  try {
    return f(release);
  } catch (error) {
    release();
    throw error;
  }
}

function appendRows(path: string, rows: readonly object[]): void {
  appendWhole(path, Buffer.from(rows.map((row) => JSON.stringify(row) + '\n').join('')));
}

function flushedSize(path: string): number {
  syncFile(path);
  return fileSize(path);
}

/** Parts what `saveCheckpoint` put together. */
function unpack(saved: SavedState): { rowBytes: Record<string, number>; state: SavedState } {
  const { rowBytes, values } = saved.values as { rowBytes: Record<string, number>; values: SavedState['values'] };
  return { rowBytes, state: { ...saved, values } };
}

/** Cuts the row files back to what they were at the checkpoint; to nothing without one. */
function truncateRows(folder: string, rowBytes: Readonly<Record<string, number>>, step: number | undefined): void {
  const files = ROWS.map((name) => ({ path: join(folder, name), bytes: rowBytes[name] ?? 0 }));
  for (const { path, bytes } of files) {
    const size = fileSize(path);
    if (size < bytes) throw new Error(`${path} lost rows: it had ${bytes} bytes at the checkpoint of step ${step}, now ${size}`);
  }
  for (const { path, bytes } of files) if (existsSync(path)) truncateSync(path, bytes);
}

/** Keeps a damaged checkpoint for inspection, out of the way of the one that will be written under its name. */
function setAside(path: string): void {
  rmSync(`${path}.damaged`, { recursive: true, force: true });
  renameSync(path, `${path}.damaged`);
}

const prettyJson = (value: object): string => JSON.stringify(value, null, 2) + '\n';
