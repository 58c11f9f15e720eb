// Layer norm over rows of `width`: x̂ = (x − mean)·r, r = 1/√(var + ε), y = γ·x̂ + β. Without `centre` it is the root-mean-square norm: the
// mean counts as 0. Without β its pointers are 0. A dot on a name means tangent.
import { add4, load4, multiplyAdd, store4, sum4, within } from './simd';

/** Writes x̂ [rows, width], r [rows] and y [rows, width]. */
export function layerNormForward(
  rows: i32,
  width: i32,
  eps: f32,
  centre: bool,
  x: usize,
  gamma: usize,
  beta: usize,
  xHat: usize,
  r: usize,
  y: usize,
): void {
  const bytes = (<usize>width) << 2;
  const zero = f32x4.splat(0);
  for (let n = 0; n < rows; n++, x += bytes, xHat += bytes, y += bytes, r += 4) {
    let sum = zero;
    for (let j = 0; j < width; j += 4) sum = f32x4.add(sum, load4(x + ((<usize>j) << 2), width - j));
    const mean = f32x4.splat(centre ? sum4(sum) / <f32>width : 0);
    sum = zero;
    for (let j = 0; j < width; j += 4) {
      const d = within(f32x4.sub(load4(x + ((<usize>j) << 2), width - j), mean), zero, width - j);
      sum = multiplyAdd(d, d, sum);
    }
    const scale: f32 = 1 / sqrt<f32>(sum4(sum) / <f32>width + eps);
    store<f32>(r, scale);
    for (let j = 0; j < width; j += 4) {
      const at = (<usize>j) << 2,
        left = width - j;
      const h = f32x4.mul(f32x4.sub(load4(x + at, left), mean), f32x4.splat(scale));
      store4(xHat + at, h, left);
      store4(y + at, multiplyAdd(h, load4(gamma + at, left), beta ? load4(beta + at, left) : zero), left);
    }
  }
}

/** After {@link layerNormForward}: the tangents of x̂, r and y from ẋ, γ̇, β̇. */
export function layerNormTangent(
  rows: i32,
  width: i32,
  centre: bool,
  xDot: usize,
  xHat: usize,
  r: usize,
  gamma: usize,
  gammaDot: usize,
  betaDot: usize,
  xHatDot: usize,
  rDot: usize,
  yDot: usize,
): void {
  const bytes = (<usize>width) << 2;
  const zero = f32x4.splat(0);
  for (let n = 0; n < rows; n++, xDot += bytes, xHat += bytes, xHatDot += bytes, yDot += bytes, r += 4, rDot += 4) {
    let s1 = zero,
      s2 = zero;
    for (let j = 0; j < width; j += 4) {
      const at = (<usize>j) << 2,
        v = load4(xDot + at, width - j);
      s1 = f32x4.add(s1, v);
      s2 = multiplyAdd(v, load4(xHat + at, width - j), s2);
    }
    const scale = load<f32>(r);
    const along: f32 = sum4(s2) / <f32>width;
    const mean = f32x4.splat(centre ? sum4(s1) / <f32>width : 0),
      m2 = f32x4.splat(along);
    store<f32>(rDot, -scale * scale * along);
    for (let j = 0; j < width; j += 4) {
      const at = (<usize>j) << 2,
        left = width - j,
        h = load4(xHat + at, left);
      const centred = f32x4.sub(f32x4.sub(load4(xDot + at, left), mean), f32x4.mul(h, m2));
      const hDot = f32x4.mul(f32x4.splat(scale), centred);
      store4(xHatDot + at, hDot, left);
      const y = multiplyAdd(h, load4(gammaDot + at, left), betaDot ? load4(betaDot + at, left) : zero);
      store4(yDot + at, multiplyAdd(hDot, load4(gamma + at, left), y), left);
    }
  }
}

