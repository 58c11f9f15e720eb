/**
 * The folder of one run: `config.json metrics.jsonl examples.jsonl checkpoints/ figures/ summary.json`.
 *
 * A checkpoint notes how long the two row files were, after they were flushed; resuming cuts them back to that length, so that
 * the rows of a run that was killed and resumed equal those of one that was not.
 */
import { copyFileSync, existsSync, renameSync, rmSync, statSync, truncateSync } from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';
import {
  appendWhole,
  fileSize,
  isLeftover,
  makeFolder,
  readFolder,
  removeLeftovers,
  syncFile,
  writeFileAtomic,
} from '../files/atomicFile';
import type { MetricsRow } from '../dpg/train';
import { fit, parseJson, readBytes, readJson, readText } from '../files/json';
import { shown } from '../files/printable';
import { LOCK, lockRun, type RunLock } from './runLock';
import { latestCheckpoint, removeOldCheckpoints, saveState, type LatestCheckpoint, type SavedState } from './savedState';
import {
  checkpointValuesSchema,
  exampleRowSchema,
  metricsRowSchema,
  runRecordSchema,
  summarySchema,
} from './shapes';
import type { ExampleRow, RunRecord, Summary } from './records';

type Values = Readonly<Record<string, unknown>>;

/** A run folder open for writing, by this process alone until `close`. Every method throws an Error with path and cause. */
export interface RunFolder {
  readonly path: string;
  /** Folder for figures. */
  readonly figures: string;
  /** What `config.json` holds. */
  readonly record: RunRecord;
  /** One row a GRPO step, in ascending order of steps. */
  appendMetrics(row: MetricsRow): void;
  appendExamples(rows: readonly ExampleRow[]): void;
  /** Flushes all rows so far, then writes everything needed to go on behind `step`. */
  saveCheckpoint(step: number, state: Omit<SavedState, 'step'>): Promise<void>;
  /** Notes in `config.json` that these keys have new values in the steps after `step`. */
  change(step: number, config: Values): void;
  /** @throws Error if it is of another step than the last row */
  writeSummary(summary: Summary): void;
  /** Lets other processes write here; the folder stays as it is. */
  close(): void;
  /** Undoes `close`. @throws Error if another process writes there or has written in between */
  reopen(): void;
}

/** Result of {@link resumeRun}. */
export interface ResumedRun {
  readonly run: RunFolder;
  /** Where to go on, or null: from the start. */
  readonly state: SavedState | null;
  /** Checkpoints that were damaged; they were renamed to `….damaged`. */
  readonly ignored: LatestCheckpoint['ignored'];
}

const METRICS = 'metrics.jsonl';
const ROWS: Readonly<Record<string, z.ZodType<{ step: number }>>> = { [METRICS]: metricsRowSchema, 'examples.jsonl': exampleRowSchema };

/**
 * Starts a run in `folder`, made with its parents if absent.
 *
 * @throws Error if the folder holds anything, or another process writes there
 */
export function createRun(folder: string, record: RunRecord): RunFolder {
  if (folder === '') throw new Error("a run folder needs a name (got '')");
  makeFolder(folder);
  refuseForeign(folder);
  return withLock(folder, (lock) => {
    const present = readFolder(folder).find((name) => OWN.includes(name) && name !== 'figures');
    if (present) throw new Error(`${folder} already holds a run (${present}): resume it or choose another folder`);
    removeLeftovers(folder);
    writeFileAtomic(join(folder, 'config.json'), prettyJson(record));
    return openRun(folder, record, lock);
  });
}

/** What may lie in a run folder; an executed notebook is written there from its first cell on, before its run begins. */
const OWN = ['config.json', ...Object.keys(ROWS), 'checkpoints', 'summary.json', 'figures'];
const isOwn = (name: string): boolean => OWN.includes(name) || /^events\.out\.|\.ipynb$/.test(name);

/** @throws Error if the folder holds what is no part of a run */
function refuseForeign(folder: string): void {
  const foreign = readFolder(folder).find((name) => !isOwn(name) && name !== LOCK && !isLeftover(name));
  if (foreign) throw new Error(`${folder} holds ${shown(foreign)}, which is no part of a run: choose a new or an empty folder`);
}

/**
 * Opens a run to go on from its newest whole checkpoint: later rows are cut off, leftovers of a killed process removed.
 *
 * @param change - configuration keys that are to have other values from here on
 * @throws Error if there is no run, another process writes there, `config.json` was changed otherwise, no checkpoint is readable though
 * there are rows, or rows are missing or damaged; the folder is then as it was
 */
