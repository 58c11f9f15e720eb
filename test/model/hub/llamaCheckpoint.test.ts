/** Folders of Llama models: what is read, what is refused, what is written. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadCheckpoint, saveCheckpoint, type Checkpoint } from '../../../src/model/hub/checkpoint';
import { fromBfloat16, toBfloat16 } from '../../../src/files/halfFloats';
import { parameterShapes, parseModelConfig } from '../../../src/model/families';
import { writeSafetensors } from '../../../src/files/safetensors';
import { randomStream } from '../../../src/tensor/random';
import { randomDecoderValues, TINY_LLAMA } from '../../support/randomDecoder';

/** As in meta-llama/Llama-3.2-1B. */
const LLAMA_32 = {
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  attention_dropout: 0.0,
  bos_token_id: 128000,
  eos_token_id: 128001,
  head_dim: 64,
  hidden_act: 'silu',
  hidden_size: 2048,
  initializer_range: 0.02,
  intermediate_size: 8192,
  max_position_embeddings: 131072,
  mlp_bias: false,
  model_type: 'llama',
  num_attention_heads: 32,
  num_hidden_layers: 16,
  num_key_value_heads: 8,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_scaling: {
    factor: 32.0,
    high_freq_factor: 4.0,
    low_freq_factor: 1.0,
    original_max_position_embeddings: 8192,
    rope_type: 'llama3',
  },
  rope_theta: 500000.0,
  tie_word_embeddings: true,
  torch_dtype: 'bfloat16',
  transformers_version: '4.45.0.dev0',
  use_cache: true,
  vocab_size: 128256,
};

