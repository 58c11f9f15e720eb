/** The end of a run: its summary. */
import type { Validation } from '../dpg/validate';
import type { Experiment } from '../dpg/experiment';
import type { Run } from './record';
import { readMetrics } from './runFolder';
import type { Summary } from './records';

/** What a run came to. */
export interface Ending {
  /** The trained generator, validated. */
  readonly after: Pick<Validation, 'step' | 'phi' | 'metrics' | 'examples' | 'untrained'>;
  /** The untrained one. */
  readonly before?: Pick<Validation, 'phi' | 'metrics'>;
  /** What independent programs read in the decoded image. */
  readonly read?: Readonly<Record<string, string | null>>;
}

const EXAMPLES = 10;

/**
 * Writes `summary.json`.
 * @throws Error if the run has gone on since it was validated, or is closed
 */
export function writeSummary({ name, config }: Experiment, { folder }: Run, { after, before, read }: Ending): Summary {
  folder.reopen(); // the cell that closed it may be run again
  const summary: Summary = {
    experiment: name,
    seed: config.seed,
    steps: after.step,
    seconds: readMetrics(folder.path).reduce((sum, row) => sum + row.seconds, 0),
    held_out: { phi: after.phi, ...after.metrics },
    before: before && { phi: before.phi, ...before.metrics },
    read,
    examples: after.examples.slice(0, EXAMPLES).map((example, i) => ({ ...example, untrained: after.untrained?.[i] })),
  };
  folder.writeSummary(summary);
  return summary;
}
