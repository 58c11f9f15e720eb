/**
 * GPT-2 as a function of (params, ids), with Hugging Face names and an untied LM head; any size.
 *
 * Linear layers are GPT-2's "Conv1D": weight [in, out]. `lm_head.weight` is [vocab, hidden].
 */
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { embed, gelu, layerNorm, linear } from '../../tensor/ops';
import type { Params } from '../../tensor/params';
import type { RandomStream } from '../../tensor/random';
import { layers, parseKeys, positive, size } from './configJson';
import { requireDivides, type Family, type ModelShape, type ParsedConfig } from './family';
import type { Layers } from './layers';
import { attend, fillParams, lmHead, pastLength, splitHeads, type KvCache, type Trace, type Shapes } from './transformer';

/** A GPT-2. */
export interface Gpt2Config extends ModelShape {
  readonly model_type?: 'gpt2';
  readonly layer_norm_epsilon: number;
}

const schema = z.object({
  vocab_size: size,
  n_positions: size,
  n_embd: size,
  n_layer: layers,
  n_head: size,
  layer_norm_epsilon: positive.default(1e-5),
  n_inner: size.nullish(),
  activation_function: z.enum(['gelu_new', 'gelu_pytorch_tanh']).default('gelu_new'), // two names of one function
  scale_attn_weights: z.literal(true).default(true),
  scale_attn_by_inverse_layer_idx: z.literal(false).default(false),
  tie_word_embeddings: z.boolean().default(true),
});

function parse(json: unknown): ParsedConfig<Gpt2Config> {
  const { n_inner, tie_word_embeddings: tied, ...parsed } = parseKeys(schema, json, 'GPT-2');
  const { vocab_size, n_positions, n_embd, n_layer, n_head, layer_norm_epsilon } = parsed;
  requireDivides(['n_head', n_head], ['n_embd', n_embd]);
  if (n_inner && n_inner !== 4 * n_embd) throw new RangeError(`n_inner must be 4 · n_embd = ${4 * n_embd} (got ${n_inner})`);
  return { config: { vocab_size, n_positions, n_embd, n_layer, n_head, layer_norm_epsilon }, tied };
}

const toJson = (config: Gpt2Config): object => ({
  architectures: ['GPT2LMHeadModel'],
  ...config,
  model_type: 'gpt2',
  activation_function: 'gelu_new',
  ...{ attn_pdrop: 0, embd_pdrop: 0, resid_pdrop: 0 }, // transformers would train with a dropout of 0.1
});

