/** A pre-norm transformer block on the residual stream h: h += attention(norm(h)), then h += mlp(norm(h)). */
import type { Arena, Pointer } from '../../tensor/kernels/kernels';
import {
  attentionActivations,
  attentionBackward,
  attentionForward,
  attentionTangent,
  attentionTangentBackward,
  type AttentionActivations,
} from './attention';
import { geluBackward, geluForward, geluTangent, geluTangentBackward } from './gelu';
import {
  layerNormActivations,
  layerNormBackward,
  layerNormForward,
  layerNormTangent,
  layerNormTangentBackward,
  type LayerNormActivations,
} from './layerNorm';
import type { BlockParameters } from './layout';
import { linearBackward, linearForward, linearTangent, linearTangentBackward, type LinearSizes } from './linear';
import type { Microbatch } from './microbatch';

export interface BlockActivations {
  readonly norm1: LayerNormActivations;
  readonly attention: AttentionActivations;
  readonly norm2: LayerNormActivations;
  /** Before the GELU, [rows, 4·width]. */
  readonly hidden: Pointer;
  /** After the GELU, [rows, 4·width]. */
  readonly active: Pointer;
}

export function blockActivations(a: Arena, examples: number, length: number, width: number, heads: number): BlockActivations {
  const rows = examples * length;
  return {
    norm1: layerNormActivations(a, rows, width),
    attention: attentionActivations(a, examples, length, width, heads),
    norm2: layerNormActivations(a, rows, width),
    hidden: a.floats(4 * rows * width),
    active: a.floats(4 * rows * width),
  };
}

/** Cotangents on their way down: shared by all blocks. */
export interface BlockCotangents {
  /** Residual stream, [rows, width]. */
  readonly h: Pointer;
  /** [rows, width] */
  readonly narrow: Pointer;
  /** [rows, 4·width] */
  readonly wide: Pointer;
}

export const blockCotangents = (a: Arena, rows: number, width: number): BlockCotangents => ({
  h: a.floats(rows * width),
  narrow: a.floats(rows * width),
  wide: a.floats(4 * rows * width),
});

/** The four linear layers. */
function linears({ k, rows, width: d }: Microbatch): Record<'qkv' | 'projection' | 'expand' | 'contract', LinearSizes> {
  return {
    qkv: { k, rows, inputs: d, outputs: 3 * d },
    projection: { k, rows, inputs: d, outputs: d },
    expand: { k, rows, inputs: d, outputs: 4 * d },
    contract: { k, rows, inputs: 4 * d, outputs: d },
  };
}

/** h ← block(h), filling `a`. `attend` fills the attention's output from its qkv; sampling puts its cache here. */
export function blockForward(
  m: Microbatch,
  p: BlockParameters,
  a: BlockActivations,
  h: Pointer,
  attend = attentionForward,
): void {
  const { qkv, projection, expand, contract } = linears(m);
  layerNormForward(m, p.norm1, h, a.norm1);
  linearForward(qkv, p.qkv, a.norm1.y, a.attention.qkv);
  attend(m, a.attention);
  linearForward(projection, p.projection, a.attention.out, h, true);
  layerNormForward(m, p.norm2, h, a.norm2);
  linearForward(expand, p.expand, a.norm2.y, a.hidden);
  geluForward(m.k, 4 * m.rows * m.width, a.hidden, a.active);
  linearForward(contract, p.contract, a.active, h, true);
}

/** d.h ← its cotangent before the block; adds to the gradient `g`. */
export function blockBackward(
  m: Microbatch,
  p: BlockParameters,
  g: BlockParameters,
  a: BlockActivations,
  d: BlockCotangents,
): void {
  const { qkv, projection, expand, contract } = linears(m);
  linearBackward(contract, p.contract, g.contract, a.active, d.h, d.wide);
  geluBackward(m.k, 4 * m.rows * m.width, a.hidden, d.wide);
  linearBackward(expand, p.expand, g.expand, a.norm2.y, d.wide, d.narrow);
  layerNormBackward(m, p.norm2, g.norm2, a.norm2, d.narrow, d.h);
  linearBackward(projection, p.projection, g.projection, a.attention.out, d.h, d.narrow);
  attentionBackward(m, a.attention, d.narrow, d.wide);
  linearBackward(qkv, p.qkv, g.qkv, a.norm1.y, d.wide, d.narrow);
  layerNormBackward(m, p.norm1, g.norm1, a.norm1, d.narrow, d.h);
}

/** (h, ḣ) ← the block's dual forward pass, filling `a` and `aDot`. */
export function blockTangent(
  m: Microbatch,
  p: BlockParameters,
  pDot: BlockParameters,
  a: BlockActivations,
  aDot: BlockActivations,
  h: Pointer,
  hDot: Pointer,
): void {
  const { qkv, projection, expand, contract } = linears(m);
  layerNormTangent(m, p.norm1, pDot.norm1, h, hDot, a.norm1, aDot.norm1);
  linearTangent(qkv, p.qkv, pDot.qkv, a.norm1.y, aDot.norm1.y, a.attention.qkv, aDot.attention.qkv);
  attentionTangent(m, a.attention, aDot.attention);
  linearTangent(projection, p.projection, pDot.projection, a.attention.out, aDot.attention.out, h, hDot, true);
  layerNormTangent(m, p.norm2, pDot.norm2, h, hDot, a.norm2, aDot.norm2);
  linearTangent(expand, p.expand, pDot.expand, a.norm2.y, aDot.norm2.y, a.hidden, aDot.hidden);
  geluTangent(m.k, 4 * m.rows * m.width, a.hidden, aDot.hidden, a.active, aDot.active);
  linearTangent(contract, p.contract, pDot.contract, a.active, aDot.active, h, hDot, true);
}

/** (d.h, dDot.h) ← the block's dual backward pass; adds to the tangent gradient `gDot`. */
export function blockTangentBackward(
  m: Microbatch,
  p: BlockParameters,
  pDot: BlockParameters,
  gDot: BlockParameters,
  a: BlockActivations,
  aDot: BlockActivations,
  d: BlockCotangents,
  dDot: BlockCotangents,
): void {
  const sizes = linears(m);
  const linear = (name: keyof typeof sizes, x: Pointer, xDot: Pointer, from: keyof BlockCotangents, to: keyof BlockCotangents) =>
    linearTangentBackward(sizes[name], p[name], pDot[name], gDot[name], x, xDot, d[from], dDot[from], d[to], dDot[to]);
  const norm = (name: 'norm1' | 'norm2') =>
    layerNormTangentBackward(m, p[name], pDot[name], gDot[name], a[name], aDot[name], d.narrow, dDot.narrow, d.h, dDot.h);

  linear('contract', a.active, aDot.active, 'h', 'wide');
  geluTangentBackward(m.k, 4 * m.rows * m.width, a.hidden, aDot.hidden, d.wide, dDot.wide);
  linear('expand', a.norm2.y, aDot.norm2.y, 'wide', 'narrow');
  norm('norm2');
  linear('projection', a.attention.out, aDot.attention.out, 'h', 'narrow');
  attentionTangentBackward(m, a.attention, aDot.attention, d.narrow, dDot.narrow, d.wide, dDot.wide);
  linear('qkv', a.norm1.y, aDot.norm1.y, 'wide', 'narrow');
  norm('norm1');
}
