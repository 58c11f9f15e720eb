/** What the fused engine composes a model of: plain data, as it travels to worker threads. */
import type { ModelShape, Shapes } from './transformer';

/** The layers of a pre-norm decoder and what its tensors are called; `.weight` and `.bias` are appended where a module has both. */
export interface Layers extends ModelShape {
  readonly shapes: Shapes;
  /** Heads of keys and values; each serves n_head / keyHeads consecutive heads of queries. */
  readonly keyHeads: number;
  readonly headWidth: number;
  /** Width of the feed-forward layer. */
  readonly inner: number;
  /** Layer norm, or where the mean is not subtracted (`centre`) RMSNorm. */
  readonly norm: { readonly centre: boolean; readonly epsilon: number };
  readonly activation: 'gelu' | 'swiglu';
  /** Whether matrices are PyTorch's, [out, in], or like GPT-2's [in, out]. */
  readonly transposed: boolean;
  /** Radians per position of every pair of a head's dimensions, where positions are rotations. */
  readonly rotary?: readonly number[];
  /** Table of tokens. */
  readonly tokens: string;
  /** Table of positions, where they are learned. */
  readonly positions?: string;
  /** What the names of the blocks' modules begin with, before the block's number. */
  readonly blocks: string;
  readonly norm1: string;
  /** Modules whose outputs stand side by side: queries, keys, values. */
  readonly qkv: readonly string[];
  /** Norms of every head of queries and of keys. */
  readonly headNorms?: readonly [string, string];
  readonly projection: string;
  readonly norm2: string;
  /** Modules whose outputs stand side by side, as the activation takes them. */
  readonly expand: readonly string[];
  readonly contract: string;
  readonly normF: string;
}
