/**
 * A pre-norm transformer block on the residual stream h, in two halves. In the first, up to the attention's output, positions mix; in the
 * second, h += projection(output), then h += mlp(norm(h)), every row is by itself.
 */
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
  /** Before the GELU, then the GELU's derivative there, [rows, 4·width]. */
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

/** What enters a block's second half: the residual stream, changed in place, and the attention's output, both [rows, width]. */
export interface Stream {
  readonly h: Pointer;
  readonly out: Pointer;
}

/** Cotangents of a {@link Stream} on their way down, and room; shared by all blocks. */
export interface BlockCotangents extends Stream {
  /** [rows, 4·width] */
  readonly wide: Pointer;
}

/** The four linear layers. */
function linears({ k, rows, width: d }: Microbatch): Record<'qkv' | 'projection' | 'expand' | 'contract', LinearSizes> {
  return {
    qkv: { k, rows, inputs: d, outputs: 3 * d },
    projection: { k, rows, inputs: d, outputs: d },
    expand: { k, rows, inputs: d, outputs: 4 * d },
    contract: { k, rows, inputs: 4 * d, outputs: d },
  };
}

/** First half: the attention's output from h. `attend` fills it from its qkv; sampling puts its cache here. */
export function mixForward(m: Microbatch, p: BlockParameters, a: BlockActivations, h: Pointer, attend = attentionForward): void {
  layerNormForward(m, p.norm1, h, a.norm1);
  linearForward(linears(m).qkv, p.qkv, a.norm1.y, a.attention.qkv);
  attend(m, a.attention);
}

/** d.h += what comes through d.out; adds to the gradient `g`. */
export function mixBackward(
  m: Microbatch,
  p: BlockParameters,
  g: BlockParameters,
  a: BlockActivations,
  d: BlockCotangents,
): void {
  attentionBackward(m, a.attention, d.out, d.wide);
  linearBackward(linears(m).qkv, p.qkv, g.qkv, a.norm1.y, d.wide, d.out);
  layerNormBackward(m, p.norm1, g.norm1, a.norm1, d.out, d.h);
}

export function mixTangent(
  m: Microbatch,
  p: BlockParameters,
  pDot: BlockParameters,
  a: BlockActivations,
  aDot: BlockActivations,
  h: Pointer,
  hDot: Pointer,
): void {
  layerNormTangent(m, p.norm1, pDot.norm1, h, hDot, a.norm1, aDot.norm1);
  linearTangent(linears(m).qkv, p.qkv, pDot.qkv, a.norm1.y, aDot.norm1.y, a.attention.qkv, aDot.attention.qkv);
  attentionTangent(m, a.attention, aDot.attention);
}

export function mixTangentBackward(
  m: Microbatch,
  p: BlockParameters,
  pDot: BlockParameters,
  gDot: BlockParameters,
  a: BlockActivations,
  aDot: BlockActivations,
  d: BlockCotangents,
  dDot: BlockCotangents,
): void {
  const y = [a.norm1.y, aDot.norm1.y] as const;
  attentionTangentBackward(m, a.attention, aDot.attention, d.out, dDot.out, d.wide, dDot.wide);
  linearTangentBackward(linears(m).qkv, p.qkv, pDot.qkv, gDot.qkv, ...y, d.wide, dDot.wide, d.out, dDot.out);
  layerNormTangentBackward(m, p.norm1, pDot.norm1, gDot.norm1, a.norm1, aDot.norm1, d.out, dDot.out, d.h, dDot.h);
}

/** Second half: s.h ← the residual stream after the block. */
export function positionwiseForward(m: Microbatch, p: BlockParameters, a: BlockActivations, s: Stream): void {
  const { projection, expand, contract } = linears(m);
  linearForward(projection, p.projection, s.out, s.h, true);
  layerNormForward(m, p.norm2, s.h, a.norm2);
  linearForward(expand, p.expand, a.norm2.y, a.hidden);
  geluForward(m.k, 4 * m.rows * m.width, a.hidden, a.active);
  linearForward(contract, p.contract, a.active, s.h, true);
}

/** d.h and d.out ← the cotangents of what entered, from d.h; adds to the gradient `g`. */
export function positionwiseBackward(
  m: Microbatch,
  p: BlockParameters,
  g: BlockParameters,
  a: BlockActivations,
  s: Stream,
  d: BlockCotangents,
): void {
  const { projection, expand, contract } = linears(m);
  linearBackward(contract, p.contract, g.contract, a.active, d.h, d.wide);
  geluBackward(m.k, 4 * m.rows * m.width, a.hidden, d.wide);
  linearBackward(expand, p.expand, g.expand, a.norm2.y, d.wide, d.out);
  layerNormBackward(m, p.norm2, g.norm2, a.norm2, d.out, d.h);
  linearBackward(projection, p.projection, g.projection, s.out, d.h, d.out);
}

export function positionwiseTangent(
  m: Microbatch,
  p: BlockParameters,
  pDot: BlockParameters,
  a: BlockActivations,
  aDot: BlockActivations,
  s: Stream,
  sDot: Stream,
): void {
  const { projection, expand, contract } = linears(m);
  linearTangent(projection, p.projection, pDot.projection, s.out, sDot.out, s.h, sDot.h, true);
  layerNormTangent(m, p.norm2, pDot.norm2, s.h, sDot.h, a.norm2, aDot.norm2);
  linearTangent(expand, p.expand, pDot.expand, a.norm2.y, aDot.norm2.y, a.hidden, aDot.hidden);
  geluTangent(m.k, 4 * m.rows * m.width, a.hidden, aDot.hidden, a.active, aDot.active);
  linearTangent(contract, p.contract, pDot.contract, a.active, aDot.active, s.h, sDot.h, true);
}

export function positionwiseTangentBackward(
  m: Microbatch,
  p: BlockParameters,
  pDot: BlockParameters,
  gDot: BlockParameters,
  a: BlockActivations,
  aDot: BlockActivations,
  s: Stream,
  sDot: Stream,
  d: BlockCotangents,
  dDot: BlockCotangents,
): void {
  const sizes = linears(m);
  const linear = (name: keyof typeof sizes, x: Pointer, xDot: Pointer, from: keyof BlockCotangents, to: keyof BlockCotangents) =>
    linearTangentBackward(sizes[name], p[name], pDot[name], gDot[name], x, xDot, d[from], dDot[from], d[to], dDot[to]);

  linear('contract', a.active, aDot.active, 'h', 'wide');
  geluTangentBackward(m.k, 4 * m.rows * m.width, a.hidden, aDot.hidden, d.wide, dDot.wide);
  linear('expand', a.norm2.y, aDot.norm2.y, 'wide', 'out');
  layerNormTangentBackward(m, p.norm2, pDot.norm2, gDot.norm2, a.norm2, aDot.norm2, d.out, dDot.out, d.h, dDot.h);
  linear('projection', s.out, sDot.out, 'h', 'out');
}
