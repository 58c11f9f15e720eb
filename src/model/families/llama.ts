/**
 * Llama 3.2 (and earlier ones) as a function of (params, ids), with Hugging Face names and an untied LM head; any size.
 *
 * RMSNorm, rotary positions, grouped-query attention, SwiGLU, no biases. All matrices are PyTorch's, [out, in].
 */
import * as tf from '@tensorflow/tfjs-core';
import { embed, project, rmsNorm, silu } from '../../tensor/ops';
import type { Params } from '../../tensor/params';
import type { RandomStream } from '../../tensor/random';
import { rotaryTables, rotate, type RotaryTables } from './rotary';
import { attend, fillParams, pastLength, splitHeads, type KvCache, type Shapes } from '../tape/transformer';
import type { LlamaConfig } from '../types';

/** Names and shapes of all parameters, in the order of the network. */
export function llamaShapes(config: LlamaConfig): Shapes {
  const {
    vocab_size: vocab,
    n_embd: d,
    n_layer,
    n_head,
    num_key_value_heads,
    head_dim: width,
    intermediate_size: inner,
  } = config;
  const block: Shapes = {
    'input_layernorm.weight': [d],
    'self_attn.q_proj.weight': [n_head * width, d],
    'self_attn.k_proj.weight': [num_key_value_heads * width, d],
    'self_attn.v_proj.weight': [num_key_value_heads * width, d],
    'self_attn.o_proj.weight': [d, n_head * width],
    'post_attention_layernorm.weight': [d],
    'mlp.gate_proj.weight': [inner, d],
    'mlp.up_proj.weight': [inner, d],
    'mlp.down_proj.weight': [d, inner],
  };
  const shapes: Shapes = { 'model.embed_tokens.weight': [vocab, d] };
  for (let layer = 0; layer < n_layer; layer++)
    for (const [name, shape] of Object.entries(block)) shapes[`model.layers.${layer}.${name}`] = shape;
  return { ...shapes, 'model.norm.weight': [d], 'lm_head.weight': [vocab, d] };
}

/** Random initial parameters: normal with deviation 0.02, norms 1. */
export const initializeLlama = (config: LlamaConfig, random: RandomStream): Params =>
  fillParams(llamaShapes(config), (name) => (name.endsWith('norm.weight') ? () => 1 : () => 0.02 * random.normal()));

/** A layer among its parameters and those who share them. */
interface Layer {
  readonly params: Params;
  readonly config: LlamaConfig;
  readonly batch: number;
  readonly rotary: RotaryTables;
  readonly cache?: KvCache;
  readonly index: number;
}

function attentionBlock(x: tf.Tensor2D, { params, config, batch, rotary, cache, index }: Layer): tf.Tensor2D {
  const weight = (name: string): tf.Tensor => params[`model.layers.${index}.self_attn.${name}_proj.weight`];
  const heads = (name: string, count: number): tf.Tensor4D => splitHeads(project(x, weight(name)), batch, count);
  const query = rotate(heads('q', config.n_head), rotary); // [batch, heads, length, width]
  const key = rotate(heads('k', config.num_key_value_heads), rotary); // [batch, key heads, length, width]
  const value = heads('v', config.num_key_value_heads);
  return project(attend(query, key, value, cache, index), weight('o')); // [batch·length, d]
}

/** SwiGLU (arXiv 2002.05202): down(silu(gate(x)) ⊙ up(x)). */
function feedForward(x: tf.Tensor2D, { params, index }: Layer): tf.Tensor2D {
  const weight = (name: string): tf.Tensor => params[`model.layers.${index}.mlp.${name}_proj.weight`];
  const gated = tf.mul(silu(project(x, weight('gate'))), project(x, weight('up'))); // [batch·length, inner]
  return project(gated as tf.Tensor2D, weight('down'));
}

/**
 * Hidden states at every position, after the last norm, [batch · length, d].
 * @param ids - token ids, [batch, length]
 * @param cache - keys and values of earlier positions (sampling only); replaced by those including `ids`
 */
export function llamaHidden(params: Params, config: LlamaConfig, ids: Int32Array, batch: number, cache?: KvCache): tf.Tensor2D {
  const rotary = rotaryTables(config, pastLength(cache), ids.length / batch);
  const norm = (h: tf.Tensor, name: string): tf.Tensor2D =>
    rmsNorm(h, params[`model.${name}.weight`], config.rms_norm_eps) as tf.Tensor2D;
  let x = embed(ids, params['model.embed_tokens.weight'] as tf.Tensor2D); // [batch·length, d]
  for (let index = 0; index < config.n_layer; index++) {
    const layer = { params, config, batch, rotary, cache, index };
    x = tf.add(x, attentionBlock(norm(x, `layers.${index}.input_layernorm`), layer));
    x = tf.add(x, feedForward(norm(x, `layers.${index}.post_attention_layernorm`), layer));
  }
  return norm(x, 'norm');
}
