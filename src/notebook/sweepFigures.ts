/**
 * The comparison of methods, drawn from the rows of a sweep: curves, tables, and sentences that say no more than the rows do.
 */
import {
  curveSpread,
  heldOutSpread,
  readResults,
  reportedMethods,
  reportedRuns,
  resultsFile,
  tunedLearningRate,
  type ResultRow,
  type Spread,
} from '../runs/results';
import { runSweep } from '../experiments/sweep';
import { EXPERIMENTS } from '../experiments/experiments';
import { lineChart } from './charts';
import type { Figure } from './figure';
import { follow } from './watch';

/** Methods that are not the paper's. */
const OURS = ['token-credit', 'both-credits', 'both-credits-sgd'];

/** A method as figures and tables name it; "adamw" is the paper's: metagradients through adamw, credit for whole responses. */
export const methodLabel = (method: string): string => `${method.replaceAll('-', ' ')}${OURS.includes(method) ? ' (ours)' : ''}`;

/**
 * The rows to draw: those of `data/results`, or with `live` those of a shorter sweep that is run here, with as many examples as a tuning
 * run and the learning rates that were tuned.
 */
export async function comparisonRows(experiment: string, { live = false } = {}): Promise<ResultRow[]> {
  const stored = readResults(resultsFile(experiment));
  if (!live) return stored;
  const tuning = stored.filter(({ stage }) => stage === 'tuning');
  const definition = EXPERIMENTS[experiment];
  const { sweep } = definition;
  if (!sweep) throw new RangeError(`there is no sweep of ${experiment} to run`);
  const options = { rows: tuning, stages: ['reported'] as const, examples: sweep.tuningExamples };
  const rows: ResultRow[] = [];
  const total = sweep.methods.reduce((sum, { seeds = sweep.seeds }) => sum + seeds.length, 0);
  await follow((signal) => runSweep({ ...definition, sweep }, { ...options, signal }), { total, history: rows });
  return [...tuning, ...rows];
}

/** What {@link comparisonChart} draws. */
export interface ComparisonOptions {
  readonly title: string;
  /** A key of the curves' points, e.g. `pixel_accuracy`. */
  readonly measure: string;
  readonly yTitle: string;
  /** By default every method that has reported runs. */
  readonly methods?: readonly string[];
  readonly yRange?: readonly [number, number];
  /** How the points were measured. */
  readonly note?: string;
}

const seedsOf = (rows: readonly ResultRow[], method: string): number[] => reportedRuns(rows, method).map(({ seed }) => seed);

const severalSeeds = (rows: readonly ResultRow[], methods: readonly string[]): boolean =>
  methods.some((method) => seedsOf(rows, method).length > 1);

/** Which runs lines and bands are made of; seeds by method where they differ. */
function describeSeeds(rows: readonly ResultRow[], methods: readonly string[]): string {
  const lists = methods.map((method) => seedsOf(rows, method).join(', '));
  const same = new Set(lists).size === 1;
  if (same && !severalSeeds(rows, methods)) return `One run each, seed ${lists[0]}.`;
  const seeds = same ? `seeds ${lists[0]}` : methods.map((method, i) => `${methodLabel(method)}: ${lists[i]}`).join('; ');
  return `Lines: mean; bands: lowest to highest of ${seeds}.`;
}

/** Runs so many times as long as others would squeeze these into a corner: their axis is logarithmic. */
const LOG_X_FROM = 4;

/** One curve per method over the synthetic examples seen; the band reaches from the lowest to the highest seed. */
export function comparisonChart(rows: readonly ResultRow[], options: ComparisonOptions): Figure {
  const { methods = reportedMethods(rows), measure, title, yTitle, yRange, note = '' } = options;
  const series = methods.map((method) => {
    const points = curveSpread(rows, method, measure);
    return {
      name: methodLabel(method),
      x: points.map(({ examples }) => examples),
      y: points.map(({ mean }) => mean),
      band: { lower: points.map(({ low }) => low), upper: points.map(({ high }) => high) },
    };
  });
  const ends = series.map(({ x }) => x[x.length - 1]);
  const logX = Math.max(...ends) > LOG_X_FROM * Math.min(...ends);
  const caption = `${describeSeeds(rows, methods)} ${note}`;
  return lineChart({ series, title, xTitle: 'synthetic examples seen', yTitle, yRange, caption, logX });
}

