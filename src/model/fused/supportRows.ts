/** The support of rows of logits in a memory. */
import type { Arena, KernelMemory, Pointer } from '../../tensor/kernels/kernels';
import { isShared, type Support } from '../tokenSupport';

/** Bits of the tokens that may be predicted, `stride` words a row, or one row for all where that is 0. */
export interface SupportRows {
  readonly bits: Pointer;
  readonly stride: number;
}

/** Room for the support of `rows` rows. */
export const supportRows = (a: Arena, support: Support, rows: number): SupportRows =>
  isShared(support)
    ? { bits: a.floats(support.words), stride: 0 }
    : { bits: a.floats(rows * support.words), stride: support.words };

/** Writes the support of some positions, a row each. */
export function writeSupport(
  memory: KernelMemory,
  to: SupportRows,
  { bits, words }: Support,
  positions = new Int32Array(1),
): void {
  if (to.stride === 0) return memory.write(to.bits, bits);
  const rows = new Int32Array(positions.length * words);
  positions.forEach((position, row) => rows.set(bits.subarray(position * words, (position + 1) * words), row * words));
  memory.write(to.bits, rows);
}
