// SwiGLU (arXiv 2002.05202) on rows of [g, u], each `inner` wide: y = g·σ(g)·u, with first and second derivatives. A dot on a name means
// tangent.
import { exp4, load4, multiplyAdd, store4 } from './simd';

/** σ(g) */
@inline
function sigmoid(g: v128): v128 {
  return f32x4.div(f32x4.splat(1), f32x4.add(f32x4.splat(1), exp4(f32x4.neg(g))));
}

/** y [rows, inner] from x [rows, 2·inner] = (g, u), which is replaced by ∂y/∂(g, u): what the way back needs. */
export function swigluForward(rows: i32, inner: i32, x: usize, y: usize): void {
  const bytes = <usize>inner << 2, one = f32x4.splat(1);
  for (let n = 0; n < rows; n++, x += 2 * bytes, y += bytes) {
    for (let j = 0; j < inner; j += 4) {
      const at = <usize>j << 2, left = inner - j;
      const g = load4(x + at, left), u = load4(x + bytes + at, left);
      const s = sigmoid(g), a = f32x4.mul(g, s);
      const a1 = multiplyAdd(a, f32x4.sub(one, s), s); // d(g·σ)/dg = σ + g·σ(1 − σ)
      store4(y + at, f32x4.mul(a, u), left);
      store4(x + at, f32x4.mul(a1, u), left);
      store4(x + bytes + at, a, left);
    }
  }
}

/** The same on dual numbers: (y, ẏ); (x, ẋ) ← ∂y/∂x and its tangent. */
export function swigluTangent(rows: i32, inner: i32, x: usize, xDot: usize, y: usize, yDot: usize): void {
  const bytes = <usize>inner << 2, one = f32x4.splat(1);
  for (let n = 0; n < rows; n++, x += 2 * bytes, xDot += 2 * bytes, y += bytes, yDot += bytes) {
    for (let j = 0; j < inner; j += 4) {
      const at = <usize>j << 2, left = inner - j;
      const g = load4(x + at, left), u = load4(x + bytes + at, left);
      const gDot = load4(xDot + at, left), uDot = load4(xDot + bytes + at, left);
      const s = sigmoid(g), a = f32x4.mul(g, s), rest = f32x4.sub(one, s);
      const a1 = multiplyAdd(a, rest, s), s1 = f32x4.mul(s, rest);
      const a2 = multiplyAdd(f32x4.mul(g, s1), f32x4.sub(one, f32x4.add(s, s)), f32x4.add(s1, s1)); // 2σ' + g·σ'(1 − 2σ)
      const aDot = f32x4.mul(a1, gDot);
      store4(y + at, f32x4.mul(a, u), left);
      store4(yDot + at, multiplyAdd(aDot, u, f32x4.mul(a, uDot)), left);
      store4(x + at, f32x4.mul(a1, u), left);
      store4(x + bytes + at, a, left);
      store4(xDot + at, multiplyAdd(f32x4.mul(a2, gDot), u, f32x4.mul(a1, uDot)), left);
      store4(xDot + bytes + at, aDot, left);
    }
  }
}

/** dx [rows, 2·inner] = x1·dy with x1 = ∂y/∂x as {@link swigluForward} left it. */
export function swigluBackward(rows: i32, inner: i32, x1: usize, dy: usize, dx: usize): void {
  const bytes = <usize>inner << 2;
  for (let n = 0; n < rows; n++, x1 += 2 * bytes, dx += 2 * bytes, dy += bytes) {
    for (let j = 0; j < inner; j += 4) {
      const at = <usize>j << 2, left = inner - j, d = load4(dy + at, left);
      store4(dx + at, f32x4.mul(load4(x1 + at, left), d), left);
      store4(dx + bytes + at, f32x4.mul(load4(x1 + bytes + at, left), d), left);
    }
  }
}

/** (dx, dẋ) = (x1·dy, x1·dẏ + x1Dot·dy) with x1 = ∂y/∂x and its tangent as {@link swigluTangent} left them. */
export function swigluTangentBackward(
  rows: i32, inner: i32, x1: usize, x1Dot: usize, dy: usize, dyDot: usize, dx: usize, dxDot: usize,
): void {
  const bytes = <usize>inner << 2;
  for (let n = 0; n < rows; n++) {
    for (let j = 0; j < 2 * inner; j += inner) {
      for (let i = 0; i < inner; i += 4) {
        const at = <usize>(j + i) << 2, left = inner - i, from = <usize>i << 2;
        const d = load4(dy + from, left), g = load4(x1 + at, left);
        store4(dx + at, f32x4.mul(g, d), left);
        store4(dxDot + at, multiplyAdd(g, load4(dyDot + from, left), f32x4.mul(load4(x1Dot + at, left), d)), left);
      }
    }
    x1 += 2 * bytes;
    x1Dot += 2 * bytes;
    dx += 2 * bytes;
    dxDot += 2 * bytes;
    dy += bytes;
    dyDot += bytes;
  }
}
