/** The last layer norm, on the rows that count; `loss` goes from the normalized rows y to their cotangents. */
import type { Arena, Pointer } from '../../tensor/kernels/kernels';
import {
  layerNormActivations,
  layerNormBackward,
  layerNormForward,
  layerNormTangent,
  layerNormTangentBackward,
  type LayerNormActivations,
} from './layerNorm';
import type { Affine } from './layout';
import type { Microbatch } from './microbatch';

export interface HeadActivations {
  readonly norm: LayerNormActivations;
  /** Cotangent of y, [rows, width]. */
  readonly dy: Pointer;
}

export const headActivations = (a: Arena, rows: number, width: number): HeadActivations => ({
  norm: layerNormActivations(a, rows, width),
  dy: a.floats(rows * width),
});

export function headForward(m: Microbatch, p: Affine, a: HeadActivations, h: Pointer, loss: (y: Pointer) => void): void {
  layerNormForward(m, p, h, a.norm);
  loss(a.norm.y);
}

/** dh ← the cotangent of h; adds to the gradient `g`. */
export function headBackward(
  m: Microbatch,
  p: Affine,
  g: Affine,
  a: HeadActivations,
  h: Pointer,
  dh: Pointer,
  loss: (y: Pointer, dy: Pointer) => void,
): void {
  headForward(m, p, a, h, (y) => loss(y, a.dy));
  m.k.zero(m.rows * m.width, dh);
  layerNormBackward(m, p, g, a.norm, a.dy, dh);
}

export function headTangent(
  m: Microbatch,
  p: Affine,
  pDot: Affine,
  a: HeadActivations,
  aDot: HeadActivations,
  h: Pointer,
  hDot: Pointer,
  loss: (y: Pointer, yDot: Pointer) => void,
): void {
  layerNormTangent(m, p, pDot, h, hDot, a.norm, aDot.norm);
  loss(a.norm.y, aDot.norm.y);
}

export function headTangentBackward(
  m: Microbatch,
  p: Affine,
  pDot: Affine,
  gDot: Affine,
  a: HeadActivations,
  aDot: HeadActivations,
  h: Pointer,
  hDot: Pointer,
  dh: Pointer,
  dhDot: Pointer,
  loss: (y: Pointer, yDot: Pointer, dy: Pointer, dyDot: Pointer) => void,
): void {
  headTangent(m, p, pDot, a, aDot, h, hDot, (y, yDot) => loss(y, yDot, a.dy, aDot.dy));
  m.k.zero(m.rows * m.width, dh);
  m.k.zero(m.rows * m.width, dhDot);
  layerNormTangentBackward(m, p, pDot, gDot, a.norm, aDot.norm, a.dy, aDot.dy, dh, dhDot);
}
