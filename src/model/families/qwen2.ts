/** Qwen2 and Qwen2.5: biases of queries, keys and values. */
import { z } from 'zod';
import { decoderConfig, decoderKeys, fullAttention, parseKeys } from './configJson';
import { decoder, decoderJson, type DecoderConfig } from './decoder';
import type { Family } from './family';

/** A Qwen2. */
export interface Qwen2Config extends DecoderConfig {
  readonly model_type: 'qwen2';
}

const schema = z.object({ ...decoderKeys, ...fullAttention });

export const qwen2: Family<Qwen2Config> = {
  title: 'Qwen2',
  parse(json) {
    const parsed = parseKeys(schema, json, 'Qwen2');
    return { config: { model_type: 'qwen2', ...decoderConfig(parsed) }, tied: parsed.tie_word_embeddings };
  },
  toJson: (config) => ({ architectures: ['Qwen2ForCausalLM'], ...decoderJson(config), use_sliding_window: false }),
  ...decoder(() => ({ biased: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'], headNorms: false })),
};
