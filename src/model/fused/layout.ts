/**
 * Where each parameter of a model lies in one flat array of floats, and as pointers once it stands in a memory.
 * Gradients and tangents have the same layout.
 */
import type { Pointer } from '../../tensor/kernels/kernels';
import type { Layers } from '../families/layers';
import type { Shapes } from '../families/transformer';

/** One tensor: its Hugging Face name, shape and first float. */
export interface Slot {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly size: number;
}

/** All tensors, one after the other, each starting at a multiple of 16 floats. */
export interface Layout {
  readonly slots: readonly Slot[];
  /** Number of floats, gaps included. */
  readonly length: number;
}

/** The layout of tensors in the order of their shapes. */
export function parameterLayout(shapes: Shapes): Layout {
  let offset = 0;
  const slots = Object.entries(shapes).map(([name, shape]) => {
    const slot = { name, shape, offset, size: shape.reduce((a, b) => a * b) };
    offset += Math.ceil(slot.size / 16) * 16;
    return slot;
  });
  return { slots, length: offset };
}

/** Weight and bias of a norm or of a part of a linear layer; 0 for one without bias. */
export interface Affine {
  readonly weight: Pointer;
  readonly bias: Pointer;
}

/** A linear layer of parts whose outputs stand side by side. */
export type Linear = readonly Affine[];

/** Norms of the heads of queries and of keys. */
export interface HeadNorms {
  readonly queries: Affine;
  readonly keys: Affine;
}

/** One transformer block. */
export interface BlockParameters {
  readonly norm1: Affine;
  readonly qkv: Linear;
  readonly headNorms: HeadNorms | null;
  readonly projection: Linear;
  readonly norm2: Affine;
  readonly expand: Linear;
  readonly contract: Linear;
}

/** The tables of the embedding; 0 for the positions where these are rotations. */
export interface EmbeddingTables {
  readonly tokens: Pointer;
  readonly positions: Pointer;
}

/** A whole model (or its gradient, or its tangent) in a memory. */
export interface ModelParameters extends EmbeddingTables {
  readonly blocks: readonly BlockParameters[];
  readonly normF: Affine;
  readonly head: Pointer;
}

/** The pointers of a model whose tensors lie where `place` says. */
export function parametersAt(layers: Layers, layout: Layout, place: (slot: Slot) => Pointer): ModelParameters {
  const places = new Map(layout.slots.map((slot) => [slot.name, place(slot)]));
  const at = (name: string): Pointer => places.get(name) ?? 0;
  const affine = (name: string): Affine => ({ weight: at(`${name}.weight`), bias: at(`${name}.bias`) });
  const block = (i: number): BlockParameters => {
    const own = (name: string): Affine => affine(`${layers.blocks}.${i}.${name}`);
    const [queries, keys] = layers.headNorms?.map(own) ?? [];
    return {
      norm1: own(layers.norm1),
      qkv: layers.qkv.map(own),
      headNorms: queries && keys ? { queries, keys } : null,
      projection: [own(layers.projection)],
      norm2: own(layers.norm2),
      expand: layers.expand.map(own),
      contract: [own(layers.contract)],
    };
  };
  return {
    tokens: at(layers.tokens),
    positions: layers.positions ? at(layers.positions) : 0,
    blocks: Array.from({ length: layers.n_layer }, (_, i) => block(i)),
    normF: affine(layers.normF),
    head: at('lm_head.weight'),
  };
}
