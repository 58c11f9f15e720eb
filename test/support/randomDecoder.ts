/** Small models of the families around Llama with random weights, as float64 for the oracle and as tensors for the engines. */
import * as tf from '@tensorflow/tfjs-core';
import { parameterShapes } from '../../src/model/families';
import type { LlamaConfig, ModelConfig, Qwen2Config, Qwen3Config } from '../../src/model/types';
import type { Params } from '../../src/tensor/params';
import type { RandomStream } from '../../src/tensor/random';
import type { NamedValues } from '../oracles/gpt2Float64';

/** Grouped queries, heads that are not n_embd / n_head wide, and rope scaling that keeps, mixes and stretches one frequency at least. */
export const TINY_LLAMA: LlamaConfig = {
  model_type: 'llama',
  vocab_size: 13,
  n_positions: 32,
  n_embd: 10,
  n_layer: 2,
  n_head: 4,
  num_key_value_heads: 2,
  head_dim: 6,
  intermediate_size: 14,
  rms_norm_eps: 1e-5,
  rope_theta: 300,
  rope_scaling: { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 },
  attention_bias: false,
  mlp_bias: false,
};

const { attention_bias: _, mlp_bias: __, ...sizes } = TINY_LLAMA;

/** Biases of all linear layers. */
export const TINY_BIASED_LLAMA: LlamaConfig = { ...TINY_LLAMA, attention_bias: true, mlp_bias: true };

/** One head of keys, no rope scaling. */
export const TINY_QWEN2: Qwen2Config = { ...sizes, model_type: 'qwen2', num_key_value_heads: 1, rope_scaling: null };

export const TINY_QWEN3: Qwen3Config = {
  ...sizes,
  model_type: 'qwen3',
  n_head: 3,
  num_key_value_heads: 3,
  attention_bias: false,
};

/** Float32-representable normal numbers under every parameter's name; norm weights around `center`. */
export function randomDecoderValues(config: ModelConfig, random: RandomStream, scale: number, center = 1): NamedValues {
  return Object.fromEntries(
    Object.entries(parameterShapes(config)).map(([name, shape]) => {
      const offset = name.endsWith('norm.weight') ? center : 0;
      const values = { length: tf.util.sizeFromShape(shape) };
      return [name, Float64Array.from(values, () => Math.fround(offset + scale * random.normal()))];
    }),
  );
}

/** The values as tensors of the current backend. */
export const decoderParams = (config: ModelConfig, values: NamedValues): Params =>
  Object.fromEntries(
    Object.entries(parameterShapes(config)).map(([name, shape]) => [name, tf.tensor(Float32Array.from(values[name]), shape)]),
  );
