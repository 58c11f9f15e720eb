/** Watching a loop of steps: a progress line, a live figure, a history, and the stop button. */
import { liveFigure, output } from './display';
import type { Figure } from './figure';
import { registerLoop, stoppedLoops, stopSignal } from './interrupt';
import { progress, REFRESH, type Metrics } from './progress';
import { tableBundle, type Row } from './table';

/** Options of {@link watch}. */
export interface WatchOptions<Step> {
  /** Steps at the end, those already in `history` included. */
  readonly total: number;
  /** Gets every step. Declare it in an earlier cell: the same cell, run again, then goes on with it. */
  readonly history?: Step[];
  /** Numbers for the progress line. */
  readonly metrics?: (step: Step) => Metrics;
  /** Picture of the history so far. */
  readonly figure?: (history: readonly Step[]) => Figure;
  /** Rows of a table of the running step, e.g. `(step) => writtenTexts(experiment, step)`. */
  readonly table?: (step: Step) => readonly Row[];
}

/** Seconds that each history took so far: a loop that was stopped has several parts. */
const spent = new WeakMap<object, number>();

/**
 * Passes the steps of a loop through and shows how it goes.
 *
 * The stop button ends it after the running step: the loop's `finally` blocks run, `history` stays, and the same cell goes on where the
 * loop can. A loop that wants to end within a step is given as a function of the signal.
 */
export async function* watch<Step>(
  steps: AsyncIterable<Step> | ((signal: AbortSignal) => AsyncIterable<Step>),
  { total, history = [], metrics = () => ({}), figure, table }: WatchOptions<Step>,
): AsyncGenerator<Step, void, undefined> {
  await stoppedLoops();
  const signal = stopSignal();
  const end = registerLoop();
  const line = progress({ total, start: history.length, seconds: spent.get(history) });
  const began = performance.now();
  const picture = figure && liveFigure();
  const texts = output();
  const tabulate = () => table && history.length && texts.show(tableBundle(table(history[history.length - 1])));
  let drawn = -Infinity;
  try {
    for await (const step of typeof steps === 'function' ? steps(signal) : steps) {
      history.push(step);
      if (performance.now() - drawn >= REFRESH) {
        picture?.draw(figure!(history));
        tabulate();
        drawn = performance.now();
      }
      await line.update(history.length, metrics(step), (step as { left?: number }).left);
      yield step;
      if (signal.aborted) break;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    spent.set(history, (spent.get(history) ?? 0) + (performance.now() - began) / 1000);
    const { ended = 'ended early' } = (history.at(-1) ?? {}) as { ended?: string };
    line.finish(signal.aborted ? 'stopped; run the cell again' : history.length < total ? ended : undefined);
    if (picture && history.length) picture.finish(figure!(history));
    tabulate();
    end();
  }
}

/** {@link watch} to the end, for a cell of its own: tslab takes no `for await` at top level, but `await follow(…)`. */
export async function follow<Step>(
  steps: AsyncIterable<Step> | ((signal: AbortSignal) => AsyncIterable<Step>),
  options: WatchOptions<Step>,
): Promise<void> {
  const watched = watch(steps, options);
  while (!(await watched.next()).done);
}
