/**
 * Rotary positions: heads of queries and keys, rotated in place by the angles of their positions. Linear, so tangents are rotated alike.
 */
import type { Arena, KernelMemory, Kernels, Pointer } from '../../tensor/kernels/kernels';
import type { Layers } from '../families/layers';
import { attentionColumns } from './attention';

/** cos and sin of the angles of positions from 0 on, [positions, headWidth / 2] each. */
export interface RotaryTables {
  readonly cos: Pointer;
  readonly sin: Pointer;
}

export const rotaryTables = (a: Arena, { rotary = [] }: Layers, positions: number): RotaryTables => ({
  cos: a.floats(positions * rotary.length),
  sin: a.floats(positions * rotary.length),
});

/** Fills the tables; angles in float64, for positions in the thousands. */
export function writeRotaryTables(
  memory: Pick<KernelMemory, 'write'>,
  { rotary = [] }: Layers,
  tables: RotaryTables,
  positions: number,
): void {
  const pairs = rotary.length;
  const table = (f: (angle: number) => number) =>
    Float32Array.from({ length: positions * pairs }, (_, i) => f(Math.floor(i / pairs) * rotary[i % pairs]));
  if (pairs === 0) return;
  memory.write(tables.cos, table(Math.cos));
  memory.write(tables.sin, table(Math.sin));
}

/** Sizes of one application; the first position of every example is `first`. */
export interface RotarySizes {
  readonly k: Kernels;
  readonly rows: number;
  readonly length: number;
  readonly first: number;
  readonly layers: Layers;
  readonly rotary: RotaryTables;
}

function turn({ k, rows, length, first, layers, rotary: { cos, sin } }: RotarySizes, qkv: Pointer, back: boolean): void {
  if (!layers.rotary) return;
  const skipped = 4 * first * layers.rotary.length;
  const heads = layers.n_head + layers.keyHeads;
  k.rotate(rows, length, heads, layers.headWidth, attentionColumns(layers).all, cos + skipped, sin + skipped, back, qkv);
}

/** Queries and keys of qkv, in place. */
export const rotateForward = (s: RotarySizes, qkv: Pointer): void => turn(s, qkv, false);

/** Their cotangents. */
export const rotateBackward = (s: RotarySizes, dqkv: Pointer): void => turn(s, dqkv, true);
