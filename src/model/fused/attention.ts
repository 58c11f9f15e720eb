/**
 * Causal multi-head self-attention between the projection to queries, keys and values and the output projection; queries may share keys.
 */
import type { Arena, Kernels, Pointer } from '../../tensor/kernels/kernels';
import type { Layers } from '../families/layers';
import { part, type Dual } from './dual';

export interface AttentionActivations {
  /** Queries, keys and values, [rows, (heads + 2·keyHeads)·headWidth]. */
  readonly qkv: Pointer;
  /** Softmax of the scores, [examples, heads, length, length rounded up to 8]. */
  readonly probabilities: Pointer;
  /** Output, [rows, heads·headWidth]. */
  readonly out: Pointer;
}

/** Columns of the queries (and of the output), of keys, and of all three. */
export function attentionColumns({ n_head, keyHeads, headWidth }: Layers): { queries: number; keys: number; all: number } {
  const [queries, keys] = [n_head * headWidth, keyHeads * headWidth];
  return { queries, keys, all: queries + 2 * keys };
}

export function attentionActivations(a: Arena, layers: Layers, examples: number, length: number): AttentionActivations {
  const rows = examples * length;
  const columns = attentionColumns(layers);
  return {
    qkv: a.floats(rows * columns.all),
    probabilities: a.floats(rows * layers.n_head * Math.ceil(length / 8) * 8),
    out: a.floats(rows * columns.queries),
  };
}

/** Sizes of one application. */
export interface AttentionSizes {
  readonly k: Kernels;
  readonly examples: number;
  /** Positions per example. */
  readonly length: number;
  readonly layers: Layers;
  /** Room for `attentionWorkFloats` floats. */
  readonly work: Pointer;
}

const sizes = ({ examples, length, layers }: AttentionSizes) =>
  [examples, length, layers.n_head, layers.keyHeads, layers.n_head * layers.headWidth] as const;

/** Probabilities and output from qkv. */
export function attentionForward(s: AttentionSizes, a: AttentionActivations): void {
  s.k.attentionForward(...sizes(s), a.qkv, a.probabilities, a.out, s.work);
}

/** dqkv from dout. */
export function attentionBackward(s: AttentionSizes, a: AttentionActivations, dout: Pointer, dqkv: Pointer): void {
  s.k.attentionBackward(...sizes(s), a.qkv, a.probabilities, dout, dqkv, s.work);
}

const dualActivations = (a: Dual<AttentionActivations>) => {
  const [qkv, probabilities] = [part(a, 'qkv'), part(a, 'probabilities')];
  return [qkv.value, qkv.dot, probabilities.value, probabilities.dot] as const;
};

/** The same as {@link attentionForward} on (qkv, qkv̇). */
export function attentionTangent(s: AttentionSizes, a: Dual<AttentionActivations>): void {
  attentionForward(s, a.value);
  s.k.attentionTangent(...sizes(s), ...dualActivations(a), a.dot.out, s.work);
}

/** (dqkv, its tangent) from (dout, its tangent). */
export function attentionTangentBackward(
  s: AttentionSizes,
  a: Dual<AttentionActivations>,
  dout: Dual<Pointer>,
  dqkv: Dual<Pointer>,
): void {
  s.k.attentionTangentBackward(...sizes(s), ...dualActivations(a), dout.value, dout.dot, dqkv.value, dqkv.dot, s.work);
}
