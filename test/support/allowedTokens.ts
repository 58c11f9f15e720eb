/** Supports as lists of the ids that are allowed, packed here, and what they make of a distribution, in float64. */
import type { Support } from '../../src/model/types';
import type { RandomStream } from '../../src/tensor/random';
import type { Values } from '../oracles/gpt2Float64';

/** Ids that are allowed, a list for every row. */
export type Allowed = readonly (readonly number[])[];

/** About half of the tokens of every row, and always `kept(row)`. */
export const randomAllowed = (random: RandomStream, rows: number, vocab: number, kept: (row: number) => number): Allowed =>
  Array.from({ length: rows }, (_, row) =>
    Array.from({ length: vocab }, (_, id) => id).filter((id) => id === kept(row) || random.integer(2) === 0),
  );

export function packed(allowed: Allowed, vocab: number): Support {
  const words = Math.ceil(vocab / 32);
  const bits = new Int32Array(allowed.length * words);
  allowed.forEach((ids, row) => ids.forEach((id) => (bits[row * words + Math.floor(id / 32)] += 2 ** (id % 32))));
  return { bits, words };
}

/** The ids that a support allows, a list for every row. */
export const unpacked = ({ bits, words }: Support, vocab: number): number[][] =>
  Array.from({ length: bits.length / words }, (_, row) =>
    Array.from({ length: vocab }, (_, id) => id).filter(
      (id) => Math.floor((bits[row * words + Math.floor(id / 32)] >>> 0) / 2 ** (id % 32)) % 2 === 1,
    ),
  );

/** Log-probabilities [rows, vocab], renormalised over the tokens that are allowed; −∞ for all others. */
export function renormalised(all: Values, vocab: number, allowed: Allowed): Float64Array {
  const result = new Float64Array(all.length).fill(-Infinity);
  allowed.forEach((ids, row) => {
    const total = ids.reduce((sum, id) => sum + Math.exp(all[row * vocab + id]), 0);
    for (const id of ids) result[row * vocab + id] = all[row * vocab + id] - Math.log(total);
  });
  return result;
}