/** dx += ∂/∂x, dγ += Σ dy·x̂ and dβ += Σ dy, each unless its pointer is 0. */
export function layerNormBackward(
  rows: i32,
  width: i32,
  centre: bool,
  dy: usize,
  xHat: usize,
  r: usize,
  gamma: usize,
  dx: usize,
  dGamma: usize,
  dBeta: usize,
): void {
  const bytes = (<usize>width) << 2;
  for (let n = 0; n < rows; n++, dy += bytes, xHat += bytes, dx += bytes, r += 4) {
    let s1 = f32x4.splat(0),
      s2 = s1;
    for (let j = 0; j < width; j += 4) {
      const at = (<usize>j) << 2,
        left = width - j;
      const d = load4(dy + at, left),
        h = load4(xHat + at, left),
        c = f32x4.mul(d, load4(gamma + at, left));
      s1 = f32x4.add(s1, c);
      s2 = multiplyAdd(c, h, s2);
      if (dGamma) add4(dGamma + at, f32x4.mul(d, h), left);
      if (dBeta) add4(dBeta + at, d, left);
    }
    const m1 = f32x4.splat(centre ? sum4(s1) / <f32>width : 0),
      m2 = f32x4.splat(sum4(s2) / <f32>width),
      scale = f32x4.splat(load<f32>(r));
    for (let j = 0; j < width; j += 4) {
      const at = (<usize>j) << 2,
        left = width - j;
      const c = f32x4.mul(load4(dy + at, left), load4(gamma + at, left));
      const centred = f32x4.sub(f32x4.sub(c, m1), f32x4.mul(load4(xHat + at, left), m2));
      add4(dx + at, f32x4.mul(scale, centred), left);
    }
  }
}

/**
 * {@link layerNormBackward} on dual numbers: dx += …, dẋ += …, dγ̇ += Σ (dẏ·x̂ + dy·x̂̇), dβ̇ += Σ dẏ (the parameters' own dγ,
 * dβ are not needed).
 */
export function layerNormTangentBackward(
  rows: i32,
  width: i32,
  centre: bool,
  dy: usize,
  dyDot: usize,
  xHat: usize,
  xHatDot: usize,
  r: usize,
  rDot: usize,
  gamma: usize,
  gammaDot: usize,
  dx: usize,
  dxDot: usize,
  dGammaDot: usize,
  dBetaDot: usize,
): void {
  const bytes = (<usize>width) << 2;
  for (let n = 0; n < rows; n++) {
    let s1 = f32x4.splat(0),
      s2 = s1,
      t1 = s1,
      t2 = s1;
    for (let j = 0; j < width; j += 4) {
      const at = (<usize>j) << 2,
        left = width - j;
      const d = load4(dy + at, left),
        dDot = load4(dyDot + at, left);
      const h = load4(xHat + at, left),
        hDot = load4(xHatDot + at, left);
      const g = load4(gamma + at, left);
      const c = f32x4.mul(d, g),
        cDot = multiplyAdd(dDot, g, f32x4.mul(d, load4(gammaDot + at, left)));
      s1 = f32x4.add(s1, c);
      s2 = multiplyAdd(c, h, s2);
      t1 = f32x4.add(t1, cDot);
      t2 = multiplyAdd(cDot, h, multiplyAdd(c, hDot, t2));
      add4(dGammaDot + at, multiplyAdd(dDot, h, f32x4.mul(d, hDot)), left);
      if (dBetaDot) add4(dBetaDot + at, dDot, left);
    }
    const m1 = f32x4.splat(centre ? sum4(s1) / <f32>width : 0),
      m2 = f32x4.splat(sum4(s2) / <f32>width);
    const n1 = f32x4.splat(centre ? sum4(t1) / <f32>width : 0),
      n2 = f32x4.splat(sum4(t2) / <f32>width);
    const scale = f32x4.splat(load<f32>(r)),
      scaleDot = f32x4.splat(load<f32>(rDot));
    for (let j = 0; j < width; j += 4) {
      const at = (<usize>j) << 2,
        left = width - j;
      const d = load4(dy + at, left),
        h = load4(xHat + at, left),
        g = load4(gamma + at, left);
      const c = f32x4.mul(d, g),
        cDot = multiplyAdd(load4(dyDot + at, left), g, f32x4.mul(d, load4(gammaDot + at, left)));
      const centred = f32x4.sub(f32x4.sub(c, m1), f32x4.mul(h, m2));
      const hDot = load4(xHatDot + at, left);
      const centredDot = f32x4.sub(f32x4.sub(f32x4.sub(cDot, n1), f32x4.mul(hDot, m2)), f32x4.mul(h, n2));
      add4(dx + at, f32x4.mul(scale, centred), left);
      add4(dxDot + at, multiplyAdd(scaleDot, centred, f32x4.mul(scale, centredDot)), left);
    }
    dy += bytes;
    dyDot += bytes;
    xHat += bytes;
    xHatDot += bytes;
    dx += bytes;
    dxDot += bytes;
    r += 4;
    rDot += 4;
  }
}
