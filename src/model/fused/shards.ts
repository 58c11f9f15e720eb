/** Contiguous shares of a batch, one per worker. */
import { supportBetween } from '../tokenSupport';
import type { TokenBatch } from '../types';

/** `count` nearly equal ranges [from, to) of `size` examples. */
export const ranges = (size: number, count: number): [from: number, to: number][] =>
  Array.from({ length: count }, (_, i) => [Math.floor((size * i) / count), Math.floor((size * (i + 1)) / count)]);

/** Rows [from, to) of a [size, width] array, copied: a view would drag the whole array along to the worker. */
export const rowsOf = <A extends Float32Array | Int32Array>(array: A, width: number, from: number, to: number): A =>
  array.slice(from * width, to * width) as A;

export const batchPart = ({ ids, mask, length, support }: TokenBatch, from: number, to: number): TokenBatch => ({
  ...{ ids: rowsOf(ids, length + 1, from, to), mask: rowsOf(mask, length, from, to) },
  ...{ size: to - from, length, support: support && supportBetween(support, from * length, to * length) },
});