describe('config.json', () => {
  const parsed = parseModelConfig(LLAMA_32);

  it('of Llama 3.2 1B', () => {
    expect(parsed).toEqual({
      tied: true,
      config: {
        model_type: 'llama',
        vocab_size: 128256,
        n_positions: 131072,
        n_embd: 2048,
        n_layer: 16,
        n_head: 32,
        num_key_value_heads: 8,
        head_dim: 64,
        intermediate_size: 8192,
        rms_norm_eps: 1e-5,
        rope_theta: 500000,
        rope_scaling: { factor: 32, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 },
        attention_bias: false,
        mlp_bias: false,
      },
    });
  });

  it('reads the rotary settings wherever versions of transformers put them', () => {
    const { rope_scaling, rope_theta, ...others } = LLAMA_32;
    const { rope_type, ...factors } = rope_scaling;
    expect(parseModelConfig({ ...others, rope_parameters: { ...rope_scaling, rope_theta } })).toEqual(parsed);
    expect(parseModelConfig({ ...others, rope_theta, rope_scaling: { ...factors, type: rope_type } })).toEqual(parsed);
    const plain = { ...parsed.config, rope_scaling: null };
    for (const none of [null, undefined, { rope_type: 'default' }])
      expect(parseModelConfig({ ...others, rope_theta, rope_scaling: none }).config).toEqual(plain);
    expect(parseModelConfig(others).config).toEqual({ ...plain, rope_theta: 10000 });
  });

  it('takes a key head per query head and their width from the rest where it says nothing', () => {
    const { num_key_value_heads: _, head_dim: __, ...others } = LLAMA_32;
    expect(parseModelConfig({ ...others, num_attention_heads: 16 }).config).toMatchObject({
      n_head: 16,
      num_key_value_heads: 16,
      head_dim: 128,
    });
  });

  it.each([
    [{ num_key_value_heads: 5 }, 'num_key_value_heads must divide num_attention_heads (got 5 and 32)'],
    [{ head_dim: null, num_attention_heads: 24 }, 'num_attention_heads must divide hidden_size (got 24 and 2048)'],
    [{ head_dim: 63 }, 'head_dim must be even for rotary embeddings (got 63)'],
    [{ hidden_act: 'gelu' }, 'this Llama cannot be run: hidden_act: expected "silu" (got "gelu")'],
    [{ mlp_bias: 1 }, 'this Llama cannot be run: mlp_bias: expected boolean (got 1)'],
    [{ num_hidden_layers: undefined }, 'this Llama cannot be run: num_hidden_layers: expected number (missing)'],
    [
      { rope_scaling: { rope_type: 'yarn', factor: 4 } },
      'this Llama cannot be run: rope_scaling.rope_type: expected rope_type "llama3" or "default" (got "yarn")',
    ],
    [
      { rope_scaling: { type: 'linear', factor: 4 } },
      /rope_scaling\.rope_type: expected rope_type "llama3" or "default" \(got .*linear/,
    ],
    [{ rope_scaling: { ...LLAMA_32.rope_scaling, factor: 0 } }, /^this Llama cannot be run: rope_scaling\.factor: .*\(got 0\)$/],
  ])('with %j is refused in one line', (change, message) => {
    expect(() => parseModelConfig({ ...LLAMA_32, ...change })).toThrow(
      typeof message === 'string' ? new RangeError(message) : message,
    );
  });
});

describe('a folder', () => {
  const values = randomDecoderValues(TINY_LLAMA, randomStream(3, 'llama folder'), 0.3);
  const checkpoint: Checkpoint = {
    config: TINY_LLAMA,
    params: Object.fromEntries(
      Object.entries(parameterShapes(TINY_LLAMA)).map(([name, shape]) => [
        name,
        { shape, data: Float32Array.from(values[name]) },
      ]),
    ),
  };
  const rounded = (data: Float32Array): Float32Array => fromBfloat16(toBfloat16(data));

  let place: string;
  beforeEach(() => (place = fs.mkdtempSync(join(tmpdir(), 'llama-'))));
  afterEach(() => fs.rmSync(place, { recursive: true }));

  it.each([TINY_LLAMA.rope_scaling, null])('comes back bit by bit, rope scaling %j', async (rope_scaling) => {
    const saved = { ...checkpoint, config: { ...TINY_LLAMA, rope_scaling } };
    await saveCheckpoint(join(place, 'saved'), saved, { beginOfText: 1, endOfText: 2 });
    expect(loadCheckpoint(join(place, 'saved'))).toEqual(saved);
    const json = JSON.parse(fs.readFileSync(join(place, 'saved', 'config.json'), 'utf8')) as object;
    expect(json).toMatchObject({
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      hidden_size: 10,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      max_position_embeddings: 32,
      rope_theta: 300,
      rope_scaling: rope_scaling && { rope_type: 'llama3', factor: 8 },
      tie_word_embeddings: false,
      bos_token_id: 1,
      eos_token_id: 2,
    });
    expect(json).not.toHaveProperty('n_embd');
  });

  it('is written in bfloat16 on demand', async () => {
    await saveCheckpoint(join(place, 'saved'), checkpoint, { dtype: 'BF16' });
    const { params } = loadCheckpoint(join(place, 'saved'));
    for (const [name, { data }] of Object.entries(checkpoint.params)) expect(params[name].data).toEqual(rounded(data));
    expect(params['lm_head.weight'].data).not.toEqual(checkpoint.params['lm_head.weight'].data);
  });

  it('of bfloat16 shards without a head, prefix or constants of old versions has its head untied', async () => {
    await saveCheckpoint(join(place, 'saved'), checkpoint);
    const folder = join(place, 'shards');
    fs.mkdirSync(folder);
    const config = JSON.parse(fs.readFileSync(join(place, 'saved', 'config.json'), 'utf8')) as object;
    fs.writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, tie_word_embeddings: true }));
    const stored = Object.entries(checkpoint.params).filter(([name]) => name !== 'lm_head.weight');
    const constant = ['layers.0.self_attn.rotary_emb.inv_freq', { shape: [3], data: Float32Array.of(1, 2, 3) }] as const;
    const weight_map: Record<string, string> = {};
    [stored.slice(0, 5), [...stored.slice(5), constant]].forEach((part, i) => {
      const file = `model-0000${i + 1}-of-00002.safetensors`;
      const tensors = part.map(([name, x]) => [name.replace('model.', ''), { ...x, dtype: 'BF16' as const }] as const);
      writeSafetensors(join(folder, file), Object.fromEntries(tensors));
      for (const [name] of tensors) weight_map[name] = file;
    });
    fs.writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map }));
    const { params } = loadCheckpoint(folder);
    expect(Object.keys(params)).toEqual(Object.keys(parameterShapes(TINY_LLAMA)));
    for (const [name, { data }] of stored) expect(params[name].data).toEqual(rounded(data));
    const [head, embedding] = [params['lm_head.weight'].data, params['model.embed_tokens.weight'].data];
    expect(head).toEqual(embedding);
    expect(head.buffer).not.toBe(embedding.buffer);
  });

  it('without a head must say that it is tied', async () => {
    const { 'lm_head.weight': _, ...params } = checkpoint.params;
    await expect(saveCheckpoint(join(place, 'saved'), { config: TINY_LLAMA, params })).rejects.toThrow(/missing lm_head\.weight/);
    await saveCheckpoint(join(place, 'saved'), checkpoint);
    writeSafetensors(join(place, 'saved', 'model.safetensors'), params);
    expect(() => loadCheckpoint(join(place, 'saved'))).toThrow(/missing lm_head\.weight/);
  });
});
