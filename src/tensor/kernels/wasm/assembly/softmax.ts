// Pieces of a softmax over one row.
import { exp4, load4, max4, sum4, within } from './simd';

/** max_j x[j] */
export function rowMax(x: usize, n: i32): f32 {
  let m = f32x4.splat(-f32.MAX_VALUE);
  for (let j = 0; j < n; j += 4) m = f32x4.pmax(m, within(load4(x + (<usize>j << 2), n - j), m, n - j));
  return max4(m);
}

/** eˣ⁻ˢ in four lanes, 0 past the end of the row; x is multiplied by `scale` first. */
@inline
export function shiftedExp(x: usize, shift: v128, scale: v128, left: i32): v128 {
  return within(exp4(f32x4.sub(f32x4.mul(load4(x, left), scale), shift)), f32x4.splat(0), left);
}

/**
 * In place: softmax(scale · x[0..count)), followed by zeros up to the next multiple of four, which the row must have room for.
 */
export function softmaxRow(x: usize, count: i32, scale: f32): void {
  const s = f32x4.splat(scale), shift = f32x4.splat(rowMax(x, count) * scale), zero = f32x4.splat(0);
  let total = zero;
  for (let j = 0; j < count; j += 4) {
    const p = x + (<usize>j << 2);
    const e = within(exp4(f32x4.sub(f32x4.mul(v128.load(p), s), shift)), zero, count - j);
    v128.store(p, e);
    total = f32x4.add(total, e);
  }
  const inverse = f32x4.splat(1 / sum4(total));
  for (let j = 0; j < count; j += 4) {
    const p = x + (<usize>j << 2);
    v128.store(p, f32x4.mul(v128.load(p), inverse));
  }
}
