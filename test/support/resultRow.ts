/** Rows of a sweep, made up. */
import type { ResultRow } from '../../src/runs/results';

/** A reported row of adamw, seed 0, with some fields changed. */
export const resultRow = (changes: Partial<ResultRow> = {}): ResultRow => ({
  stage: 'reported',
  method: 'adamw',
  seed: 0,
  config: { learningRate: 1e-3 },
  curve: [],
  held_out: { phi: -1 },
  seconds: 1,
  ...changes,
});
