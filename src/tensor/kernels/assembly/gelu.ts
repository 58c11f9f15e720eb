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

export function geluForward(n: i32, x: usize, y: usize): void {
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2;
    const v = load4(x + at, n - i);
    store4(y + at, f32x4.mul(v, gate(v)), n - i);
  }
}

/** (y, ẏ) from (x, ẋ). */
export function geluTangent(n: i32, x: usize, xDot: usize, y: usize, yDot: usize): void {
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2;
    const v = load4(x + at, n - i);
    const s = gate(v);
    store4(y + at, f32x4.mul(v, s), n - i);
    store4(yDot + at, f32x4.mul(derivative(v, s), load4(xDot + at, n - i)), n - i);
  }
}

/** dy ← g'(x)·dy */
export function geluBackward(n: i32, x: usize, dy: usize): void {
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2;
    const v = load4(x + at, n - i);
    store4(dy + at, f32x4.mul(derivative(v, gate(v)), load4(dy + at, n - i)), n - i);
  }
}

/** (dy, dẏ) ← (g'·dy, g'·dẏ + g''·ẋ·dy) */
export function geluTangentBackward(n: i32, x: usize, xDot: usize, dy: usize, dyDot: usize): void {
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2;
    const v = load4(x + at, n - i);
    const s = gate(v);
    const z1 = slope(v);
    const ss = f32x4.mul(s, f32x4.sub(f32x4.splat(1), s));
    const s1 = f32x4.mul(ss, z1); // dσ/dx
    const g1 = multiplyAdd(v, s1, s);
    const curvature = f32x4.mul(ss, f32x4.mul(f32x4.splat(6 * Z3), v)); // σ'·z''
    const s2 = multiplyAdd(f32x4.mul(s1, f32x4.sub(f32x4.splat(1), f32x4.add(s, s))), z1, curvature); // d²σ/dx²
    const g2 = multiplyAdd(v, s2, f32x4.add(s1, s1));
    const d = load4(dy + at, n - i);
    store4(dy + at, f32x4.mul(g1, d), n - i);
    const change = f32x4.mul(f32x4.mul(g2, load4(xDot + at, n - i)), d);
    store4(dyDot + at, multiplyAdd(g1, load4(dyDot + at, n - i), change), n - i);
  }
}
