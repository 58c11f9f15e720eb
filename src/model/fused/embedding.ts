/**
 * Token plus position embedding: h = wte[ids] + wpe. Linear in both tables, so every function is the same kernel on other
 * tables.
 */
import type { Pointer } from '../../tensor/kernels/kernels';
import type { Microbatch } from './microbatch';

/** The two tables, their gradients or their tangents. */
export interface EmbeddingTables {
  readonly wte: Pointer;
  readonly wpe: Pointer;
}

/** h [rows, width] from ids [rows]; the first position is `first`. */
export function embeddingForward(
  { k, rows, length, width }: Microbatch,
  p: EmbeddingTables,
  ids: Pointer,
  h: Pointer,
  first = 0,
): void {
  k.embeddingForward(rows, length, first, width, p.wte, p.wpe, ids, h);
}

/** Adds dh to the rows of the tables it came from. */
export function embeddingBackward(
  { k, rows, length, width }: Microbatch,
  gradient: EmbeddingTables,
  ids: Pointer,
  dh: Pointer,
): void {
  k.embeddingBackward(rows, length, width, dh, ids, gradient.wte, gradient.wpe);
}

/** (h, ḣ). */
export function embeddingTangent(
  m: Microbatch,
  p: EmbeddingTables,
  pDot: EmbeddingTables,
  ids: Pointer,
  h: Pointer,
  hDot: Pointer,
): void {
  embeddingForward(m, p, ids, h);
  embeddingForward(m, pDot, ids, hDot);
}

/** The tables' tangent gradient from dḣ (dh has no part in it). */
export function embeddingTangentBackward(m: Microbatch, gradientDot: EmbeddingTables, ids: Pointer, dhDot: Pointer): void {
  embeddingBackward(m, gradientDot, ids, dhDot);
}
