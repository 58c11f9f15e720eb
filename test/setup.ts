/** The project's own matcher: element-wise closeness with one stated tolerance. */
import { expect } from 'vitest';
import '../src/tensor/tfjs';

interface Tolerance {
  /** ‖actual − expected‖ / ‖expected‖ must not exceed it. */
  rtol?: number;
  /** Every |actual − expected| may be this large. */
  atol?: number;
}

const norm = (values: readonly number[]): number => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));

/** ‖actual − expected‖₂ / ‖expected‖₂. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  const reference = Array.from(expected);
  return norm(reference.map((x, i) => actual[i] - x)) / norm(reference);
}

/** Slope of the regression of actual on expected through the origin: 1 when the scale is right. */
export function regressionSlope(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  const reference = Array.from(expected);
  return reference.reduce((sum, x, i) => sum + x * actual[i], 0) / reference.reduce((sum, x) => sum + x * x, 0);
}

expect.extend({
  toBeAllClose(actual: ArrayLike<number>, expected: ArrayLike<number>, { rtol, atol }: Tolerance) {
    if (actual.length !== expected.length)
      return { pass: false, message: () => `lengths differ: ${actual.length} and ${expected.length}` };
    const error = relativeError(actual, expected);
    const worst = Array.from(expected).reduce((max, x, i) => Math.max(max, Math.abs(actual[i] - x)), 0);
    const pass = (rtol === undefined || error <= rtol) && (atol === undefined || worst <= atol);
    return {
      pass,
      message: () =>
        `relative error ${error.toExponential(2)}, largest difference ${worst.toExponential(2)}; allowed rtol ${rtol}, atol ${atol}`,
    };
  },
});

declare module 'vitest' {
  // eslint-disable-next-line @typescript-eslint/no-unused-vars, @typescript-eslint/no-explicit-any
  interface Matchers<T = any> {
    /** Same length, and close by relative L2 error (`rtol`) and / or largest difference (`atol`). */
    toBeAllClose(expected: ArrayLike<number>, tolerance: { rtol?: number; atol?: number }): void;
  }
}
