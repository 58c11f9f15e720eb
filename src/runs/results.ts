/**
 * The rows behind the comparison figures: one line of `data/results/EXPERIMENT.jsonl` per run, small enough to be kept under version
 * control.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { makeFolder, writeFileAtomic } from '../files/atomicFile';
import { DATA } from '../dpg/actor';
import type { Config, ConfigInput } from '../dpg/config';
import { readMetrics, readRun, readSummary } from './runFolder';

/** Φ, an experiment's own measures (e.g. `pixel_accuracy`), and `words`: share of words that are in the encyclopedia's vocabulary. */
export type Measures = Readonly<Record<string, number>> & { readonly phi: number };

/** Measures after so many synthetic examples. */
export type CurvePoint = Measures & { readonly examples: number };

/** One run of one method. */
export interface ResultRow {
  /** Short runs choose a method's learning rate; others are reported. */
  readonly stage: 'tuning' | 'reported';
  readonly method: string;
  readonly seed: number;
  /** What differs from the experiment's defaults. */
  readonly config: ConfigInput;
  readonly curve: readonly CurvePoint[];
  /** On held-out prompts, after the last step. */
  readonly held_out: Measures;
  /** The target after plain SFT on as much encyclopedia text. */
  readonly control?: Measures;
  readonly seconds: number;
}

/** `data/results/EXPERIMENT.jsonl`. */
export const resultsFile = (experiment: string): string => path.join(DATA, 'results', `${experiment}.jsonl`);

/** The rows of a file, none if there is no file. @throws Error naming file and line of what is no JSON */
export function readResults(file: string): ResultRow[] {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
  return lines.map((line, i) => {
    try {
      return JSON.parse(line) as ResultRow;
    } catch {
      throw new Error(`${file}: line ${i + 1} is no JSON; remove it, and its run is done again`);
    }
  });
}

/** Whether two rows are of the same run, the later one to replace the earlier. */
const isSameRun = (a: ResultRow, b: ResultRow): boolean =>
  a.stage === b.stage &&
  a.method === b.method &&
  a.seed === b.seed &&
  (a.stage === 'reported' || a.config.learningRate === b.config.learningRate);

const DIGITS = 6; // norms differ in the fourth

/** Adds a row to a file, in place of an earlier one of the same run. @throws Error naming the file and the cause */
export function saveResult(file: string, row: ResultRow): void {
  const rows = readResults(file);
  const before = rows.findIndex((each) => isSameRun(each, row));
  if (before >= 0) rows[before] = row;
  else rows.push(row);
  const rounded = (_: string, value: unknown): unknown => (typeof value === 'number' ? Number(value.toPrecision(DIGITS)) : value);
  makeFolder(path.dirname(file));
  writeFileAtomic(file, rows.map((each) => JSON.stringify(each, rounded) + '\n').join(''));
}

/**
 * The learning rate with the highest Φ among a method's tuning runs.
 * @param minWords - runs that leave a smaller share of words in the vocabulary are no candidates, unless all do
 * @throws Error if there are none
 */
export function tunedLearningRate(rows: readonly ResultRow[], method: string, minWords = 0): number {
  const tuning = rows.filter((row) => row.stage === 'tuning' && row.method === method);
  if (!tuning.length) throw new Error(`the learning rate of "${method}" is not tuned yet: there are no tuning rows of it`);
  const readable = tuning.filter(({ held_out }) => held_out.words >= minWords);
  const candidates = minWords > 0 && readable.length ? readable : tuning;
  return candidates.reduce((best, row) => (row.held_out.phi > best.held_out.phi ? row : best)).config.learningRate!;
}

/** A measure of some runs: mean, smallest and largest value. */
export interface Spread {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

const spreadOf = (values: readonly number[]): Spread => ({
  mean: values.reduce((a, b) => a + b, 0) / values.length,
  low: Math.min(...values),
  high: Math.max(...values),
});

/** The reported runs of a method. @throws Error naming the methods there are, if there is none of this one */
export function reportedRuns(rows: readonly ResultRow[], method: string): ResultRow[] {
  const runs = rows.filter((row) => row.stage === 'reported' && row.method === method);
  const known = [...new Set(rows.map((row) => row.method))].join(', ') || 'none';
  if (!runs.length) throw new Error(`there are no reported runs of "${method}"; methods with rows: ${known}`);
  return runs;
}

/** Methods that have reported runs, in the order of the rows. */
export const reportedMethods = (rows: readonly ResultRow[]): string[] => [
  ...new Set(rows.filter(({ stage }) => stage === 'reported').map(({ method }) => method)),
];

/** A measure of a method on held-out prompts after training. */
export const heldOutSpread = (rows: readonly ResultRow[], method: string, measure: string): Spread =>
  spreadOf(reportedRuns(rows, method).map(({ held_out }) => held_out[measure]));

/** A measure of a method over the examples seen: mean and extremes of its seeds, as far as every seed came. */
export function curveSpread(rows: readonly ResultRow[], method: string, measure: string): (Spread & { examples: number })[] {
  const [first, ...others] = reportedRuns(rows, method).map(({ curve }) => curve);
  return first.flatMap(({ examples, ...point }) => {
    const same = others.map((curve) => curve.find((each) => each.examples === examples));
    if (same.includes(undefined)) return [];
    return [{ examples, ...spreadOf([point as Measures, ...(same as Measures[])].map((each) => each[measure])) }];
  });
}

const MAX_POINTS = 60;

/** Keys of a configuration that say nothing about the method. */
const NOT_OF_METHOD = ['experiment', 'seed', 'workers', 'engine'];

/**
 * A row made of a run folder: its metrics rows, thinned, and its summary.
 * @param defaults - the experiment's own configuration
 * @throws Error if the folder holds no run, or one that has not ended
 */
export function resultOfRun(folder: string, method: string, defaults: Config): ResultRow {
  const { config } = readRun(folder);
  const summary = readSummary(folder);
  if (!summary) throw new Error(`${folder} has no summary.json: the run has not ended`);
  const heldOut = summary.held_out as Measures;
  const metrics = readMetrics(folder);
  const { prompts, groupSize, seed } = config as unknown as Config;
  const known = defaults as Readonly<Record<string, unknown>>;
  const differs = ([key, value]: [string, unknown]): boolean => !NOT_OF_METHOD.includes(key) && known[key] !== value;
  const stride = Math.ceil(metrics.length / MAX_POINTS);
  const kept = metrics.filter((_, i) => (metrics.length - 1 - i) % stride === 0);
  return {
    stage: 'reported',
    method,
    seed,
    config: Object.fromEntries(Object.entries(config).filter(differs)),
    curve: kept.map((row) => ({
      examples: row.step * prompts * groupSize,
      phi: row.phi,
      ...Object.fromEntries(Object.keys(heldOut).flatMap((key) => (key in row ? [[key, row[key]]] : []))),
    })),
    held_out: heldOut,
    seconds: metrics.reduce((sum, row) => sum + row.seconds, 0),
  };
}
