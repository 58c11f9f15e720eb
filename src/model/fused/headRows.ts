/** The heads of queries and of keys as rows: where they lie in qkv, and room for them. */
import type { Arena, KernelMemory, Pointer } from '../../tensor/kernels/kernels';
import type { Layers } from '../families/layers';
import { attentionColumns } from './attention';
import { dual, type Dual } from './dual';

export const KINDS = ['queries', 'keys'] as const;
export type Kind = (typeof KINDS)[number];

export const headsOf = ({ n_head, keyHeads }: Layers, kind: Kind): number => (kind === 'queries' ? n_head : keyHeads);

/** Room for the heads of one kind as rows, before and after. */
export interface GatheredHeads {
  readonly from: Pointer;
  readonly to: Pointer;
}

/** Shared by all blocks. */
export interface HeadRows {
  /** Which of the heads of all rows of qkv, each a row of headWidth, they are. */
  readonly index: Readonly<Record<Kind, Pointer>>;
  readonly gathered: Dual<GatheredHeads>;
}

export function headRows(a: Arena, layers: Layers, rows: number): HeadRows {
  const { queries } = attentionColumns(layers); // no fewer than of the keys
  const room = () => a.floats(rows * queries);
  return {
    index: { queries: a.floats(rows * layers.n_head), keys: a.floats(rows * layers.keyHeads) },
    gathered: dual(() => ({ from: room(), to: room() })),
  };
}

/** Fills the indices of `rows` rows. */
export function writeHeadRows(memory: Pick<KernelMemory, 'write'>, layers: Layers, { index }: HeadRows, rows: number): void {
  const all = layers.n_head + 2 * layers.keyHeads;
  for (const kind of KINDS) {
    const [heads, first] = [headsOf(layers, kind), kind === 'queries' ? 0 : layers.n_head];
    const at = (i: number) => Math.floor(i / heads) * all + first + (i % heads);
    memory.write(
      index[kind],
      Int32Array.from({ length: rows * heads }, (_, i) => at(i)),
    );
  }
}
