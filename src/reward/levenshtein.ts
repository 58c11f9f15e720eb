/**
 * The paper's Levenshtein baseline: minus the mean edit distance of a response's tokens to the texts of the evaluation set.
 */
import type { Score } from './scored';

/** Fewest insertions, deletions and substitutions of tokens that turn `a` into `b`. */
export function editDistance(a: readonly number[], b: readonly number[]): number {
  let row = Uint32Array.from({ length: b.length + 1 }, (_, j) => j); // distances of a's first i tokens to b's first j
  for (let i = 1; i <= a.length; i++) {
    const next = new Uint32Array(b.length + 1);
    next[0] = i;
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    row = next;
  }
  return row[b.length];
}

/** Minus the mean edit distance to `evaluation`, in tokens. */
export const levenshteinScore =
  (evaluation: readonly (readonly number[])[]): Score =>
  (responses) =>
    Float32Array.from(
      responses,
      (response) => -evaluation.reduce((sum, text) => sum + editDistance(response, text), 0) / evaluation.length,
    );
