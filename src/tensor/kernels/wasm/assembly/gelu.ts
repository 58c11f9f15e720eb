// tanh-GELU written as x·σ(z), z = 2√(2/π)·(x + 0.044715 x³), with first and second derivatives. A dot on a name means tangent.
import { exp4, load4, multiplyAdd, store4 } from './simd';

const Z1: f32 = 1.5957691216057308; // 2√(2/π)
const Z3: f32 = 0.0713548162726009; // 2√(2/π) · 0.044715

/** σ(z(x)) */
@inline
function gate(x: v128): v128 {
  const z = f32x4.mul(x, multiplyAdd(f32x4.splat(Z3), f32x4.mul(x, x), f32x4.splat(Z1)));
  return f32x4.div(f32x4.splat(1), f32x4.add(f32x4.splat(1), exp4(f32x4.neg(z))));
}

/** z'(x) */
@inline
function slope(x: v128): v128 {
  return multiplyAdd(f32x4.splat(3 * Z3), f32x4.mul(x, x), f32x4.splat(Z1));
}

/** d/dx x·σ(z) = σ + x·σ(1 − σ)·z' */
@inline
function derivative(x: v128, s: v128): v128 {
  return multiplyAdd(f32x4.mul(x, f32x4.mul(s, f32x4.sub(f32x4.splat(1), s))), slope(x), s);
}

/** y = g(x), then x ← g'(x): what the way back needs. */
export function geluForward(n: i32, x: usize, y: usize): void {
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2;
    const v = load4(x + at, n - i);
    const s = gate(v);
    store4(y + at, f32x4.mul(v, s), n - i);
    store4(x + at, derivative(v, s), n - i);
  }
}

/** (y, ẏ) = (g(x), g'(x)·ẋ), then (x, ẋ) ← (g'(x), g''(x)·ẋ). */
export function geluTangent(n: i32, x: usize, xDot: usize, y: usize, yDot: usize): void {
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2;
    const v = load4(x + at, n - i), d = load4(xDot + at, n - i);
    const s = gate(v), z1 = slope(v), one = f32x4.splat(1);
    const ss = f32x4.mul(s, f32x4.sub(one, s));
    const s1 = f32x4.mul(ss, z1); // dσ/dx
    const g1 = multiplyAdd(v, s1, s);
    const curvature = f32x4.mul(ss, f32x4.mul(f32x4.splat(6 * Z3), v)); // σ'·z''
    const s2 = multiplyAdd(f32x4.mul(s1, f32x4.sub(one, f32x4.add(s, s))), z1, curvature); // d²σ/dx²
    const g2 = multiplyAdd(v, s2, f32x4.add(s1, s1));
    store4(y + at, f32x4.mul(v, s), n - i);
    store4(yDot + at, f32x4.mul(g1, d), n - i);
    store4(x + at, g1, n - i);
    store4(xDot + at, f32x4.mul(g2, d), n - i);
  }
}

/** dy ← g1·dy with g1 = g'(x) as {@link geluForward} left it. */
export function geluBackward(n: i32, g1: usize, dy: usize): void {
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2;
    store4(dy + at, f32x4.mul(load4(g1 + at, n - i), load4(dy + at, n - i)), n - i);
  }
}

/** (dy, dẏ) ← (g1·dy, g1·dẏ + g1Dot·dy) with g1 = g'(x) and its tangent as {@link geluTangent} left them. */
export function geluTangentBackward(n: i32, g1: usize, g1Dot: usize, dy: usize, dyDot: usize): void {
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2;
    const g = load4(g1 + at, n - i), d = load4(dy + at, n - i);
    store4(dyDot + at, multiplyAdd(g, load4(dyDot + at, n - i), f32x4.mul(load4(g1Dot + at, n - i), d)), n - i);
    store4(dy + at, f32x4.mul(g, d), n - i);
  }
}
