/** Layer norm: x̂ = (x − mean)·r with r = 1/√(var + ε), y = γ·x̂ + β, over the last axis. */
import type { Arena, Pointer } from '../../tensor/kernels/kernels';
import type { Affine } from './layout';
import type { Microbatch } from './microbatch';

/** What the backward pass needs, and the output y. */
export interface LayerNormActivations {
  /** [rows, width] */
  readonly xHat: Pointer;
  /** [rows] */
  readonly r: Pointer;
  /** [rows, width] */
  readonly y: Pointer;
}

export const layerNormActivations = (a: Arena, rows: number, width: number): LayerNormActivations => ({
  xHat: a.floats(rows * width),
  r: a.floats(rows),
  y: a.floats(rows * width),
});

type Sizes = Pick<Microbatch, 'k' | 'rows' | 'width' | 'epsilon'>;

/** Fills `a` from x. */
export function layerNormForward({ k, rows, width, epsilon }: Sizes, p: Affine, x: Pointer, a: LayerNormActivations): void {
  k.layerNormForward(rows, width, epsilon, x, p.weight, p.bias, a.xHat, a.r, a.y);
}

/** dx += ∂/∂x; adds to `gradient` unless it is null. */
export function layerNormBackward(
  { k, rows, width }: Sizes,
  p: Affine,
  gradient: Affine | null,
  a: LayerNormActivations,
  dy: Pointer,
  dx: Pointer,
): void {
  k.layerNormBackward(rows, width, dy, a.xHat, a.r, p.weight, dx, gradient?.weight ?? 0, gradient?.bias ?? 0);
}

/** Fills `a` and its tangent `aDot` from (x, ẋ). */
export function layerNormTangent(
  m: Sizes,
  p: Affine,
  pDot: Affine,
  x: Pointer,
  xDot: Pointer,
  a: LayerNormActivations,
  aDot: LayerNormActivations,
): void {
  layerNormForward(m, p, x, a);
  m.k.layerNormTangent(m.rows, m.width, xDot, a.xHat, a.r, p.weight, pDot.weight, pDot.bias, aDot.xHat, aDot.r, aDot.y);
}

/** dx += …, dẋ += … from (dy, dẏ); adds to the tangent gradient. */
export function layerNormTangentBackward(
  { k, rows, width }: Sizes,
  p: Affine,
  pDot: Affine,
  gradientDot: Affine,
  a: LayerNormActivations,
  aDot: LayerNormActivations,
  dy: Pointer,
  dyDot: Pointer,
  dx: Pointer,
  dxDot: Pointer,
): void {
  const activations = [a.xHat, aDot.xHat, a.r, aDot.r] as const;
  k.layerNormTangentBackward(
    rows,
    width,
    dy,
    dyDot,
    ...activations,
    p.weight,
    pDot.weight,
    dx,
    dxDot,
    gradientDot.weight,
    gradientDot.bias,
  );
}
