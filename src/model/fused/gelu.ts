/**
 * tanh-GELU on n numbers, computed as x·σ(2√(2/π)·(x + 0.044715 x³)). Forwards x is replaced by the derivative there, so that no exponential
 * is needed on the way back, which works in place.
 */
import type { Kernels, Pointer } from '../../tensor/kernels/kernels';

/** y = g(x); x ← g'(x) */
export const geluForward = (k: Kernels, n: number, x: Pointer, y: Pointer): void => k.geluForward(n, x, y);

/** dy ← g'(x)·dy */
export const geluBackward = (k: Kernels, n: number, derivative: Pointer, dy: Pointer): void => k.geluBackward(n, derivative, dy);

/** (y, ẏ) = (g(x), g'(x)·ẋ); (x, ẋ) ← (g'(x), g''(x)·ẋ) */
export const geluTangent = (k: Kernels, n: number, x: Pointer, xDot: Pointer, y: Pointer, yDot: Pointer): void =>
  k.geluTangent(n, x, xDot, y, yDot);

/** (dy, dẏ) ← (g'·dy, g'·dẏ + g''·ẋ·dy) */
export const geluTangentBackward = (
  k: Kernels,
  n: number,
  derivative: Pointer,
  derivativeDot: Pointer,
  dy: Pointer,
  dyDot: Pointer,
): void => k.geluTangentBackward(n, derivative, derivativeDot, dy, dyDot);
