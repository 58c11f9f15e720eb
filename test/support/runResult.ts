import path from 'node:path';
import { readMetrics } from '../../src/runs/runFolder';
import { latestCheckpoint } from '../../src/runs/savedState';

/** What must be the same however often a run was interrupted, and wherever it was made. */
export const resultOf = (folder: string) => ({
  rows: readMetrics(folder).map((row) => ({ ...row, seconds: 0 })),
  trees: latestCheckpoint(path.join(folder, 'checkpoints')).state?.trees,
});
