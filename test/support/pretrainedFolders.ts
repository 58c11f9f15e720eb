/**
 * Small models with random weights in folders as the hub has them: BF16 in shards with an index, a tied head, a byte-level BPE tokenizer.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parameterShapes } from '../../src/model/families';
import type { StoredTensor } from '../../src/model/hub/checkpoint';
import { fromBfloat16, toBfloat16 } from '../../src/files/halfFloats';
import { writeSafetensors } from '../../src/files/safetensors';
import type { Gpt2Config, LlamaConfig, ModelConfig } from '../../src/model/types';
import { randomStream } from '../../src/tensor/random';
import { runningText } from '../../src/text/prompts';
import { gpt2Tokenizer, llama3Tokenizer, type TokenizerJsonFiles } from './byteLevelTokenizer';

const corpus = runningText(randomStream(1, 'byte-level merges'), 60);

/** Two layers; the vocabulary is 256 bytes, 40 merges and the end of text. */
export const GPT2_FOLDER: Gpt2Config = {
  vocab_size: 297,
  n_positions: 48,
  n_embd: 24,
  n_layer: 2,
  n_head: 3,
  layer_norm_epsilon: 1e-5,
};

/** Two layers, four query heads for two of keys, llama3 rope scaling, a head width that is not hidden_size / heads. */
export const LLAMA_FOLDER: LlamaConfig = {
  model_type: 'llama',
  vocab_size: 302,
  n_positions: 512,
  n_embd: 24,
  n_layer: 2,
  n_head: 4,
  num_key_value_heads: 2,
  head_dim: 8,
  intermediate_size: 40,
  rms_norm_eps: 1e-5,
  rope_theta: 500_000,
  rope_scaling: { factor: 32, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 16 },
};

/** The numbers of a folder: BF16 values, under the names that the hub's files have. */
export type Weights = Record<string, StoredTensor>;

/** Values that BF16 holds exactly; norms around 1. */
function randomWeights(config: ModelConfig, seed: number): Weights {
  const random = randomStream(seed, 'pretrained folder');
  const entries = Object.entries(parameterShapes(config)).filter(([name]) => name !== 'lm_head.weight');
  return Object.fromEntries(
    entries.map(([name, shape]) => {
      const center = /(ln_\w+|norm)\.weight$/.test(name) ? 1 : 0;
      const size = shape.reduce((a, b) => a * b);
      const values = Float32Array.from({ length: size }, () => center + 0.25 * random.normal());
      return [name, { shape, data: fromBfloat16(toBfloat16(values)) }];
    }),
  );
}

function writeFolder(folder: string, config: object, weights: Weights, tokenizer: TokenizerJsonFiles): void {
  mkdirSync(folder, { recursive: true });
  const json = (name: string, content: unknown): void => writeFileSync(path.join(folder, name), JSON.stringify(content, null, 2));
  json('config.json', config);
  for (const [name, content] of Object.entries(tokenizer)) json(name, content);
  const names = Object.keys(weights);
  const shards = [names.slice(0, 7), names.slice(7)];
  const map: Record<string, string> = {};
  shards.forEach((part, i) => {
    const file = `model-0000${i + 1}-of-00002.safetensors`;
    const tensors = part.map((name) => [name, { ...weights[name], dtype: 'BF16' as const }]);
    writeSafetensors(path.join(folder, file), Object.fromEntries(tensors), { format: 'pt' });
    for (const name of part) map[name] = file;
  });
  json('model.safetensors.index.json', { metadata: { total_size: 1 }, weight_map: map });
}

/** A GPT-2 as on the hub, where names lack `transformer.` and causal masks are stored. @returns the model's parameters but the tied head */
export function writeGpt2Folder(folder: string, seed = 1): Weights {
  const weights = randomWeights(GPT2_FOLDER, seed);
  const stored = Object.fromEntries(Object.entries(weights).map(([name, x]) => [name.replace('transformer.', ''), x]));
  const mask = { shape: [1, 1, 2, 2], data: Float32Array.of(1, 0, 1, 1) };
  const config = { ...GPT2_FOLDER, model_type: 'gpt2', activation_function: 'gelu_new', n_ctx: 48, bos_token_id: 296 };
  writeFolder(folder, config, { ...stored, 'h.0.attn.bias': mask }, gpt2Tokenizer(corpus));
  return weights;
}

/** A Llama 3.2 as on the hub. @returns the model's parameters but the tied head */
export function writeLlamaFolder(folder: string, seed = 2): Weights {
  const weights = randomWeights(LLAMA_FOLDER, seed);
  const { n_embd, n_layer, n_head, n_positions, rope_scaling, ...others } = LLAMA_FOLDER;
  const config = {
    ...others,
    architectures: ['LlamaForCausalLM'],
    hidden_size: n_embd,
    num_hidden_layers: n_layer,
    num_attention_heads: n_head,
    max_position_embeddings: n_positions,
    hidden_act: 'silu',
    rope_scaling: { rope_type: 'llama3', ...rope_scaling },
    tie_word_embeddings: true,
    torch_dtype: 'bfloat16',
  };
  writeFolder(folder, config, weights, llama3Tokenizer(corpus));
  return weights;
}
