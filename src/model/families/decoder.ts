/**
 * The decoder that Llama, Qwen2 and Qwen3 share: RMSNorm, rotary positions, grouped-query attention, SwiGLU; an untied LM head, any size.
 * They differ in which linear layers have biases, and in whether queries and keys are normalized. All matrices are PyTorch's, [out, in].
 */
import * as tf from '@tensorflow/tfjs-core';
import { embed, project, rmsNorm, silu } from '../../tensor/ops';
import type { Params } from '../../tensor/params';
import type { Family, ModelShape } from './family';
import type { Layers } from './layers';
import { ropeToJson, rotaryFrequencies, rotaryTables, rotate, type Rope, type RotaryTables } from './rotary';
import { attend, fillParams, pastLength, splitHeads, type KvCache, type Shapes, type Trace } from './transformer';

/** Beside the common sizes, the key names of these families' `config.json`. */
export interface DecoderConfig extends ModelShape, Rope {
  readonly model_type: string;
  /** Heads of keys and values; each serves n_head / num_key_value_heads consecutive query heads. */
  readonly num_key_value_heads: number;
  /** Width of the feed-forward layer. */
  readonly intermediate_size: number;
  readonly rms_norm_eps: number;
}

/** The linear layers of attention and feed-forward layer. */
export const ATTENTION = ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj'] as const;
export const FEED_FORWARD = ['mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj'] as const;
type LinearLayer = (typeof ATTENTION)[number] | (typeof FEED_FORWARD)[number];

/** What sets a family, or a model within it, apart. */
export interface Traits {
  /** The linear layers with a bias. */
  readonly biased: readonly LinearLayer[];
  /** Whether every head of queries and keys is normalized before it is rotated. */
  readonly headNorms: boolean;
}

/** The content of a `config.json`, without what a family adds. */
export const decoderJson = ({ n_positions, n_embd, n_layer, n_head, rope_scaling, ...others }: DecoderConfig): object => ({
  ...others,
  max_position_embeddings: n_positions,
  hidden_size: n_embd,
  num_hidden_layers: n_layer,
  num_attention_heads: n_head,
  hidden_act: 'silu',
  rope_scaling: ropeToJson(rope_scaling),
});

/** Columns in and out of every linear layer. */
function linearSizes(config: DecoderConfig): Record<LinearLayer, [inputs: number, outputs: number]> {
  const { n_embd: d, n_head, num_key_value_heads, head_dim, intermediate_size: inner } = config;
  const [queries, keys] = [n_head * head_dim, num_key_value_heads * head_dim];
  return {
    'self_attn.q_proj': [d, queries],
    'self_attn.k_proj': [d, keys],
    'self_attn.v_proj': [d, keys],
    'self_attn.o_proj': [queries, d],
    'mlp.gate_proj': [d, inner],
    'mlp.up_proj': [d, inner],
    'mlp.down_proj': [inner, d],
  };
}

function decoderShapes(config: DecoderConfig, { biased, headNorms }: Traits): Shapes {
  const { vocab_size: vocab, n_embd: d, n_layer, head_dim } = config;
  const sizes = linearSizes(config);
  const linear = (name: LinearLayer): Shapes => {
    const [inputs, outputs] = sizes[name];
    return { [`${name}.weight`]: [outputs, inputs], ...(biased.includes(name) && { [`${name}.bias`]: [outputs] }) };
  };
  const all = (names: readonly LinearLayer[]): Shapes => Object.assign({}, ...names.map(linear)) as Shapes;
  const block: Shapes = {
    'input_layernorm.weight': [d],
    ...all(ATTENTION),
    ...(headNorms && { 'self_attn.q_norm.weight': [head_dim], 'self_attn.k_norm.weight': [head_dim] }),
    'post_attention_layernorm.weight': [d],
    ...all(FEED_FORWARD),
  };
  const shapes: Shapes = { 'model.embed_tokens.weight': [vocab, d] };
  for (let layer = 0; layer < n_layer; layer++)
    for (const [name, shape] of Object.entries(block)) shapes[`model.layers.${layer}.${name}`] = shape;
  return { ...shapes, 'model.norm.weight': [d], 'lm_head.weight': [vocab, d] };
}

/** A layer among its parameters and those who share them. */
interface Layer {
  readonly params: Params;
  readonly config: DecoderConfig;
  readonly traits: Traits;
  readonly batch: number;
  readonly rotary: RotaryTables;
  readonly cache?: KvCache;
  readonly trace?: Trace;
  readonly index: number;
}

