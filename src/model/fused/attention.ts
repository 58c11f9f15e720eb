/** Causal multi-head self-attention between the qkv projection and the output projection. */
import type { Arena, Kernels, Pointer } from '../../tensor/kernels/kernels';
import type { Microbatch } from './microbatch';

export interface AttentionActivations {
  /** Queries, keys and values, [rows, 3·width]. */
  readonly qkv: Pointer;
  /** Softmax of the scores, [examples, heads, length, length rounded up to 8]. */
  readonly probabilities: Pointer;
  /** Output, [rows, width]. */
  readonly out: Pointer;
}

export function attentionActivations(
  a: Arena,
  examples: number,
  length: number,
  width: number,
  heads: number,
): AttentionActivations {
  const rows = examples * length;
  return {
    qkv: a.floats(3 * rows * width),
    probabilities: a.floats(rows * heads * Math.ceil(length / 8) * 8),
    out: a.floats(rows * width),
  };
}

/** Floats of {@link Microbatch.work}. */
export const attentionWorkFloats = (k: Kernels, length: number, width: number, heads: number): number =>
  k.attentionWorkFloats(length, width / heads);

/** Probabilities and output from qkv. */
export function attentionForward({ k, examples, length, heads, width, work }: Microbatch, a: AttentionActivations): void {
  k.attentionForward(examples, length, heads, width, a.qkv, a.probabilities, a.out, work);
}

/** dqkv from dout. */
export function attentionBackward(m: Microbatch, a: AttentionActivations, dout: Pointer, dqkv: Pointer): void {
  m.k.attentionBackward(m.examples, m.length, m.heads, m.width, a.qkv, a.probabilities, dout, dqkv, m.work);
}

/** The same as {@link attentionForward} on (qkv, qkv̇). */
export function attentionTangent(m: Microbatch, a: AttentionActivations, aDot: AttentionActivations): void {
  attentionForward(m, a);
  m.k.attentionTangent(
    m.examples,
    m.length,
    m.heads,
    m.width,
    a.qkv,
    aDot.qkv,
    a.probabilities,
    aDot.probabilities,
    aDot.out,
    m.work,
  );
}

/** (dqkv, its tangent) from (dout, its tangent). */
export function attentionTangentBackward(
  m: Microbatch,
  a: AttentionActivations,
  aDot: AttentionActivations,
  dout: Pointer,
  doutDot: Pointer,
  dqkv: Pointer,
  dqkvDot: Pointer,
): void {
  const activations = [a.qkv, aDot.qkv, a.probabilities, aDot.probabilities] as const;
  m.k.attentionTangentBackward(m.examples, m.length, m.heads, m.width, ...activations, dout, doutDot, dqkv, dqkvDot, m.work);
}
