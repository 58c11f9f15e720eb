/** Numerical derivatives in float64 of a function of several arrays. */
import type { Values } from './gpt2Float64';

/** x + h·v, array by array. */
export const moved = (x: readonly Values[], v: readonly Values[], h: number): Values[] =>
  x.map((values, i) => values.map((value, j) => value + h * v[i][j]));

/** d/dh f(h) at 0 by central differences. */
export function slope(f: (h: number) => number, h = 1e-5): number {
  return (f(h) - f(-h)) / (2 * h);
}

/** d/dh f(h) at 0 for array-valued f. */
export function slopes(f: (h: number) => Values, h = 1e-5): Values {
  const [after, before] = [f(h), f(-h)];
  return after.map((value, i) => (value - before[i]) / (2 * h));
}

/** ∂²f/∂g∂h at (0, 0). */
export const mixedSlope = (f: (g: number, h: number) => number, step = 2e-4): number =>
  slope((g) => slope((h) => f(g, h), step), step);

/** Gradient of a scalar function of several arrays, coordinate by coordinate; NaN where coordinates are chosen and this is none. */
export function numericalGradient(
  f: (x: Values[]) => number,
  x: readonly Values[],
  step = 1e-5,
  chosen?: readonly (readonly number[])[],
): Values[] {
  const point = x.map((values) => values.slice());
  return point.map((values, i) =>
    values.map((value, j) => {
      if (chosen && !chosen[i].includes(j)) return NaN;
      const result = slope((h) => {
        values[j] = value + h;
        return f(point);
      }, step);
      values[j] = value;
      return result;
    }),
  );
}
