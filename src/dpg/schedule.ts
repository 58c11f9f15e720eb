/**
 * What changes along a run. A schedule reaches its two ends exactly, at the first and at the last GRPO step.
 */

/** A value, or one for each GRPO step, counted from 0, of a run of `steps`. Validation takes that of the last step. */
export type Scheduled<T> = T | { readonly at: (step: number, steps: number) => T };

/** The value that a schedule has at a step; anything else is the same at every step. */
export const atStep = <T>(value: Scheduled<T>, step: number, steps: number): T =>
  typeof value === 'object' && value !== null && 'at' in value ? value.at(step, steps) : value;

/** How far a run has come: 0 at its first step, 1 at its last; a run of one step is at its beginning. */
const progress = (step: number, steps: number): number => (steps > 1 ? step / (steps - 1) : 0);

/** From `start` to `end` in equal differences. */
export function linear(start: number, end: number, step: number, steps: number): number {
  const share = progress(step, steps);
  return share === 1 ? end : start + (end - start) * share; // the sum may round
}

/** From `start` to `end` in equal ratios. */
export function geometric(start: number, end: number, step: number, steps: number): number {
  const share = progress(step, steps);
  return share === 1 ? end : start * (end / start) ** share;
}
