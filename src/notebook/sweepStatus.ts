/** A sweep of `dpg sweep` in a notebook. */
import { runPath } from '../runs/runName';
import { countStates, reportSweep } from '../runs/sweepFolder';
import { showFigure } from './display';
import { compare } from './runFigures';
import { table } from './table';

/** One line of {@link sweep}. */
export type SweepLine = Readonly<Record<string, string | number | boolean | null>>;

/**
 * Shows the runs of a sweep as a table, and the curves of those that have begun; a run that has failed stands there with its error.
 * @param folder - what `dpg sweep --out` was given
 * @param key - a column of metrics.jsonl
 * @returns the lines of the table
 * @throws Error if there is no sweep
 */
export function sweep(folder: string, key = 'phi'): SweepLine[] {
  const reports = reportSweep(runPath(folder));
  const lines = reports.map(({ index, settings, state, error, report }) => {
    const heldOut = Object.entries(report?.heldOut ?? {}).map(([name, value]) => [`held_out.${name}`, value] as const);
    const result = { steps: report?.steps ?? 0, [key]: report?.last?.[key] ?? null, ...Object.fromEntries(heldOut) };
    return { run: index, ...settings, ...result, state, ...(error !== null && { error }) };
  });
  table(lines, { caption: countStates(reports) });
  const begun = reports.filter(({ report }) => report?.last);
  if (begun.length) showFigure(compare(begun.map((each) => each.folder), key)); // prettier-ignore
  return lines;
}
