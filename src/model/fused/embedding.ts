/**
 * Token plus position embedding: h = tokens[ids] + positions, the latter unless they are rotations. Linear in both tables, so every
 * function is the same kernel on other tables.
 */
import type { Pointer } from '../../tensor/kernels/kernels';
import type { Dual } from './dual';
import type { EmbeddingTables } from './layout';

import type { Microbatch } from './microbatch';

type Sizes = Pick<Microbatch, 'k' | 'rows' | 'length' | 'first' | 'layers'>;

/** h [rows, width] from ids [rows]. */
export function embeddingForward(s: Sizes, p: EmbeddingTables, ids: Pointer, h: Pointer): void {
  s.k.embeddingForward(s.rows, s.length, s.first, s.layers.n_embd, p.tokens, p.positions, ids, h);
}

/** Adds dh to the rows of the tables it came from. */
export function embeddingBackward(s: Sizes, gradient: EmbeddingTables, ids: Pointer, dh: Pointer): void {
  s.k.embeddingBackward(s.rows, s.length, s.layers.n_embd, dh, ids, gradient.tokens, gradient.positions);
}

/** (h, ḣ). */
export function embeddingTangent(s: Sizes, p: Dual<EmbeddingTables>, ids: Pointer, h: Dual<Pointer>): void {
  embeddingForward(s, p.value, ids, h.value);
  embeddingForward(s, p.dot, ids, h.dot);
}

/** The tables' tangent gradient from dḣ (dh has no part in it). */
export function embeddingTangentBackward(s: Sizes, gradientDot: EmbeddingTables, ids: Pointer, dhDot: Pointer): void {
  embeddingBackward(s, gradientDot, ids, dhDot);
}
