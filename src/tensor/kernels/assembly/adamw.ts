// adamw with ε inside and outside the root, and the reverse of one step. c1 = 1 − b1^t, c2 = 1 − b2^t; m and v are those after
// the step.
import { load4, multiplyAdd, store4 } from './simd';

/** m, v and φ in place from the gradient g: φ ← φ − lr·((m/c1)/(√(v/c2 + epsRoot) + eps) + decay·φ). */
export function adamwUpdate(
  n: i32, phi: usize, g: usize, m: usize, v: usize,
  lr: f32, b1: f32, b2: f32, c1: f32, c2: f32, eps: f32, epsRoot: f32, decay: f32,
): void {
  const keep = f32x4.splat(1 - lr * decay), rate = f32x4.splat(lr / c1);
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2, left = n - i;
    const d = load4(g + at, left);
    const mean = multiplyAdd(f32x4.splat(1 - b1), d, f32x4.mul(f32x4.splat(b1), load4(m + at, left)));
    const square = multiplyAdd(f32x4.splat(1 - b2), f32x4.mul(d, d), f32x4.mul(f32x4.splat(b2), load4(v + at, left)));
    const root = f32x4.sqrt(f32x4.add(f32x4.div(square, f32x4.splat(c2)), f32x4.splat(epsRoot)));
    const step = f32x4.div(f32x4.mul(rate, mean), f32x4.add(root, f32x4.splat(eps)));
    store4(m + at, mean, left);
    store4(v + at, square, left);
    store4(phi + at, f32x4.sub(f32x4.mul(keep, load4(phi + at, left)), step), left);
  }
}

/** Adjoints through the step: writes ḡ; φ̄, m̄, v̄ in place (H·ḡ is still to be added to φ̄). */
export function adamwAdjoint(
  n: i32, g: usize, m: usize, v: usize, phiBar: usize, mBar: usize, vBar: usize, gBar: usize,
  lr: f32, b1: f32, b2: f32, c1: f32, c2: f32, eps: f32, epsRoot: f32, decay: f32,
): void {
  const rate = f32x4.splat(lr / c1);
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2, left = n - i;
    const bar = load4(phiBar + at, left);
    const root = f32x4.sqrt(f32x4.add(f32x4.div(load4(v + at, left), f32x4.splat(c2)), f32x4.splat(epsRoot)));
    const divisor = f32x4.add(root, f32x4.splat(eps));
    const perMean = f32x4.div(f32x4.mul(rate, bar), divisor); // lr·φ̄ / (c1·D)
    const mTilde = f32x4.sub(load4(mBar + at, left), perMean);
    const twice = f32x4.mul(f32x4.mul(divisor, root), f32x4.splat(2 * c2));
    const perSquare = f32x4.div(f32x4.mul(perMean, load4(m + at, left)), twice); // lr·φ̄·(m/c1) / (D²·2·s·c2)
    const vTilde = f32x4.add(load4(vBar + at, left), perSquare);
    const fromSquare = f32x4.mul(f32x4.mul(f32x4.splat(2 * (1 - b2)), load4(g + at, left)), vTilde);
    store4(gBar + at, multiplyAdd(f32x4.splat(1 - b1), mTilde, fromSquare), left);
    store4(phiBar + at, f32x4.mul(f32x4.splat(1 - lr * decay), bar), left);
    store4(mBar + at, f32x4.mul(f32x4.splat(b1), mTilde), left);
    store4(vBar + at, f32x4.mul(f32x4.splat(b2), vTilde), left);
  }
}
