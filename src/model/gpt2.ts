/**
 * GPT-2 as a function of (params, ids), with Hugging Face names and an untied LM head; any size.
 *
 * Linear layers are GPT-2's "Conv1D": weight [in, out]. `lm_head.weight` is [vocab, hidden].
 */
import * as tf from '@tensorflow/tfjs';
import { attention, causalMask, embed, gelu, layerNorm, linear, oneHotRows } from '../tensor/ops';
import type { Params } from '../tensor/params';
import type { RandomStream } from '../tensor/random';
import type { Gpt2Config } from './types';

/** Names and shapes of all parameters, in the order of the network. */
export function gpt2Shapes({ vocab_size: vocab, n_positions, n_embd: d, n_layer }: Gpt2Config): Record<string, number[]> {
  const shapes: Record<string, number[]> = { 'transformer.wte.weight': [vocab, d], 'transformer.wpe.weight': [n_positions, d] };
  for (let layer = 0; layer < n_layer; layer++) {
    const block: Record<string, number[]> = {
      'ln_1.weight': [d],
      'ln_1.bias': [d],
      'attn.c_attn.weight': [d, 3 * d],
      'attn.c_attn.bias': [3 * d],
      'attn.c_proj.weight': [d, d],
      'attn.c_proj.bias': [d],
      'ln_2.weight': [d],
      'ln_2.bias': [d],
      'mlp.c_fc.weight': [d, 4 * d],
      'mlp.c_fc.bias': [4 * d],
      'mlp.c_proj.weight': [4 * d, d],
      'mlp.c_proj.bias': [d],
    };
    for (const [name, shape] of Object.entries(block)) shapes[`transformer.h.${layer}.${name}`] = shape;
  }
  return { ...shapes, 'transformer.ln_f.weight': [d], 'transformer.ln_f.bias': [d], 'lm_head.weight': [vocab, d] };
}

/** Standard deviation of the initial weights of one parameter (GPT-2's: 0.02, residual projections scaled by 1/√(2·layers)). */
function initialDeviation(name: string, config: Gpt2Config): number {
  if (name.endsWith('c_proj.weight')) return 0.02 / Math.sqrt(2 * config.n_layer);
  return name.endsWith('wpe.weight') ? 0.01 : 0.02;
}

/** Random initial parameters. */
export function initializeGpt2(config: Gpt2Config, random: RandomStream): Params {
  const values = (name: string, size: number): Float32Array => {
    if (name.endsWith('.bias')) return new Float32Array(size);
    if (/ln_\w+\.weight$/.test(name)) return new Float32Array(size).fill(1);
    return Float32Array.from({ length: size }, () => initialDeviation(name, config) * random.normal());
  };
  const entries = Object.entries(gpt2Shapes(config));
  return Object.fromEntries(
    entries.map(([name, shape]) => [
      name,
      tf.tensor(
        values(
          name,
          shape.reduce((a, b) => a * b),
        ),
        shape,
      ),
    ]),
  );
}

/** Keys and values of every layer so far, [batch, heads, positions, width] each; grows in place during sampling. */
export type KvCache = { key: tf.Tensor4D; value: tf.Tensor4D }[];

function attentionBlock(
  x: tf.Tensor2D,
  batch: number,
  params: Params,
  prefix: string,
  heads: number,
  cache?: KvCache,
  layer = 0,
): tf.Tensor2D {
  const [rows, d] = x.shape;
  const length = rows / batch;
  const qkv = linear(x, params[`${prefix}.c_attn.weight`] as tf.Tensor2D, params[`${prefix}.c_attn.bias`]); // [batch·length, 3d]
  const split = (part: number): tf.Tensor4D => {
    const columns = tf.slice(qkv, [0, part * d], [rows, d]);
    return tf.transpose(tf.reshape(columns, [batch, length, heads, d / heads]), [0, 2, 1, 3]); // [batch, heads, length, width]
  };
  let [key, value] = [split(1), split(2)];
  if (cache?.[layer]) [key, value] = [tf.concat([cache[layer].key, key], 2), tf.concat([cache[layer].value, value], 2)];
  if (cache) cache[layer] = { key, value };
  const mixed = attention(split(0), key, value, causalMask(length, key.shape[2]));
  const joined = tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [rows, d]) as tf.Tensor2D; // [batch·length, d]
  return linear(joined, params[`${prefix}.c_proj.weight`] as tf.Tensor2D, params[`${prefix}.c_proj.bias`]);
}

function feedForward(x: tf.Tensor2D, params: Params, prefix: string): tf.Tensor2D {
  const hidden = gelu(linear(x, params[`${prefix}.c_fc.weight`] as tf.Tensor2D, params[`${prefix}.c_fc.bias`])); // [batch·length, 4d]
  return linear(hidden as tf.Tensor2D, params[`${prefix}.c_proj.weight`] as tf.Tensor2D, params[`${prefix}.c_proj.bias`]);
}

/**
 * Logits after every position, [batch · length, vocab].
 * @param ids - token ids, [batch, length]
 * @param cache - keys and values of earlier positions (sampling only); replaced by those including `ids`
 */
export function gpt2Logits(params: Params, config: Gpt2Config, ids: Int32Array, batch: number, cache?: KvCache): tf.Tensor2D {
  const length = ids.length / batch;
  const past = cache?.[0]?.key.shape[2] ?? 0;
  const epsilon = config.layer_norm_epsilon;
  const norm = (h: tf.Tensor, name: string): tf.Tensor2D =>
    layerNorm(h, params[`transformer.${name}.weight`], params[`transformer.${name}.bias`], epsilon) as tf.Tensor2D;

  const tokens = embed(oneHotRows(ids, config.vocab_size), params['transformer.wte.weight'] as tf.Tensor2D); // [batch·length, d]
  const positions = tf.slice(params['transformer.wpe.weight'] as tf.Tensor2D, [past, 0], [length, config.n_embd]); // [length, d]
  let x = tf.reshape(tf.add(tf.reshape(tokens, [batch, length, config.n_embd]), positions), [
    batch * length,
    config.n_embd,
  ]) as tf.Tensor2D;
  for (let layer = 0; layer < config.n_layer; layer++) {
    const block = `transformer.h.${layer}`;
    x = tf.add(x, attentionBlock(norm(x, `h.${layer}.ln_1`), batch, params, `${block}.attn`, config.n_head, cache, layer));
    x = tf.add(x, feedForward(norm(x, `h.${layer}.ln_2`), params, `${block}.mlp`));
  }
  return tf.matMul(norm(x, 'ln_f'), params['lm_head.weight'] as tf.Tensor2D, false, true);
}
