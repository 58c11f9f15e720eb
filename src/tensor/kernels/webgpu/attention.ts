/**
 * Causal self-attention on the rows of qkv = (q, k, v), heads side by side inside each, several heads of queries to one of keys and values
 * where these are fewer: matrix products over all (example, head) at once, and the softmax between them. P is kept as [batch·heads, length,
 * stride], stride = length rounded up to 8, with zeros past the diagonal.
 */
import type { Kernels, Pointer } from '../kernels';
import { multiply, type Operand } from './gemm';
import { perRow } from './program';
import type { Recorder } from './recorder';
import { softmax, softmaxDerivative, softmaxTangentBackward } from './softmax';

/** Rows of heads in a matrix: where they begin, floats from row to row, consecutive heads that share one. */
interface Heads {
  readonly at: Pointer;
  readonly row: number;
  readonly share: number;
}

/** Sizes of one call, and the products that attention is made of. */
function squares(r: Recorder, batch: number, length: number, heads: number, keyHeads: number, width: number) {
  const [dh, group, stride] = [width / heads, heads / keyHeads, Math.ceil(length / 8) * 8];
  const [square, rows, row] = [length * stride, batch * heads * length, width + 2 * keyHeads * (width / heads)];
  /** `major`: one row of a head per row of the product, else they are summed over. */
  const operand = ({ at, row: own, share }: Heads, major: boolean): Operand => ({
    ...{ at, major: major ? own : 1, k: major ? 1 : own, outer: length * own, inner: dh, share },
  });
  return {
    rows,
    stride,
    sizes: { rows, length, stride, scale: 1 / Math.sqrt(dh) },
    /** Queries, keys and values in the rows of qkv; the output's. */
    parts: (qkv: Pointer) => ({
      q: { at: qkv, row, share: 1 },
      k: { at: qkv + 4 * width, row, share: group },
      v: { at: qkv + 4 * (width + keyHeads * dh), row, share: group },
    }),
    out: (at: Pointer): Heads => ({ at, row: width, share: 1 }),
    /** s (+)= a·bᵀ per head. */
    outer: (a: Heads, b: Heads, s: Pointer, accumulate = false) =>
      multiply(r, {
        ...{ m: length, n: length, k: dh, batch: [batch, heads], a: operand(a, true), b: operand(b, true), accumulate },
        c: { at: s, row: stride, outer: heads * square, inner: square },
      }),
    /** c (+)= s·b per head. */
    times: (s: Pointer, b: Heads, c: Heads, accumulate = false) =>
      multiply(r, {
        ...{ m: length, n: dh, k: length, batch: [batch, heads], b: operand(b, false), accumulate },
        a: { at: s, major: stride, k: 1, outer: heads * square, inner: square },
        c: { at: c.at, row: c.row, outer: length * c.row, inner: dh },
      }),
    /** c (+)= sᵀ·b per head of keys, which collects from the heads that it serves, one after the other. */
    collect: (s: Pointer, b: Heads, c: Heads, accumulate = false) => {
      for (let i = 0; i < group; i++)
        multiply(r, {
          ...{ m: length, n: dh, k: length, batch: [batch, keyHeads], accumulate: accumulate || i > 0 },
          a: { at: s + 4 * i * square, major: 1, k: stride, outer: heads * square, inner: group * square },
          b: { at: b.at + 4 * i * dh, major: 1, k: b.row, outer: length * b.row, inner: group * dh },
          c: { at: c.at, row: c.row, outer: length * c.row, inner: dh },
        });
    },
  };
}

const tangentBackward =
  (r: Recorder): Kernels['attentionTangentBackward'] =>
  (batch, length, heads, keyHeads, width, qkv, qkvDot, p, pDot, dOut, dOutDot, dQkv, dQkvDot) => {
    const s = squares(r, batch, length, heads, keyHeads, width);
    const [x, xDot, d, dDot] = [qkv, qkvDot, dQkv, dQkvDot].map(s.parts);
    const [out, outDot] = [dOut, dOutDot].map(s.out);
    const mark = r.memory.arena.mark();
    const ds = r.memory.arena.floats(s.rows * s.stride);
    const dsDot = r.memory.arena.floats(s.rows * s.stride);
    s.outer(out, x.v, ds);
    s.outer(outDot, x.v, dsDot);
    s.outer(out, xDot.v, dsDot, true);
    s.collect(p, out, d.v);
    s.collect(pDot, out, dDot.v);
    s.collect(p, outDot, dDot.v, true);
    r.run(softmaxTangentBackward, perRow(s.rows), { p, pDot, d: ds, dDot: dsDot }, s.sizes);
    s.times(ds, x.k, d.q);
    s.times(dsDot, x.k, dDot.q);
    s.times(ds, xDot.k, dDot.q, true);
    s.collect(ds, x.q, d.k);
    s.collect(dsDot, x.q, dDot.k);
    s.collect(ds, xDot.q, dDot.k, true);
    r.memory.arena.release(mark);
  };

type Attention =
  'attentionWorkFloats' | 'attentionForward' | 'attentionTangent' | 'attentionBackward' | 'attentionTangentBackward';

export const attention = (r: Recorder): Pick<Kernels, Attention> => ({
  attentionWorkFloats: () => 0, // the squares of all heads are taken from the arena
  attentionForward(batch, length, heads, keyHeads, width, qkv, p, out) {
    const s = squares(r, batch, length, heads, keyHeads, width);
    const { q, k, v } = s.parts(qkv);
    s.outer(q, k, p);
    r.run(softmax, perRow(s.rows), { p }, s.sizes);
    s.times(p, v, s.out(out));
  },
  attentionTangent(batch, length, heads, keyHeads, width, qkv, qkvDot, p, pDot, outDot) {
    const s = squares(r, batch, length, heads, keyHeads, width);
    const [x, dot] = [qkv, qkvDot].map(s.parts);
    s.outer(dot.q, x.k, pDot);
    s.outer(x.q, dot.k, pDot, true);
    r.run(softmaxDerivative, perRow(s.rows), { p, d: pDot }, s.sizes);
    s.times(pDot, x.v, s.out(outDot));
    s.times(p, dot.v, s.out(outDot), true);
  },
  attentionBackward(batch, length, heads, keyHeads, width, qkv, p, dOut, dQkv) {
    const s = squares(r, batch, length, heads, keyHeads, width);
    const [x, d] = [qkv, dQkv].map(s.parts);
    const mark = r.memory.arena.mark();
    const ds = r.memory.arena.floats(s.rows * s.stride);
    s.outer(s.out(dOut), x.v, ds);
    r.run(softmaxDerivative, perRow(s.rows), { p, d: ds }, s.sizes);
    s.collect(p, s.out(dOut), d.v);
    s.times(ds, x.k, d.q);
    s.collect(ds, x.q, d.k);
    r.memory.arena.release(mark);
  },
  attentionTangentBackward: tangentBackward(r),
});