function linear(x: tf.Tensor2D, name: LinearLayer, { params, traits, index }: Layer): tf.Tensor2D {
  const y = project(x, params[`model.layers.${index}.${name}.weight`]);
  return traits.biased.includes(name) ? tf.add(y, params[`model.layers.${index}.${name}.bias`]) : y;
}

function attentionBlock(x: tf.Tensor2D, layer: Layer): tf.Tensor2D {
  const { params, config, traits, batch, rotary, index } = layer;
  const heads = (name: 'q' | 'k' | 'v', count: number) => splitHeads(linear(x, `self_attn.${name}_proj`, layer), batch, count);
  const turned = (name: 'q' | 'k', count: number): tf.Tensor4D => {
    const gain = params[`model.layers.${index}.self_attn.${name}_norm.weight`];
    const plain = heads(name, count);
    return rotate(traits.headNorms ? (rmsNorm(plain, gain, config.rms_norm_eps) as tf.Tensor4D) : plain, rotary);
  };
  const query = turned('q', config.n_head); // [batch, heads, length, head_dim]
  const key = turned('k', config.num_key_value_heads); // [batch, key heads, length, head_dim]
  const value = heads('v', config.num_key_value_heads);
  return linear(attend(query, key, value, layer), 'self_attn.o_proj', layer); // [batch·length, d]
}

/** SwiGLU (arXiv 2002.05202): down(silu(gate(x)) ⊙ up(x)). */
function feedForward(x: tf.Tensor2D, layer: Layer): tf.Tensor2D {
  const gated = tf.mul(silu(linear(x, 'mlp.gate_proj', layer)), linear(x, 'mlp.up_proj', layer)); // [batch·length, inner]
  return linear(gated as tf.Tensor2D, 'mlp.down_proj', layer);
}

const decoderLayers = (config: DecoderConfig, traits: Traits): Layers => ({
  ...config,
  shapes: decoderShapes(config, traits),
  keyHeads: config.num_key_value_heads,
  headWidth: config.head_dim,
  inner: config.intermediate_size,
  norm: { centre: false, epsilon: config.rms_norm_eps },
  activation: 'swiglu',
  transposed: true,
  rotary: rotaryFrequencies(config),
  tokens: 'model.embed_tokens.weight',
  blocks: 'model.layers',
  norm1: 'input_layernorm',
  qkv: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
  ...(traits.headNorms && { headNorms: ['self_attn.q_norm', 'self_attn.k_norm'] }),
  projection: 'self_attn.o_proj',
  norm2: 'post_attention_layernorm',
  expand: ['mlp.gate_proj', 'mlp.up_proj'],
  contract: 'mlp.down_proj',
  normF: 'model.norm',
});

/** What a family with these traits is, but for its name and its keys. */
export const decoder = <C extends DecoderConfig>(
  traitsOf: (config: C) => Traits,
): Pick<Family<C>, 'shapes' | 'names' | 'initialize' | 'hidden' | 'fused'> => ({
  shapes: (config) => decoderShapes(config, traitsOf(config)),
  names: {
    prefix: 'model.',
    embeddings: ['model.embed_tokens.weight'],
    constants: /\.rotary_emb\.inv_freq$/,
  },
  initialize: (config, random) =>
    fillParams(decoderShapes(config, traitsOf(config)), (name) => {
      if (name.endsWith('.bias')) return () => 0;
      return name.endsWith('norm.weight') ? () => 1 : () => 0.02 * random.normal();
    }),
  hidden(params, config, ids, batch, cache, trace) {
    const [rotary, traits] = [rotaryTables(config, pastLength(cache), ids.length / batch), traitsOf(config)];
    const norm = (h: tf.Tensor, name: string): tf.Tensor2D =>
      rmsNorm(h, params[`model.${name}.weight`], config.rms_norm_eps) as tf.Tensor2D;
    let x = embed(ids, params['model.embed_tokens.weight'] as tf.Tensor2D); // [batch·length, d]
    for (let index = 0; index < config.n_layer; index++) {
      const layer = { params, config, traits, batch, rotary, cache, trace, index };
      trace?.hidden.push(x);
      x = tf.add(x, attentionBlock(norm(x, `layers.${index}.input_layernorm`), layer));
      x = tf.add(x, feedForward(norm(x, `layers.${index}.post_attention_layernorm`), layer));
    }
    return norm(x, 'norm');
  },
  fused: (config) => decoderLayers(config, traitsOf(config)),
});
