// adamw's update and its adjoint over n numbers, each in one pass. Operation by operation those of learn/adamw.ts, without fused
// multiply-adds, so that both give the same bits.
import { load4, store4 } from './simd';

/**
 * a/b, and 0 where b is 0: with epsRoot = 0 the adjoint at v = 0 (a weight that no gradient has reached) is 0/0, and its limit 0.
 */
@inline
function quotient(a: v128, b: v128): v128 {
  return v128.andnot(f32x4.div(a, b), f32x4.eq(b, f32x4.splat(0)));
}

/** m, v and p after a step with gradient g; rate = lr/c1, perC2 = 1/c2, keep = 1 − lr·weightDecay, m1 = 1 − b1, v1 = 1 − b2. */
export function adamwUpdate(
  n: i32,
  p: usize,
  m: usize,
  v: usize,
  g: usize,
  pOut: usize,
  mOut: usize,
  vOut: usize,
  b1: f32,
  m1: f32,
  b2: f32,
  v1: f32,
  perC2: f32,
  epsRoot: f32,
  eps: f32,
  rate: f32,
  keep: f32,
): void {
  for (let i = 0; i < n; i += 4) {
    const at = (<usize>i) << 2,
      left = n - i;
    const d = load4(g + at, left);
    const mean = f32x4.add(f32x4.mul(load4(m + at, left), f32x4.splat(b1)), f32x4.mul(d, f32x4.splat(m1)));
    const square = f32x4.add(f32x4.mul(load4(v + at, left), f32x4.splat(b2)), f32x4.mul(f32x4.mul(d, d), f32x4.splat(v1)));
    const root = f32x4.sqrt(f32x4.add(f32x4.mul(square, f32x4.splat(perC2)), f32x4.splat(epsRoot)));
    const step = f32x4.mul(quotient(mean, f32x4.add(root, f32x4.splat(eps))), f32x4.splat(rate));
    store4(mOut + at, mean, left);
    store4(vOut + at, square, left);
    store4(pOut + at, f32x4.sub(f32x4.mul(load4(p + at, left), f32x4.splat(keep)), step), left);
  }
}

/**
 * ḡ, p̄, m̄, v̄ before the step, from p̄, m̄, v̄ after it, and m, v before it; half = lr/(2·c1·c2), v2 = 2·(1 − b2), gRate = rate·(1 − b1).
 */
export function adamwAdjoint(
  n: i32,
  m: usize,
  v: usize,
  g: usize,
  pBar: usize,
  mBar: usize,
  vBar: usize,
  gOut: usize,
  pOut: usize,
  mOut: usize,
  vOut: usize,
  b1: f32,
  m1: f32,
  b2: f32,
  v1: f32,
  v2: f32,
  perC2: f32,
  epsRoot: f32,
  eps: f32,
  rate: f32,
  keep: f32,
  half: f32,
  cross: f32,
  gRate: f32,
): void {
  for (let i = 0; i < n; i += 4) {
    const at = (<usize>i) << 2,
      left = n - i;
    const bar = load4(pBar + at, left),
      barM = load4(mBar + at, left),
      barV = load4(vBar + at, left),
      m0 = load4(m + at, left),
      d = load4(g + at, left);
    const after = f32x4.add(f32x4.mul(m0, f32x4.splat(b1)), f32x4.mul(d, f32x4.splat(m1)));
    const kept = f32x4.mul(load4(v + at, left), f32x4.splat(b2));
    const afterV = f32x4.add(kept, f32x4.mul(f32x4.mul(d, d), f32x4.splat(v1)));
    const s = f32x4.sqrt(f32x4.add(f32x4.mul(afterV, f32x4.splat(perC2)), f32x4.splat(epsRoot)));
    const divisor = f32x4.add(s, f32x4.splat(eps));
    const root = f32x4.mul(divisor, s);
    const mean = f32x4.sub(barM, quotient(f32x4.mul(bar, f32x4.splat(rate)), divisor));
    const through = f32x4.mul(f32x4.mul(bar, after), f32x4.splat(half));
    const square = f32x4.add(barV, quotient(through, f32x4.mul(root, divisor)));
    const difference = f32x4.sub(kept, f32x4.mul(f32x4.mul(d, m0), f32x4.splat(cross)));
    const rest = f32x4.add(f32x4.mul(difference, f32x4.splat(perC2)), f32x4.splat(epsRoot));
    const slope = quotient(f32x4.add(quotient(rest, root), quotient(f32x4.splat(eps), divisor)), divisor);
    const direct = f32x4.add(f32x4.mul(barM, f32x4.splat(m1)), f32x4.mul(f32x4.mul(d, barV), f32x4.splat(v2)));
    store4(gOut + at, f32x4.sub(direct, f32x4.mul(f32x4.mul(bar, f32x4.splat(gRate)), slope)), left);
    store4(pOut + at, f32x4.mul(bar, f32x4.splat(keep)), left);
    store4(mOut + at, f32x4.mul(mean, f32x4.splat(b1)), left);
    store4(vOut + at, f32x4.mul(square, f32x4.splat(b2)), left);
  }
}
