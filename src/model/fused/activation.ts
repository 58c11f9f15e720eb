/**
 * What stands between the two linear layers of the feed-forward layer: tanh-GELU, computed as x·σ(2√(2/π)·(x + 0.044715 x³)), or SwiGLU,
 * g·σ(g)·u of rows (g, u). Forwards x is replaced by the derivative there, so that no exponential is needed on the way back.
 */
import type { Kernels, Pointer } from '../../tensor/kernels/kernels';
import type { Dual } from './dual';

/** Rows of x and of y, which is `inner` wide. */
export interface ActivationSizes {
  readonly k: Kernels;
  readonly rows: number;
  readonly inner: number;
}

export interface Activation {
  /** How many times as wide as y x is. */
  readonly inputs: number;
  /** y = f(x); x ← f'(x) */
  forward(s: ActivationSizes, x: Pointer, y: Pointer): void;
  /** dx = f'(x)·dy; where x is as wide as y, dx is dy itself. */
  backward(s: ActivationSizes, derivative: Pointer, dy: Pointer, dx: Pointer): void;
  /** (y, ẏ) = (f(x), f'(x)·ẋ); (x, ẋ) ← (f'(x), its tangent) */
  tangent(s: ActivationSizes, x: Dual<Pointer>, y: Dual<Pointer>): void;
  /** (dx, dẋ) = (f'·dy, f'·dẏ + its tangent·dy) */
  tangentBackward(s: ActivationSizes, derivative: Dual<Pointer>, dy: Dual<Pointer>, dx: Dual<Pointer>): void;
}

const gelu: Activation = {
  inputs: 1,
  forward: ({ k, rows, inner }, x, y) => k.geluForward(rows * inner, x, y),
  backward: ({ k, rows, inner }, derivative, dy) => k.geluBackward(rows * inner, derivative, dy),
  tangent: ({ k, rows, inner }, x, y) => k.geluTangent(rows * inner, x.value, x.dot, y.value, y.dot),
  tangentBackward: ({ k, rows, inner }, derivative, dy) =>
    k.geluTangentBackward(rows * inner, derivative.value, derivative.dot, dy.value, dy.dot),
};

const swiglu: Activation = {
  inputs: 2,
  forward: ({ k, rows, inner }, x, y) => k.swigluForward(rows, inner, x, y),
  backward: ({ k, rows, inner }, derivative, dy, dx) => k.swigluBackward(rows, inner, derivative, dy, dx),
  tangent: ({ k, rows, inner }, x, y) => k.swigluTangent(rows, inner, x.value, x.dot, y.value, y.dot),
  tangentBackward: ({ k, rows, inner }, derivative, dy, dx) =>
    k.swigluTangentBackward(rows, inner, derivative.value, derivative.dot, dy.value, dy.dot, dx.value, dx.dot),
};

export const ACTIVATIONS = { gelu, swiglu };
