/**
 * The last layer norm on the rows that count: rows with mask 0 (padding, prompts) have no loss, so neither logits nor gradients
 * are
 * computed for them. `loss` goes from the normalized rows to their cotangents.
 */
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

/** The chosen rows of the residual stream and what becomes of them. */
export interface HeadActivations {
  readonly h: Pointer;
  readonly norm: LayerNormActivations;
  readonly dh: Pointer;
  readonly dy: Pointer;
}

export const headActivations = (a: Arena, rows: number, width: number): HeadActivations => ({
  h: a.floats(rows * width),
  norm: layerNormActivations(a, rows, width),
  dh: a.floats(rows * width),
  dy: a.floats(rows * width),
});

/** The rows that count: `index` int32 [rows] into the microbatch. */
export interface ChosenRows {
  readonly rows: number;
  readonly index: Pointer;
}

const gather = ({ k, width }: Microbatch, c: ChosenRows, from: Pointer, to: Pointer) =>
  k.gatherRows(c.rows, width, c.index, from, to);

/** dh [all rows] = the chosen rows' cotangents, 0 elsewhere. */
function scatter({ k, rows, width }: Microbatch, c: ChosenRows, from: Pointer, dh: Pointer): void {
  k.zero(rows * width, dh);
  k.scatterRows(c.rows, width, c.index, from, dh);
}

export function headForward(
  m: Microbatch,
  c: ChosenRows,
  p: Affine,
  a: HeadActivations,
  h: Pointer,
  loss: (y: Pointer) => void,
): void {
  gather(m, c, h, a.h);
  layerNormForward({ ...m, rows: c.rows }, p, a.h, a.norm);
  loss(a.norm.y);
}

export function headBackward(
  m: Microbatch,
  c: ChosenRows,
  p: Affine,
  g: Affine,
  a: HeadActivations,
  h: Pointer,
  dh: Pointer,
  loss: (y: Pointer, dy: Pointer) => void,
): void {
  headForward(m, c, p, a, h, (y) => loss(y, a.dy));
  m.k.zero(c.rows * m.width, a.dh);
  layerNormBackward({ ...m, rows: c.rows }, p, g, a.norm, a.dy, a.dh);
  scatter(m, c, a.dh, dh);
}

export function headTangent(
  m: Microbatch,
  c: ChosenRows,
  p: Affine,
  pDot: Affine,
  a: HeadActivations,
  aDot: HeadActivations,
  h: Pointer,
  hDot: Pointer,
  loss: (y: Pointer, yDot: Pointer) => void,
): void {
  gather(m, c, h, a.h);
  gather(m, c, hDot, aDot.h);
  layerNormTangent({ ...m, rows: c.rows }, p, pDot, a.h, aDot.h, a.norm, aDot.norm);
  loss(a.norm.y, aDot.norm.y);
}

export function headTangentBackward(
  m: Microbatch,
  c: ChosenRows,
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
  headTangent(m, c, p, pDot, a, aDot, h, hDot, (y, yDot) => loss(y, yDot, a.dy, aDot.dy));
  m.k.zero(c.rows * m.width, a.dh);
  m.k.zero(c.rows * m.width, aDot.dh);
  layerNormTangentBackward({ ...m, rows: c.rows }, p, pDot, gDot, a.norm, aDot.norm, a.dy, aDot.dy, a.dh, aDot.dh);
  scatter(m, c, a.dh, dh);
  scatter(m, c, aDot.dh, dhDot);
}
