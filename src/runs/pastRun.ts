/** A run read back from its folder, for figures, reports and exports. */
import path from 'node:path';
import type { MetricsRow } from '../dpg/train';
import { exportRun } from './export';
import type { RunRecord, Summary } from './records';
import { readMetrics, readRun, readSummary } from './runFolder';
import { runPath, type RunOrName } from './runName';

/** A run as its folder holds it: what takes a run takes this one too, and the curves of a run draw its `history`. */
export interface PastRun extends RunRecord {
  readonly folder: { readonly path: string };
  /** Its steps, with their rows of metrics.jsonl. */
  readonly history: readonly { readonly row: MetricsRow }[];
  /** Its result on held-out prompts, null if it has none. */
  readonly summary: Summary | null;
  /** Writes the trained generator as a Hugging Face folder into this one, see {@link exportRun}; returns the folders written. */
  readonly export: (folder: string) => Promise<string[]>;
}

/**
 * Reads a run: `dpg.show(dpg.healthCurves(dpg.openRun(name).history))`.
 * @throws Error if there is no such run, or naming the file that is damaged
 */
export function openRun(run: RunOrName): PastRun {
  const place = path.resolve(runPath(run));
  return {
    ...readRun(place),
    folder: { path: place },
    history: readMetrics(place).map((row) => ({ row })),
    summary: readSummary(place),
    export: (folder) => exportRun(place, folder),
  };
}
