/** Matrix products: which shader, how many workgroups, and the sum of split ones. */
import type { Kernels, Pointer } from '../kernels';
import { offsetOf } from './buffers';
import { gemmProgram, type GemmVariant } from './gemmShader';
import { each, perElement, program } from './program';
import type { Recorder } from './recorder';

/** Workgroups that keep a large GPU busy; fewer are made more by smaller squares, then by splitting k. */
const BUSY = 264;
/** Least depth of a split. */
const SPLIT_DEPTH = 256;

/** A matrix operand: where element (i, k) lies, and the strides of a batch of (example, head). Strides in elements. */
export interface Operand {
  readonly at: Pointer;
  /** Stride of the axis that is not summed over. */
  readonly major: number;
  /** Stride along the axis that is summed over. */
  readonly k: number;
  readonly outer?: number;
  readonly inner?: number;
  /** Consecutive heads that share one matrix. */
  readonly share?: number;
}

export interface Product {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: Operand;
  readonly b: Operand;
  readonly c: { readonly at: Pointer; readonly row: number; readonly outer?: number; readonly inner?: number };
  readonly bias?: Pointer;
  readonly accumulate?: boolean;
  /** (examples, heads); default one of each. */
  readonly batch?: readonly [number, number];
}

const variants = new Map<string, ReturnType<typeof gemmProgram>>();

/** One program per variant, so that its pipeline is found again. */
function variant(v: GemmVariant): ReturnType<typeof gemmProgram> {
  const key = JSON.stringify(v);
  const known = variants.get(key) ?? gemmProgram(v);
  variants.set(key, known);
  return known;
}

const alongK = ({ k }: Operand): boolean => k === 1;

/** Whether vectors of four fit: along k they must not pass its end, else the other axis's. */
function byFour(x: Operand, size: number, depth: number, perSplit: number): boolean {
  const strides = [alongK(x) ? x.major : x.k, x.outer ?? 0, x.inner ?? 0];
  const contiguous = alongK(x) ? [depth, perSplit] : [size];
  const whole = alongK(x) || x.major === 1;
  return whole && offsetOf(x.at) % 16 === 0 && [...strides, ...contiguous].every((v) => v % 4 === 0);
}

const tiles = (m: number, n: number, tile: number): number => Math.ceil(m / tile) * Math.ceil(n / tile);

/** Records one product (or a batch of them), in at least `busy` workgroups if that can be. */
export function multiply(r: Recorder, p: Product, busy = BUSY): void {
  const { m, n, k, a, b, c, bias = 0, accumulate = false, batch = [1, 1] } = p;
  const count = batch[0] * batch[1];
  const tile = count * tiles(m, n, 128) >= busy ? 128 : 64;
  const groups = count * tiles(m, n, tile);
  const wanted = count === 1 ? Math.min(Math.ceil(busy / groups), Math.floor(k / SPLIT_DEPTH)) : 1;
  const perSplit = Math.ceil(Math.max(1, k) / Math.max(1, wanted) / 16) * 16;
  const splits = Math.ceil(Math.max(1, k) / perSplit);
  const operand = (name: 'a' | 'b', x: Operand) => ({
    ...{ [`${name}Major`]: x.major, [`${name}K`]: x.k, [`${name}Outer`]: x.outer ?? 0 },
    ...{ [`${name}Inner`]: x.inner ?? 0, [`${name}Share`]: x.share ?? 1 },
  });
  const shader = variant({
    ...{ tile, aAlongK: alongK(a), bAlongK: alongK(b) },
    ...{ aByFour: byFour(a, m, k, perSplit), bByFour: byFour(b, n, k, perSplit) },
  });
  const mark = r.memory.arena.mark();
  const split = splits > 1;
  const to = split ? { at: r.memory.arena.floats(splits * m * n), row: n } : c;
  const flags = split ? { biased: 0, accumulate: 0 } : { biased: bias ? 1 : 0, accumulate: accumulate ? 1 : 0 };
  r.run(
    shader,
    [Math.ceil(n / tile), Math.ceil(m / tile), count * splits],
    { a: a.at, b: b.at, bias: split ? 0 : bias, c: to.at },
    {
      ...{ m, n, k, cRow: to.row, cOuter: c.outer ?? 0, cInner: c.inner ?? 0, cSplit: m * n, inner: batch[1], splits, perSplit },
      ...flags,
      ...(operand('a', a) as Record<'aMajor' | 'aK' | 'aOuter' | 'aInner' | 'aShare', number>),
      ...(operand('b', b) as Record<'bMajor' | 'bK' | 'bOuter' | 'bInner' | 'bShare', number>),
    },
  );
  if (split)
    r.run(
      sumSplits,
      perElement(m * n),
      { parts: to.at, bias, c: c.at },
      { count: m * n, n: n, cRow: c.row, splits, biased: bias ? 1 : 0, accumulate: accumulate ? 1 : 0 },
    );
  r.memory.arena.release(mark);
}

/** c (+)= Σ parts (+ bias), in their order. */
const sumSplits = program({
  name: 'gemm, sum of splits',
  reads: { parts: 'f32', bias: 'f32' },
  writes: { c: 'f32' },
  sizes: { count: 'u32', n: 'u32', cRow: 'u32', splits: 'u32', biased: 'u32', accumulate: 'u32' },
  body: each(
    'count',
    `
    let j = i % n.n;
    let at = n.c + (i / n.n) * n.cRow + j;
    var sum = 0.0;
    for (var s = 0u; s < n.splits; s++) { sum += parts[n.parts + s * n.count + i]; }
    if (n.biased == 1u) { sum += bias[n.bias + j]; }
    if (n.accumulate == 1u) { sum += c[at]; }
    c[at] = sum;
  `,
  ),
});

export const gemm = (r: Recorder): Pick<Kernels, 'gemm'> => ({
  gemm: (m, n, k, a, aRow, aColumn, b, bRow, bColumn, c, cRow, bias, accumulate) =>
    multiply(r, {
      ...{ m, n, k, a: { at: a, major: aRow, k: aColumn }, b: { at: b, major: bColumn, k: bRow } },
      ...{ c: { at: c, row: cRow }, bias, accumulate },
    }),
});