export function resumeRun(folder: string, change: Values = {}): ResumedRun {
  readRun(folder);
  return withLock(folder, (lock) => {
    const record = readRun(folder);
    const { state: saved, ignored } = latestCheckpoint(join(folder, 'checkpoints'));
    if (!saved) requireNoRows(folder, ignored);
    const nothing = { rowBytes: {} as Record<string, number>, config: record.config, state: null };
    const { rowBytes, config, state } = saved ? unpack(saved) : nothing;
    requireUnchanged(folder, record, config, change);
    for (const [name, schema] of Object.entries(ROWS)) checkRows(join(folder, name), rowBytes[name] ?? 0, schema, state?.step ?? 0);
    for (const place of [folder, join(folder, 'checkpoints')]) removeLeftovers(place);
    for (const { path } of ignored) setAside(folder, path);
    removeOldCheckpoints(join(folder, 'checkpoints'));
    for (const name of Object.keys(ROWS)) if (existsSync(join(folder, name))) truncateSync(join(folder, name), rowBytes[name] ?? 0);
    const run = openRun(folder, record, lock, state?.step);
    if (Object.keys(change).length) run.change(state?.step ?? 0, change);
    return { run, state, ignored };
  });
}

/** The newest whole checkpoint of a run that another process writes, or null; nothing is changed. */
export function readState(folder: string): SavedState | null {
  const { state } = latestCheckpoint(join(folder, 'checkpoints'));
  return state && unpack(state).state;
}

/** Reads `config.json` of a run folder. @throws Error if there is none, or one that does not fit */
export function readRun(folder: string): RunRecord {
  const path = join(folder, 'config.json');
  if (!existsSync(path)) throw new Error(`${folder} holds no run: it has no config.json`);
  return readJson(path, runRecordSchema);
}

/** Reads `summary.json`, or null for a run that has not ended. @throws Error for one that does not fit */
export function readSummary(folder: string): Summary | null {
  const path = join(folder, 'summary.json');
  return existsSync(path) ? readJson(path, summarySchema) : null;
}

/** Reads `metrics.jsonl`; a last line that is still being written is left out. @throws Error naming the line that does not fit */
export function readMetrics(folder: string): MetricsRow[] {
  const path = join(folder, METRICS);
  return parseRows(path, readText(path), metricsRowSchema);
}

/** Whole lines of a row file. @throws Error naming the line that does not fit, or whose step is below that of the line before */
function parseRows<T extends { step: number }>(path: string, text: string, schema: z.ZodType<T>): T[] {
  const rows = text.split('\n').slice(0, -1).map((line, i) => parseJson(`${path}: line ${i + 1}`, line, schema)); // prettier-ignore
  const early = rows.findIndex(({ step }, i) => i > 0 && step < rows[i - 1].step);
  if (early > 0) throw new Error(`${path}: line ${early + 1} is of step ${rows[early].step}, after one of step ${rows[early - 1].step}`);
  return rows;
}

function openRun(folder: string, initial: RunRecord, opened: RunLock, lastStep = 0): RunFolder {
  const [metrics, examples] = Object.keys(ROWS).map((name) => join(folder, name));
  const figures = join(folder, 'figures');
  makeFolder(figures);
  for (const path of [metrics, examples]) appendRows(path, []); // both exist from the start
  const { checkOpen, close, reopen } = access(folder, opened, [metrics, examples]);
  let record = initial;
  return {
    path: folder,
    figures,
    get record() {
      return record;
    },
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
    async saveCheckpoint(step, state) {
      checkOpen();
      const rowBytes = Object.fromEntries([metrics, examples].map((path) => [basename(path), flushedSize(path)]));
      const values = { config: record.config, rowBytes, values: state.values };
      await saveState(join(folder, 'checkpoints'), { ...state, step, values });
    },
    change(step, config) {
      checkOpen();
      record = changed(record, step, config);
      writeFileAtomic(join(folder, 'config.json'), prettyJson(record));
    },
    writeSummary(summary) {
      checkOpen();
      if (summary.steps !== lastStep)
        throw new Error(`a summary of step ${summary.steps} is none of ${folder}, which is at step ${lastStep}: validate again`);
      writeFileAtomic(join(folder, 'summary.json'), prettyJson(fit('the summary', summary, summarySchema)));
    },
    close,
    reopen,
  };
}

