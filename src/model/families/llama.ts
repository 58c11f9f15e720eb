/** Llama 3.2 and earlier ones, and what is built like them (SmolLM2, TinyLlama). */
import { z } from 'zod';
import { decoderConfig, decoderKeys, parseKeys } from './configJson';
import { ATTENTION, decoder, decoderJson, FEED_FORWARD, type DecoderConfig } from './decoder';
import type { Family } from './family';

/** A Llama. */
export interface LlamaConfig extends DecoderConfig {
  readonly model_type: 'llama';
  /** Whether queries, keys, values and the attention's output have biases; false unless given. */
  readonly attention_bias?: boolean;
  /** Whether the linear layers of the feed-forward layer have biases; false unless given. */
  readonly mlp_bias?: boolean;
}

const schema = z.object({ ...decoderKeys, attention_bias: z.boolean().default(false), mlp_bias: z.boolean().default(false) });

export const llama: Family<LlamaConfig> = {
  title: 'Llama',
  parse(json) {
    const parsed = parseKeys(schema, json, 'Llama');
    const { attention_bias, mlp_bias, tie_word_embeddings: tied } = parsed;
    return { config: { model_type: 'llama', ...decoderConfig(parsed), attention_bias, mlp_bias }, tied };
  },
  toJson: ({ attention_bias = false, mlp_bias = false, ...config }) => ({
    architectures: ['LlamaForCausalLM'],
    ...decoderJson(config),
    attention_bias,
    mlp_bias,
  }),
  ...decoder(({ attention_bias, mlp_bias }) => ({
    biased: [...(attention_bias ? ATTENTION : []), ...(mlp_bias ? FEED_FORWARD : [])],
    headNorms: false,
  })),
};
