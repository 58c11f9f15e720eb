/**
 * A pre-norm transformer block on the residual stream h, in two halves. In the first, up to the attention's output, positions mix; in the
 * second, h += projection(output), then h += feed-forward(norm(h)), every row is by itself.
 */
import type { Arena, Pointer } from '../../tensor/kernels/kernels';
import type { Layers } from '../families/layers';
import { ACTIVATIONS, type ActivationSizes } from './activation';
import {
  attentionActivations,
  attentionBackward,
  attentionColumns,
  attentionForward,
  attentionTangent,
  attentionTangentBackward,
  type AttentionActivations,
} from './attention';
import { both, part, type Dual } from './dual';
import {
  headNormActivations,
  headNormBackward,
  headNormForward,
  headNormTangent,
  headNormTangentBackward,
  type HeadNormActivations,
} from './headNorm';
import type { BlockParameters, HeadNorms } from './layout';
import { linearBackward, linearForward, linearTangent, linearTangentBackward, type LinearSizes } from './linear';
import type { Microbatch } from './microbatch';
import {
  normActivations,
  normBackward,
  normForward,
  normTangent,
  normTangentBackward,
  type NormActivations,
  type NormSizes,
} from './norm';
import { rotateBackward, rotateForward } from './rotary';

export interface BlockActivations {
  readonly norm1: NormActivations;
  readonly headNorms: HeadNormActivations | null;
  readonly attention: AttentionActivations;
  readonly norm2: NormActivations;
  /** Before the activation, then its derivative there. */
  readonly hidden: Pointer;
  /** After it, [rows, inner]. */
  readonly active: Pointer;
}

/** Columns of what enters the activation. */
const hiddenColumns = ({ activation, inner }: Layers): number => ACTIVATIONS[activation].inputs * inner;

export function blockActivations(a: Arena, layers: Layers, examples: number, length: number): BlockActivations {
  const { n_embd: width, inner } = layers;
  const rows = examples * length;
  return {
    norm1: normActivations(a, rows, width),
    headNorms: layers.headNorms ? headNormActivations(a, layers, rows) : null,
    attention: attentionActivations(a, layers, examples, length),
    norm2: normActivations(a, rows, width),
    hidden: a.floats(hiddenColumns(layers) * rows),
    active: a.floats(inner * rows),
  };
}

/** What enters a block's second half: the residual stream [rows, n_embd], changed in place, and the attention's output. */
export interface Stream {
  readonly h: Pointer;
  readonly out: Pointer;
}

/** Columns of {@link Stream.out}, as a cotangent also of what leaves the norms. */
export const outColumns = (layers: Layers): number => Math.max(layers.n_embd, attentionColumns(layers).queries);

/** Cotangents of what is inside a block; shared by all blocks. */
export interface InnerCotangents {
  /** Of qkv, and of what enters the activation. */
  readonly wide: Pointer;
  /** Of what leaves the activation; the same as `wide` where that works in place. */
  readonly active: Pointer;
}

export function innerCotangents(a: Arena, layers: Layers, rows: number): InnerCotangents {
  const wide = a.floats(rows * Math.max(attentionColumns(layers).all, hiddenColumns(layers)));
  return { wide, active: ACTIVATIONS[layers.activation].inputs === 1 ? wide : a.floats(rows * layers.inner) };
}

/** Cotangents of a {@link Stream} on their way down, and room. */
export type BlockCotangents = Stream & InnerCotangents;

/** The four linear layers. */
function linears({ k, rows, layers }: Microbatch): Record<'qkv' | 'projection' | 'expand' | 'contract', LinearSizes> {
  const { n_embd: d, inner, transposed } = layers;
  const { queries, keys, all } = attentionColumns(layers);
  const sizes = (inputs: number, ...outputs: number[]): LinearSizes => ({ k, rows, inputs, outputs, transposed });
  return {
    qkv: sizes(d, ...(layers.qkv.length === 1 ? [all] : [queries, keys, keys])),
    projection: sizes(queries, d),
    expand: sizes(d, ...layers.expand.map(() => inner)),
    contract: sizes(inner, d),
  };
}

/** Sizes of the norms of whole rows. */
export const rowNorm = ({ k, rows, layers }: Microbatch): NormSizes => ({ k, rows, width: layers.n_embd, norm: layers.norm });

const activationOf = ({ k, rows, layers }: Microbatch) => {
  const sizes: ActivationSizes = { k, rows, inner: layers.inner };
  return { f: ACTIVATIONS[layers.activation], sizes };
};

const headNormsOf = (p: Dual<BlockParameters>): Dual<HeadNorms> => both(p, ({ headNorms }) => headNorms!);

/** First half: the attention's output from h. `attend` fills it from its qkv; sampling puts its cache here. */
export function mixForward(m: Microbatch, p: BlockParameters, a: BlockActivations, h: Pointer, attend = attentionForward): void {
  const { qkv } = a.attention;
  normForward(rowNorm(m), p.norm1, h, a.norm1);
  linearForward(linears(m).qkv, p.qkv, a.norm1.y, qkv);
  if (p.headNorms) headNormForward(m, p.headNorms, a.headNorms!, qkv);
  rotateForward(m, qkv);
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
  rotateBackward(m, d.wide);
  if (p.headNorms) headNormBackward(m, p.headNorms, g.headNorms!, a.headNorms!, d.wide);
  linearBackward(linears(m).qkv, p.qkv, g.qkv, a.norm1.y, d.wide, d.out);
  normBackward(rowNorm(m), p.norm1, g.norm1, a.norm1, d.out, d.h);
}

