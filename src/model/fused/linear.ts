/** Linear layer: y = x·W + b with W [inputs, outputs] (GPT-2's "Conv1D"). */
import type { Kernels, Pointer } from '../../tensor/kernels/kernels';
import type { Affine } from './layout';

/** Sizes of one application. */
export interface LinearSizes {
  readonly k: Kernels;
  readonly rows: number;
  readonly inputs: number;
  readonly outputs: number;
}

/** y [rows, outputs] (+)= x·W */
const multiply = ({ k, rows, inputs, outputs }: LinearSizes, w: Pointer, bias: Pointer, x: Pointer, y: Pointer, add: boolean) =>
  k.gemm(rows, outputs, inputs, x, inputs, 1, w, outputs, 1, y, outputs, bias, add);

/** dx [rows, inputs] (+)= dy·Wᵀ */
const multiplyTransposed = ({ k, rows, inputs, outputs }: LinearSizes, w: Pointer, dy: Pointer, dx: Pointer, add: boolean) =>
  k.gemm(rows, inputs, outputs, dy, outputs, 1, w, 1, outputs, dx, inputs, 0, add);

/** dW += xᵀ·dy */
const addOuter = ({ k, rows, inputs, outputs }: LinearSizes, x: Pointer, dy: Pointer, dw: Pointer) =>
  k.gemm(inputs, outputs, rows, x, 1, inputs, dy, outputs, 1, dw, outputs, 0, true);

/** y = x·W + b, added to y when `residual`. */
export function linearForward(s: LinearSizes, p: Affine, x: Pointer, y: Pointer, residual = false): void {
  multiply(s, p.weight, p.bias, x, y, residual);
}

/** dx = dy·Wᵀ; adds xᵀ·dy and Σ dy to `gradient` unless it is null. */
export function linearBackward(s: LinearSizes, p: Affine, gradient: Affine | null, x: Pointer, dy: Pointer, dx: Pointer): void {
  multiplyTransposed(s, p.weight, dy, dx, false);
  if (!gradient) return;
  addOuter(s, x, dy, gradient.weight);
  s.k.columnSum(s.rows, s.outputs, dy, gradient.bias);
}

/** (y, ẏ) = (x·W + b, ẋ·W + x·Ẇ + ḃ), added to (y, ẏ) when `residual`. */
export function linearTangent(
  s: LinearSizes,
  p: Affine,
  pDot: Affine,
  x: Pointer,
  xDot: Pointer,
  y: Pointer,
  yDot: Pointer,
  residual = false,
): void {
  linearForward(s, p, x, y, residual);
  multiply(s, p.weight, pDot.bias, xDot, yDot, residual);
  multiply(s, pDot.weight, 0, x, yDot, true);
}

/** (dx, dẋ) = (dy·Wᵀ, dẏ·Wᵀ + dy·Ẇᵀ); adds ẋᵀ·dy + xᵀ·dẏ and Σ dẏ to the tangent gradient. */
export function linearTangentBackward(
  s: LinearSizes,
  p: Affine,
  pDot: Affine,
  gradientDot: Affine,
  x: Pointer,
  xDot: Pointer,
  dy: Pointer,
  dyDot: Pointer,
  dx: Pointer,
  dxDot: Pointer,
): void {
  linearBackward(s, p, null, x, dy, dx);
  linearBackward(s, p, gradientDot, x, dyDot, dxDot);
  multiplyTransposed(s, pDot.weight, dy, dxDot, true);
  addOuter(s, xDot, dy, gradientDot.weight);
}
