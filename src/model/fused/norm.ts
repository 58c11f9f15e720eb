/**
 * Layer norm: x̂ = (x − mean)·r with r = 1/√(var + ε), y = γ·x̂ + β, over the last axis; or RMSNorm, whose mean counts as 0 and which has
 * no β.
 */
import type { Arena, Kernels, Pointer } from '../../tensor/kernels/kernels';
import type { Layers } from '../families/layers';
import type { Dual } from './dual';
import type { Affine } from './layout';

/** What the backward pass needs, and the output y. */
export interface NormActivations {
  /** [rows, width] */
  readonly xHat: Pointer;
  /** [rows] */
  readonly r: Pointer;
  /** [rows, width] */
  readonly y: Pointer;
}

export const normActivations = (a: Arena, rows: number, width: number): NormActivations => ({
  xHat: a.floats(rows * width),
  r: a.floats(rows),
  y: a.floats(rows * width),
});

/** Sizes of one application. */
export interface NormSizes {
  readonly k: Kernels;
  readonly rows: number;
  readonly width: number;
  readonly norm: Layers['norm'];
}

/** Fills `a` from x; y may be x. */
export function normForward({ k, rows, width, norm }: NormSizes, p: Affine, x: Pointer, a: NormActivations): void {
  k.layerNormForward(rows, width, norm.epsilon, norm.centre, x, p.weight, p.bias, a.xHat, a.r, a.y);
}

/** dx += ∂/∂x; adds to `gradient`. */
export function normBackward(
  { k, rows, width, norm }: NormSizes,
  p: Affine,
  gradient: Affine,
  a: NormActivations,
  dy: Pointer,
  dx: Pointer,
): void {
  k.layerNormBackward(rows, width, norm.centre, dy, a.xHat, a.r, p.weight, dx, gradient.weight, gradient.bias);
}

/** Fills `a` and its tangent from (x, ẋ). */
export function normTangent(s: NormSizes, p: Dual<Affine>, x: Dual<Pointer>, { value: a, dot }: Dual<NormActivations>): void {
  const { k, rows, width, norm } = s;
  normForward(s, p.value, x.value, a);
  const gains = [p.value.weight, p.dot.weight, p.dot.bias] as const;
  k.layerNormTangent(rows, width, norm.centre, x.dot, a.xHat, a.r, ...gains, dot.xHat, dot.r, dot.y);
}

/** dx += …, dẋ += … from (dy, dẏ); adds to the tangent gradient. */
export function normTangentBackward(
  { k, rows, width, norm }: NormSizes,
  p: Dual<Affine>,
  gradientDot: Affine,
  { value: a, dot }: Dual<NormActivations>,
  dy: Dual<Pointer>,
  dx: Dual<Pointer>,
): void {
  const activations = [a.xHat, dot.xHat, a.r, dot.r, p.value.weight, p.dot.weight] as const;
  const results = [dx.value, dx.dot, gradientDot.weight, gradientDot.bias] as const;
  k.layerNormTangentBackward(rows, width, norm.centre, dy.value, dy.dot, ...activations, ...results);
}