/** A row of a table, with its columns' titles as keys. */
export type TableRow = Record<string, string | number | null>;

/** Norms differ in the fourth digit. */
const number = (value: number): string => String(Number(value.toPrecision(Math.abs(value) < 1 ? 3 : 5))).replace('-', '−');
const range = ({ low, high }: Spread): string => `${number(low)} … ${number(high)}`;

/**
 * The held-out results of methods as rows of a table: mean, and range over the seeds where there are several.
 * @param measures - keys of `held_out` with their column titles
 */
export function comparisonTable(
  rows: readonly ResultRow[],
  measures: Readonly<Record<string, string>>,
  methods: readonly string[] = reportedMethods(rows),
): TableRow[] {
  const several = severalSeeds(rows, methods);
  return methods.map((method) => {
    const runs = reportedRuns(rows, method);
    const row: TableRow = { method: methodLabel(method), seeds: runs.length };
    for (const [key, title] of Object.entries(measures).filter(([each]) => each in runs[0].held_out)) {
      const spread = heldOutSpread(rows, method, key);
      Object.assign(row, { [title]: spread.mean, ...(several && { [`${title}, range`]: range(spread) }) });
    }
    return row;
  });
}

/**
 * Φ of every method's tuning runs by learning rate (null: not tried), the rate that was chosen, and the share of words that it leaves in
 * the vocabulary.
 * @param minWords - of the sweep
 */
export function tuningTable(rows: readonly ResultRow[], minWords?: number): TableRow[] {
  const tuning = rows.filter(({ stage }) => stage === 'tuning');
  const rates = [...new Set(tuning.map(({ config }) => config.learningRate!))].sort((a, b) => a - b);
  return [...new Set(tuning.map(({ method }) => method))].map((method) => {
    const at = (rate: number) => tuning.find((row) => row.method === method && row.config.learningRate === rate)?.held_out;
    const tried = rates.filter((rate) => at(rate));
    const chosen = tunedLearningRate(rows, method, minWords);
    const row: TableRow = { method: methodLabel(method) };
    for (const rate of rates) row[`Φ at ${rate}`] = at(rate)?.phi ?? null;
    const edge = chosen === tried[0] || chosen === tried[tried.length - 1];
    return { ...row, chosen, 'words at it': at(chosen)?.words ?? null, 'at the edge': edge ? 'yes' : 'no' };
  });
}

const listed = (methods: readonly string[]): string => methods.map(methodLabel).join(', ') || 'none';

/**
 * What the held-out results say about methods against one of them; ranges over so few seeds that overlap decide nothing.
 * @param options.reference - the method that the others are compared with
 * @param options.measure - a key of `held_out` of which more is better, and its name
 */
export function describeComparison(
  rows: readonly ResultRow[],
  methods: readonly string[] = reportedMethods(rows),
  { reference = methods[0], measure = 'phi', name = 'Φ' } = {},
): string {
  if (!methods.length) return 'There are no reported runs.';
  const spreads = new Map(methods.map((method) => [method, heldOutSpread(rows, method, measure)]));
  const own = spreads.get(reference)!;
  const others = methods.filter((method) => method !== reference);
  const above = others.filter((method) => spreads.get(method)!.low > own.high);
  const below = others.filter((method) => spreads.get(method)!.high < own.low);
  const undecided = others.filter((method) => !above.includes(method) && !below.includes(method));
  return (
    `${name} on held-out prompts, ${methodLabel(reference)}: ${number(own.mean)} (${range(own)}). Every seed above ` +
    `all of its seeds: ${listed(above)}. ` +
    `Every seed below: ${listed(below)}. Ranges overlap, so that these seeds decide nothing: ${listed(undecided)}.`
  );
}