/** Who may write: this process, until it closes the run or loses its lock. */
function access(folder: string, opened: RunLock, rowFiles: readonly string[]) {
  const sizes = (): string => rowFiles.map(fileSize).join();
  let lock = opened;
  let left: string | undefined; // sizes when it was closed
  const checkOpen = (): void => {
    if (left !== undefined) throw new Error(`the run in ${folder} is closed: resume it to write again`);
    lock.check();
  };
  const close = (): void => {
    left ??= sizes();
    lock.release();
  };
  const reopen = (): void => {
    if (left === undefined) return;
    lock = withLock(folder, (taken) => {
      if (sizes() !== left) throw new Error(`another process has gone on with the run in ${folder}: resume it`);
      return taken;
    });
    left = undefined;
  };
  return { checkOpen, close, reopen };
}

/** Runs `f` under the folder's lock, which stays held unless `f` throws. */
function withLock<T>(folder: string, f: (lock: RunLock) => T): T {
  const lock = lockRun(folder);
  try {
    return f(lock);
  } catch (error) {
    lock.release();
    throw error;
  }
}

const changed = (record: RunRecord, step: number, config: Values): RunRecord => ({
  ...record,
  config: { ...record.config, ...config },
  changes: [...(record.changes ?? []), { step, config }],
});

function appendRows(path: string, rows: readonly object[]): void {
  appendWhole(path, Buffer.from(rows.map((row) => JSON.stringify(row) + '\n').join('')));
}

function flushedSize(path: string): number {
  syncFile(path);
  return fileSize(path);
}

/** Parts what `saveCheckpoint` put together. */
function unpack(saved: SavedState): z.infer<typeof checkpointValuesSchema> & { state: SavedState } {
  const parts = fit(`the checkpoint of step ${saved.step}`, saved.values, checkpointValuesSchema);
  return { ...parts, state: { ...saved, values: parts.values } };
}

/** A run without rows may start over: nothing is lost. Every other one has a checkpoint, if only of its start. */
function requireNoRows(folder: string, ignored: LatestCheckpoint['ignored']): void {
  if (!ignored.length && Object.keys(ROWS).every((name) => fileSize(join(folder, name)) === 0)) return;
  const reasons = ignored.map(({ reason }) => `\n  ${reason}`).join('');
  throw new Error(
    `no checkpoint in ${join(folder, 'checkpoints')} is readable; the rows stay as they are: ` +
      `start a new run in another folder${reasons && ':'}${reasons}`,
  );
}

/** @throws Error naming the first key whose value is neither that of the checkpoint nor a recorded or wanted change */
function requireUnchanged(folder: string, { config, changes = [] }: RunRecord, made: Values, wanted: Values): void {
  const known = changes.reduce<Values>((config, change) => ({ ...config, ...change.config }), made);
  const same = (key: string): boolean => JSON.stringify(config[key]) === JSON.stringify(known[key]);
  const key = [...new Set([...Object.keys(known), ...Object.keys(config)])].find((each) => !same(each) && !(each in wanted));
  if (key === undefined) return;
  throw new Error(
    `${join(folder, 'config.json')} says ${key} ${shown(config[key])}, but the run was made with ${shown(known[key])}: ` +
      `put it back, or resume with --change ${key}=${shown(config[key])}`,
  );
}

/** Rows up to the checkpoint. @throws Error if some are missing or damaged */
function checkRows(path: string, bytes: number, schema: z.ZodType<{ step: number }>, step: number): void {
  const size = fileSize(path);
  if (size < bytes) throw new Error(`${path} lost rows: it had ${bytes} bytes at the checkpoint of step ${step}, now ${size}`);
  if (bytes === 0) return;
  const rows = parseRows(path, readBytes(path).toString('utf8', 0, bytes), schema);
  const last = rows.at(-1)?.step ?? 0;
  if (last > step || (path.endsWith(METRICS) && last !== step))
    throw new Error(`${path} ends with step ${last} where the checkpoint of step ${step} was taken: its rows were changed`);
}

/** Keeps a damaged checkpoint and the rows so far, out of the way of what will be written in their place. */
function setAside(folder: string, path: string): void {
  rmSync(`${path}.damaged`, { recursive: true, force: true });
  renameSync(path, `${path}.damaged`);
  if (!statSync(`${path}.damaged`).isDirectory()) return;
  for (const name of Object.keys(ROWS)) copyFileSync(join(folder, name), join(`${path}.damaged`, name));
}

const prettyJson = (value: object): string => JSON.stringify(value, null, 2) + '\n';
