/**
 * Linear layer: y = x·W + b. It may consist of parts whose outputs stand side by side in the rows of y (queries, keys and values; gate and
 * up), each with a weight and a bias of its own. W is [inputs, outputs] (GPT-2's "Conv1D"), or `transposed` PyTorch's [outputs, inputs].
 */
import type { Kernels, Pointer } from '../../tensor/kernels/kernels';
import { both, type Dual } from './dual';
import type { Linear } from './layout';

/** Sizes of one application. */
export interface LinearSizes {
  readonly k: Kernels;
  readonly rows: number;
  readonly inputs: number;
  /** Columns of every part. */
  readonly outputs: readonly number[];
  readonly transposed: boolean;
}

/** One part: its products, each with the operands' strides. */
interface Part {
  /** y [rows, outputs] (+)= x·W + bias */
  multiply(w: Pointer, bias: Pointer, x: Pointer, y: Pointer, add: boolean): void;
  /** dx [rows, inputs] (+)= dy·Wᵀ */
  multiplyTransposed(w: Pointer, dy: Pointer, dx: Pointer, add: boolean): void;
  /** dW += xᵀ·dy */
  addOuter(x: Pointer, dy: Pointer, dw: Pointer): void;
  /** db += Σ dy */
  addColumns(dy: Pointer, db: Pointer): void;
}

const sum = (sizes: readonly number[]): number => sizes.reduce((a, b) => a + b, 0);

function partsOf({ k, rows, inputs, outputs: all, transposed }: LinearSizes): Part[] {
  const row = sum(all); // floats from one row of y to the next
  return all.map((outputs, i) => {
    const here = (y: Pointer): Pointer => y + 4 * sum(all.slice(0, i));
    const [wRow, wColumn] = transposed ? [1, inputs] : [outputs, 1]; // of W as [inputs, outputs]
    return {
      multiply: (w, bias, x, y, add) => k.gemm(rows, outputs, inputs, x, inputs, 1, w, wRow, wColumn, here(y), row, bias, add),
      multiplyTransposed: (w, dy, dx, add) =>
        k.gemm(rows, inputs, outputs, here(dy), row, 1, w, wColumn, wRow, dx, inputs, 0, add),
      addOuter: (x, dy, dw) =>
        transposed
          ? k.gemm(outputs, inputs, rows, here(dy), 1, row, x, inputs, 1, dw, inputs, 0, true)
          : k.gemm(inputs, outputs, rows, x, 1, inputs, here(dy), row, 1, dw, outputs, 0, true),
      addColumns: (dy, db) => k.columnSum(rows, outputs, row, here(dy), db),
    };
  });
}

/** y = x·W + b, added to y when `residual`. */
export function linearForward(s: LinearSizes, p: Linear, x: Pointer, y: Pointer, residual = false): void {
  partsOf(s).forEach((part, i) => part.multiply(p[i].weight, p[i].bias, x, y, residual));
}

/** dx = dy·Wᵀ; adds xᵀ·dy and Σ dy to `gradient` unless it is null. */
export function linearBackward(s: LinearSizes, p: Linear, gradient: Linear | null, x: Pointer, dy: Pointer, dx: Pointer): void {
  partsOf(s).forEach((part, i) => {
    part.multiplyTransposed(p[i].weight, dy, dx, i > 0);
    if (!gradient) return;
    part.addOuter(x, dy, gradient[i].weight);
    if (gradient[i].bias) part.addColumns(dy, gradient[i].bias);
  });
}

/** (y, ẏ) = (x·W + b, ẋ·W + x·Ẇ + ḃ), added to (y, ẏ) when `residual`. */
export function linearTangent(s: LinearSizes, p: Dual<Linear>, x: Dual<Pointer>, y: Dual<Pointer>, residual = false): void {
  linearForward(s, p.value, x.value, y.value, residual);
  partsOf(s).forEach((part, i) => {
    const { value: own, dot } = both(p, (linear) => linear[i]);
    part.multiply(own.weight, dot.bias, x.dot, y.dot, residual);
    part.multiply(dot.weight, 0, x.value, y.dot, true);
  });
}

/** (dx, dẋ) = (dy·Wᵀ, dẏ·Wᵀ + dy·Ẇᵀ); adds ẋᵀ·dy + xᵀ·dẏ and Σ dẏ to the tangent gradient. */
export function linearTangentBackward(
  s: LinearSizes,
  p: Dual<Linear>,
  gradientDot: Linear,
  x: Dual<Pointer>,
  dy: Dual<Pointer>,
  dx: Dual<Pointer>,
): void {
  linearBackward(s, p.value, null, x.value, dy.value, dx.value);
  linearBackward(s, p.value, gradientDot, x.value, dy.dot, dx.dot);
  partsOf(s).forEach((part, i) => {
    part.multiplyTransposed(p.dot[i].weight, dy.value, dx.dot, true);
    part.addOuter(x.dot, dy.value, gradientDot[i].weight);
  });
}
