/** Qwen3 (dense models): every head of queries and keys is normalized; heads have a width of their own. */
import { z } from 'zod';
import { decoderConfig, decoderKeys, fullAttention, parseKeys, size } from './configJson';
import { ATTENTION, decoder, decoderJson, type DecoderConfig } from './decoder';
import type { Family } from './family';

/** A Qwen3. */
export interface Qwen3Config extends DecoderConfig {
  readonly model_type: 'qwen3';
  /** Whether queries, keys, values and the attention's output have biases; false unless given. */
  readonly attention_bias?: boolean;
}

const schema = z.object({
  ...decoderKeys,
  ...fullAttention,
  head_dim: size.default(128), // unlike its kin, not hidden_size / heads where the file says nothing
  attention_bias: z.boolean().default(false),
});

export const qwen3: Family<Qwen3Config> = {
  title: 'Qwen3',
  parse(json) {
    const parsed = parseKeys(schema, json, 'Qwen3');
    const { attention_bias, tie_word_embeddings: tied } = parsed;
    return { config: { model_type: 'qwen3', ...decoderConfig(parsed), attention_bias }, tied };
  },
  toJson: ({ attention_bias = false, ...config }) => ({
    architectures: ['Qwen3ForCausalLM'],
    ...decoderJson(config),
    attention_bias,
    use_sliding_window: false,
  }),
  ...decoder(({ attention_bias }) => ({ biased: attention_bias ? ATTENTION : [], headNorms: true })),
};
