/**
 * Where each parameter of a GPT-2 lies in one flat array of floats, and as pointers once that array stands in a worker's memory.
 * Gradients and tangents have the same layout.
 */
import type { Pointer } from '../../tensor/kernels/kernels';
import type { Gpt2Config } from '../types';

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

/** The layout of a GPT-2 with an untied LM head. */
export function parameterLayout(config: Gpt2Config): Layout {
  let offset = 0;
  const slots: Slot[] = [];
  const tensor = (name: string, ...shape: number[]) => {
    const size = shape.reduce((a, b) => a * b);
    slots.push({ name, shape, offset, size });
    offset += Math.ceil(size / 16) * 16;
  };
  const affine = (name: string, shape: number[]) => {
    tensor(`${name}.weight`, ...shape);
    tensor(`${name}.bias`, shape[shape.length - 1]);
  };
  const d = config.n_embd;
  tensor('transformer.wte.weight', config.vocab_size, d);
  tensor('transformer.wpe.weight', config.n_positions, d);
  for (let i = 0; i < config.n_layer; i++) {
    const block = `transformer.h.${i}`;
    affine(`${block}.ln_1`, [d]);
    affine(`${block}.attn.c_attn`, [d, 3 * d]);
    affine(`${block}.attn.c_proj`, [d, d]);
    affine(`${block}.ln_2`, [d]);
    affine(`${block}.mlp.c_fc`, [d, 4 * d]);
    affine(`${block}.mlp.c_proj`, [4 * d, d]);
  }
  affine('transformer.ln_f', [d]);
  tensor('lm_head.weight', config.vocab_size, d);
  return { slots, length: offset };
}

/** Weight and bias of a linear layer or a layer norm. */
export interface Affine {
  readonly weight: Pointer;
  readonly bias: Pointer;
}

/** One transformer block. */
export interface BlockParameters {
  readonly norm1: Affine;
  readonly qkv: Affine;
  readonly projection: Affine;
  readonly norm2: Affine;
  readonly expand: Affine;
  readonly contract: Affine;
}

/** A whole model (or its gradient, or its tangent) in a worker's memory. */
export interface Gpt2Parameters {
  readonly wte: Pointer;
  readonly wpe: Pointer;
  readonly blocks: readonly BlockParameters[];
  readonly normF: Affine;
  readonly head: Pointer;
}

/** The pointers of a model whose flat array begins at `base`. */
export function parametersAt(config: Gpt2Config, layout: Layout, base: Pointer): Gpt2Parameters {
  const offsets = new Map(layout.slots.map(({ name, offset }) => [name, base + 4 * offset]));
  const at = (name: string) => offsets.get(name)!;
  const affine = (name: string): Affine => ({ weight: at(`${name}.weight`), bias: at(`${name}.bias`) });
  const block = (i: number): BlockParameters => ({
    norm1: affine(`transformer.h.${i}.ln_1`),
    qkv: affine(`transformer.h.${i}.attn.c_attn`),
    projection: affine(`transformer.h.${i}.attn.c_proj`),
    norm2: affine(`transformer.h.${i}.ln_2`),
    expand: affine(`transformer.h.${i}.mlp.c_fc`),
    contract: affine(`transformer.h.${i}.mlp.c_proj`),
  });
  return {
    wte: at('transformer.wte.weight'),
    wpe: at('transformer.wpe.weight'),
    blocks: Array.from({ length: config.n_layer }, (_, i) => block(i)),
    normF: affine('transformer.ln_f'),
    head: at('lm_head.weight'),
  };
}
