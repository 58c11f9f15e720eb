/** Norms of every head of queries and of keys, in place in qkv: heads are gathered as rows, normalized, and put back. */
import type { Arena, Pointer } from '../../tensor/kernels/kernels';
import type { Layers } from '../families/layers';
import { both, part, type Dual } from './dual';
import { headsOf, KINDS, type Kind } from './headRows';
import type { HeadNorms } from './layout';
import type { Microbatch } from './microbatch';
import { normActivations, normBackward, normForward, normTangent, normTangentBackward, type NormActivations } from './norm';

export type HeadNormActivations = Readonly<Record<Kind, NormActivations>>;

export const headNormActivations = (a: Arena, layers: Layers, rows: number): HeadNormActivations => ({
  queries: normActivations(a, rows * layers.n_head, layers.headWidth),
  keys: normActivations(a, rows * layers.keyHeads, layers.headWidth),
});

/** For both parts: sizes, and the ways between qkv and rows of heads. */
function eachKind(
  { k, rows, layers, heads }: Microbatch,
  use: (kind: Kind, sizes: Parameters<typeof normForward>[0], move: { out: Move; back: Move }) => void,
): void {
  for (const kind of KINDS) {
    const [count, width, index] = [rows * headsOf(layers, kind), layers.headWidth, heads!.index[kind]];
    use(
      kind,
      { k, rows: count, width, norm: layers.norm },
      {
        out: (qkv, to) => k.gatherRows(count, width, index, qkv, to),
        back: (from, qkv) => k.scatterRows(count, width, index, from, qkv),
      },
    );
  }
}

type Move = (from: Pointer, to: Pointer) => void;

/** Queries and keys of qkv ← normalized. */
export function headNormForward(m: Microbatch, p: HeadNorms, a: HeadNormActivations, qkv: Pointer): void {
  const { from } = m.heads!.gathered.value;
  eachKind(m, (kind, sizes, { out, back }) => {
    out(qkv, from);
    normForward(sizes, p[kind], from, a[kind]);
    back(a[kind].y, qkv);
  });
}

/** dqkv ← the cotangents before the norms; adds to the gradient `g`. */
export function headNormBackward(m: Microbatch, p: HeadNorms, g: HeadNorms, a: HeadNormActivations, dqkv: Pointer): void {
  const { from, to } = m.heads!.gathered.value;
  eachKind(m, (kind, sizes, { out, back }) => {
    out(dqkv, from);
    m.k.zero(sizes.rows * sizes.width, to);
    normBackward(sizes, p[kind], g[kind], a[kind], from, to);
    back(to, dqkv);
  });
}

export function headNormTangent(m: Microbatch, p: Dual<HeadNorms>, a: Dual<HeadNormActivations>, qkv: Dual<Pointer>): void {
  const from = part(m.heads!.gathered, 'from');
  eachKind(m, (kind, sizes, { out, back }) => {
    const own = both(a, (of) => of[kind]);
    for (const of of ['value', 'dot'] as const) out(qkv[of], from[of]);
    normTangent(
      sizes,
      both(p, (norms) => norms[kind]),
      from,
      own,
    );
    for (const of of ['value', 'dot'] as const) back(own[of].y, qkv[of]);
  });
}

export function headNormTangentBackward(
  m: Microbatch,
  p: Dual<HeadNorms>,
  gDot: HeadNorms,
  a: Dual<HeadNormActivations>,
  dqkv: Dual<Pointer>,
): void {
  const [from, to] = [part(m.heads!.gathered, 'from'), part(m.heads!.gathered, 'to')];
  eachKind(m, (kind, sizes, { out, back }) => {
    for (const of of ['value', 'dot'] as const) {
      out(dqkv[of], from[of]);
      m.k.zero(sizes.rows * sizes.width, to[of]);
    }
    const norms = both(p, (each) => each[kind]);
    normTangentBackward(
      sizes,
      norms,
      gDot[kind],
      both(a, (of) => of[kind]),
      from,
      to,
    );
    for (const of of ['value', 'dot'] as const) back(to[of], dqkv[of]);
  });
}
