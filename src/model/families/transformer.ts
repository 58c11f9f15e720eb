/**
 * What all families share: the order of attention heads, the KV cache, the LM head, initial parameters.
 */
import * as tf from '@tensorflow/tfjs-core';
import { attentionWeights, causalMask, project } from '../../tensor/ops';
import type { Params } from '../../tensor/params';

/** The sizes every model has, under GPT-2's names for them in a Hugging Face `config.json`. */
export interface ModelShape {
  readonly vocab_size: number;
  /** Longest sequence, in tokens. */
  readonly n_positions: number;
  /** Width of the hidden states. */
  readonly n_embd: number;
  readonly n_layer: number;
  /** Attention heads (of queries, where keys have fewer). */
  readonly n_head: number;
}

/** Names and shapes of a model's parameters, in the order of the network. */
export type Shapes = Record<string, number[]>;

/** Keys and values of every layer so far, [batch, heads, positions, width] each; grows in place during sampling. */
export type KvCache = { key: tf.Tensor4D; value: tf.Tensor4D }[];

/** What a forward pass may show beside its result: a tensor a layer. */
export interface Trace {
  /** What goes into every block, [batch · length, width]. */
  readonly hidden: tf.Tensor2D[];
  /** How much every position attends to every other, [batch, heads, length, length]. */
  readonly attentions: tf.Tensor4D[];
}

/** Positions a cache holds. */
export const pastLength = (cache?: KvCache): number => cache?.[0]?.key.shape[2] ?? 0;

/** Rows [batch · length, heads · width] by head, [batch, heads, length, width]. */
export function splitHeads(x: tf.Tensor2D, batch: number, heads: number): tf.Tensor4D {
  const [rows, columns] = x.shape;
  return tf.transpose(tf.reshape(x, [batch, rows / batch, heads, columns / heads]), [0, 2, 1, 3]);
}

/**
 * Causal attention of new positions over those of the cache and themselves, [batch · length, heads · width].
 *
 * Grouped queries: a head of keys and values serves as many consecutive query heads as there are more of these.
 * @param query - [batch, heads, length, width]
 * @param key - [batch, key heads, length, width]
 * @param value - [batch, key heads, length, width]
 * @param layer - its number; in a cache its entry is replaced by one that includes `key` and `value`
 */
export function attend(
  query: tf.Tensor4D,
  key: tf.Tensor4D,
  value: tf.Tensor4D,
  { cache, trace, index: layer }: { readonly cache?: KvCache; readonly trace?: Trace; readonly index: number },
): tf.Tensor2D {
  const [batch, heads, length, width] = query.shape;
  const past = cache?.[layer];
  const [keys, values] = past ? [tf.concat([past.key, key], 2), tf.concat([past.value, value], 2)] : [key, value];
  if (cache) cache[layer] = { key: keys, value: values };
  const keyHeads = key.shape[1];
  const group = heads / keyHeads;
  const grouped = tf.reshape(query, [batch, keyHeads, group * length, width]) as tf.Tensor4D;
  const mask = tf.tile(causalMask(length, keys.shape[2]), [group, 1]); // [group · length, keys]
  const weights = attentionWeights(grouped, keys, mask); // [batch, key heads, group · length, keys]
  trace?.attentions.push(tf.reshape(weights, [batch, heads, length, keys.shape[2]]) as tf.Tensor4D);
  const mixed = tf.reshape(tf.matMul(weights, values), [batch, heads, length, width]);
  return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch * length, heads * width]);
}

/** Logits [rows, vocab] of hidden states [rows, n_embd]. */
export const lmHead = (params: Params, hidden: tf.Tensor2D): tf.Tensor2D => project(hidden, params['lm_head.weight']);

/** New parameters; `draw(name)` gives their values one by one. */
export function fillParams(shapes: Shapes, draw: (name: string) => () => number): Params {
  const values = (name: string, shape: number[]): Float32Array =>
    Float32Array.from({ length: tf.util.sizeFromShape(shape) }, draw(name));
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, tf.tensor(values(name, shape), shape)]));
}