/** Names and shapes of all parameters, in the order of the network. */
export function gpt2Shapes({ vocab_size: vocab, n_positions, n_embd: d, n_layer }: Gpt2Config): Shapes {
  const shapes: Shapes = { 'transformer.wte.weight': [vocab, d], 'transformer.wpe.weight': [n_positions, d] };
  for (let layer = 0; layer < n_layer; layer++) {
    const block: Shapes = {
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
export const initializeGpt2 = (config: Gpt2Config, random: RandomStream): Params =>
  fillParams(gpt2Shapes(config), (name) => {
    if (name.endsWith('.bias')) return () => 0;
    if (/ln_\w+\.weight$/.test(name)) return () => 1;
    return () => initialDeviation(name, config) * random.normal();
  });

/** Of which layer the attention is, and what it reads and leaves. */
type Attending = Parameters<typeof attend>[3];

function attentionBlock(x: tf.Tensor2D, batch: number, params: Params, heads: number, layer: Attending): tf.Tensor2D {
  const prefix = `transformer.h.${layer.index}.attn`;
  const [rows, d] = x.shape;
  const qkv = linear(x, params[`${prefix}.c_attn.weight`] as tf.Tensor2D, params[`${prefix}.c_attn.bias`]); // [batch·length, 3d]
  const part = (index: number): tf.Tensor4D => splitHeads(tf.slice(qkv, [0, index * d], [rows, d]), batch, heads);
  const joined = attend(part(0), part(1), part(2), layer); // [batch·length, d]
  return linear(joined, params[`${prefix}.c_proj.weight`] as tf.Tensor2D, params[`${prefix}.c_proj.bias`]);
}

function feedForward(x: tf.Tensor2D, params: Params, prefix: string): tf.Tensor2D {
  const hidden = gelu(linear(x, params[`${prefix}.c_fc.weight`] as tf.Tensor2D, params[`${prefix}.c_fc.bias`])); // [batch·length, 4d]
  return linear(hidden as tf.Tensor2D, params[`${prefix}.c_proj.weight`] as tf.Tensor2D, params[`${prefix}.c_proj.bias`]);
}

/**
 * Hidden states at every position, after the last norm, [batch · length, d].
 * @param ids - token ids, [batch, length]
 * @param cache - keys and values of earlier positions (sampling only); replaced by those including `ids`
 * @param trace - gets what every layer shows
 */
export function gpt2Hidden(
  params: Params,
  config: Gpt2Config,
  ids: Int32Array,
  batch: number,
  cache?: KvCache,
  trace?: Trace,
): tf.Tensor2D {
  const { n_embd: d, n_layer, n_head, layer_norm_epsilon: epsilon } = config;
  const length = ids.length / batch;
  const norm = (h: tf.Tensor, name: string): tf.Tensor2D =>
    layerNorm(h, params[`transformer.${name}.weight`], params[`transformer.${name}.bias`], epsilon) as tf.Tensor2D;

  const tokens = embed(ids, params['transformer.wte.weight'] as tf.Tensor2D); // [batch·length, d]
  const positions = tf.slice(params['transformer.wpe.weight'] as tf.Tensor2D, [pastLength(cache), 0], [length, d]); // [length, d]
  let x = tf.reshape(tf.add(tf.reshape(tokens, [batch, length, d]), positions), [batch * length, d]) as tf.Tensor2D;
  for (let layer = 0; layer < n_layer; layer++) {
    trace?.hidden.push(x);
    x = tf.add(x, attentionBlock(norm(x, `h.${layer}.ln_1`), batch, params, n_head, { cache, trace, index: layer }));
    x = tf.add(x, feedForward(norm(x, `h.${layer}.ln_2`), params, `transformer.h.${layer}.mlp`));
  }
  return norm(x, 'ln_f');
}

/** Logits after every position, [batch · length, vocab]; arguments as of {@link gpt2Hidden}. */
export const gpt2Logits = (params: Params, config: Gpt2Config, ids: Int32Array, batch: number): tf.Tensor2D =>
  lmHead(params, gpt2Hidden(params, config, ids, batch));

function gpt2Layers(config: Gpt2Config): Layers {
  const { n_embd, n_head, layer_norm_epsilon: epsilon } = config;
  requireDivides(['n_head', n_head], ['n_embd', n_embd]);
  return {
    ...config,
    shapes: gpt2Shapes(config),
    keyHeads: n_head,
    headWidth: n_embd / n_head,
    inner: 4 * n_embd,
    norm: { centre: true, epsilon },
    activation: 'gelu',
    transposed: false,
    tokens: 'transformer.wte.weight',
    positions: 'transformer.wpe.weight',
    blocks: 'transformer.h',
    norm1: 'ln_1',
    qkv: ['attn.c_attn'],
    projection: 'attn.c_proj',
    norm2: 'ln_2',
    expand: ['mlp.c_fc'],
    contract: 'mlp.c_proj',
    normF: 'transformer.ln_f',
  };
}

export const gpt2: Family<Gpt2Config> = {
  title: 'GPT-2',
  parse,
  toJson,
  shapes: gpt2Shapes,
  names: {
    prefix: 'transformer.',
    embeddings: ['transformer.wte.weight', 'transformer.wpe.weight'],
    constants: /(^|\.)h\.\d+\.attn\.(masked_)?bias$/, // causal masks
  },
  initialize: initializeGpt2,
  hidden: gpt2Hidden,
  fused: gpt2Layers,
};