export function mixTangent(m: Microbatch, p: Dual<BlockParameters>, a: Dual<BlockActivations>, h: Dual<Pointer>): void {
  const norm1 = part(a, 'norm1');
  const qkv = both(a, (of) => of.attention.qkv);
  const y = part(norm1, 'y');
  normTangent(rowNorm(m), part(p, 'norm1'), h, norm1);
  linearTangent(linears(m).qkv, part(p, 'qkv'), y, qkv);
  if (p.value.headNorms)
    headNormTangent(
      m,
      headNormsOf(p),
      both(a, (of) => of.headNorms!),
      qkv,
    );
  rotateForward(m, qkv.value);
  rotateForward(m, qkv.dot);
  attentionTangent(m, part(a, 'attention'));
}

export function mixTangentBackward(
  m: Microbatch,
  p: Dual<BlockParameters>,
  gDot: BlockParameters,
  a: Dual<BlockActivations>,
  d: Dual<BlockCotangents>,
): void {
  const [out, wide, h] = [part(d, 'out'), part(d, 'wide'), part(d, 'h')];
  const norm1 = part(a, 'norm1');
  attentionTangentBackward(m, part(a, 'attention'), out, wide);
  rotateBackward(m, wide.value);
  rotateBackward(m, wide.dot);
  if (gDot.headNorms)
    headNormTangentBackward(
      m,
      headNormsOf(p),
      gDot.headNorms,
      both(a, (of) => of.headNorms!),
      wide,
    );
  linearTangentBackward(linears(m).qkv, part(p, 'qkv'), gDot.qkv, part(norm1, 'y'), wide, out);
  normTangentBackward(rowNorm(m), part(p, 'norm1'), gDot.norm1, norm1, out, h);
}

/** Second half: s.h ← the residual stream after the block. */
export function positionwiseForward(m: Microbatch, p: BlockParameters, a: BlockActivations, s: Stream): void {
  const { projection, expand, contract } = linears(m);
  const { f, sizes } = activationOf(m);
  linearForward(projection, p.projection, s.out, s.h, true);
  normForward(rowNorm(m), p.norm2, s.h, a.norm2);
  linearForward(expand, p.expand, a.norm2.y, a.hidden);
  f.forward(sizes, a.hidden, a.active);
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
  const { f, sizes } = activationOf(m);
  linearBackward(contract, p.contract, g.contract, a.active, d.h, d.active);
  f.backward(sizes, a.hidden, d.active, d.wide);
  linearBackward(expand, p.expand, g.expand, a.norm2.y, d.wide, d.out);
  normBackward(rowNorm(m), p.norm2, g.norm2, a.norm2, d.out, d.h);
  linearBackward(projection, p.projection, g.projection, s.out, d.h, d.out);
}

export function positionwiseTangent(m: Microbatch, p: Dual<BlockParameters>, a: Dual<BlockActivations>, s: Dual<Stream>): void {
  const { projection, expand, contract } = linears(m);
  const { f, sizes } = activationOf(m);
  const [h, norm2] = [part(s, 'h'), part(a, 'norm2')];
  const [hidden, active] = [part(a, 'hidden'), part(a, 'active')];
  linearTangent(projection, part(p, 'projection'), part(s, 'out'), h, true);
  normTangent(rowNorm(m), part(p, 'norm2'), h, norm2);
  linearTangent(expand, part(p, 'expand'), part(norm2, 'y'), hidden);
  f.tangent(sizes, hidden, active);
  linearTangent(contract, part(p, 'contract'), active, h, true);
}

export function positionwiseTangentBackward(
  m: Microbatch,
  p: Dual<BlockParameters>,
  gDot: BlockParameters,
  a: Dual<BlockActivations>,
  s: Dual<Stream>,
  d: Dual<BlockCotangents>,
): void {
  const all = linears(m);
  const { f, sizes } = activationOf(m);
  const at = (name: keyof BlockCotangents): Dual<Pointer> => both(d, (of) => of[name]);
  const linear = (name: 'projection' | 'expand' | 'contract', x: Dual<Pointer>, dy: Dual<Pointer>, dx: Dual<Pointer>): void =>
    linearTangentBackward(
      all[name],
      both(p, (of) => of[name]),
      gDot[name],
      x,
      dy,
      dx,
    );
  const norm2 = part(a, 'norm2');

  linear('contract', part(a, 'active'), at('h'), at('active'));
  f.tangentBackward(sizes, part(a, 'hidden'), at('active'), at('wide'));
  linear('expand', part(norm2, 'y'), at('wide'), at('out'));
  normTangentBackward(rowNorm(m), part(p, 'norm2'), gDot.norm2, norm2, at('out'), at('h'));
  linear('projection', part(s, 'out'), at('h'), at('out'));
}
