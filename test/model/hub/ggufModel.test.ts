/**
 * Models in GGUF: what a converter does to a Hugging Face folder, undone. The converter's reordering is written from its description here.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadActor, toStored } from '../../../src/dpg/actor';
import { modelConfig, modelFolder } from '../../../src/model/hub/hub';
import { randomStream } from '../../../src/tensor/random';
import { useBackend } from '../../support/backend';
import { floats, GGML, writeGguf, type RawTensor } from '../../support/ggufFile';
import { randomValues } from '../../support/randomGpt2';
import { randomDecoderValues, TINY_LLAMA } from '../../support/randomDecoder';

beforeAll(() => useBackend('cpu'));
const place = mkdtempSync(join(tmpdir(), 'gguf-model-'));
afterAll(() => rmSync(place, { recursive: true }));
const path = join(place, 'model.gguf');

const TOKENS = ['<unk>', '<s>', '</s>', '▁', 'a', 'b', 'ab', '▁ab', '<0xC3>', '<0xA9>', 'c', '▁a', 'bc'];
const SENTENCE_PIECE: Parameters<typeof writeGguf>[1] = [
  ['tokenizer.ggml.model', 'llama'],
  ['tokenizer.ggml.tokens', TOKENS],
  ['tokenizer.ggml.scores', [0, 0, 0, -9, -8, -7, -1, -2, 0, 0, -8, -3, -4]],
  ['tokenizer.ggml.token_type', [2, 3, 3, 1, 1, 1, 1, 1, 6, 6, 1, 1, 1]],
  ['tokenizer.ggml.bos_token_id', 1],
  ['tokenizer.ggml.eos_token_id', 2],
];
const LLAMA: Parameters<typeof writeGguf>[1] = [
  ['general.architecture', 'llama'],
  ['llama.context_length', 32],
  ['llama.embedding_length', 10],
  ['llama.block_count', 2],
  ['llama.attention.head_count', 4],
  ['llama.attention.head_count_kv', 2],
  ['llama.attention.key_length', 6],
  ['llama.feed_forward_length', 14],
  ['llama.attention.layer_norm_rms_epsilon', 1.1e-5],
  ['llama.rope.freq_base', 300],
];
const config = { ...TINY_LLAMA, rope_scaling: null, rms_norm_eps: Math.fround(1.1e-5) };
const values = randomDecoderValues(config, randomStream(1, 'llama'), 0.3);
const shapeOf = (name: string): number[] => {
  if (/norm/.test(name)) return [10];
  if (/embed|lm_head/.test(name)) return [13, 10];
  const rows = { q: 24, k: 12, v: 12, gate: 14, up: 14 }[/\.(\w+)_proj/.exec(name)![1]];
  return rows ? [rows, 10] : [10, values[name].length / 10];
};

/** Rows of a head of width 6: 0 3 1 4 2 5, as pairs that turn together. */
function paired(rows: Float32Array): Float32Array {
  const order = [0, 3, 1, 4, 2, 5];
  return rows.map((_, i) => {
    const [row, column] = [Math.floor(i / 10), i % 10];
    return rows[(Math.floor(row / 6) * 6 + order[row % 6]) * 10 + column];
  });
}
const NAMES: Record<string, string> = { 'model.embed_tokens': 'token_embd', 'model.norm': 'output_norm', lm_head: 'output' };
const STEMS: Record<string, string> = {
  ...{ input_layernorm: 'attn_norm', post_attention_layernorm: 'ffn_norm', 'mlp.gate_proj': 'ffn_gate', 'mlp.up_proj': 'ffn_up' },
  ...{ 'mlp.down_proj': 'ffn_down', 'self_attn.q_proj': 'attn_q', 'self_attn.k_proj': 'attn_k', 'self_attn.v_proj': 'attn_v' },
  'self_attn.o_proj': 'attn_output',
};
const llamaTensors: RawTensor[] = Object.entries(values).map(([name, numbers]) => {
  const [, layer, stem] = /layers\.(\d)\.(.+)\.weight$/.exec(name) ?? [];
  const plain = Float32Array.from(numbers);
  const stored = /[qk]_proj/.test(name) ? paired(plain) : plain;
  return floats(`${layer ? `blk.${layer}.${STEMS[stem]}` : NAMES[name.replace('.weight', '')]}.weight`, shapeOf(name), stored);
});

describe('a Llama', () => {
  test('comes back as the folder it was made from, with its tokenizer', async () => {
    writeGguf(path, [...LLAMA, ...SENTENCE_PIECE], llamaTensors);
    expect(await modelFolder(place)).toBe(path); // the only weights of the folder
    expect(await modelConfig(path)).toEqual(config);
    const { params, tokenizer } = await loadActor(path, { engine: 'tape' });
    const stored = toStored(params);
    expect(Object.keys(stored)).toEqual(Object.keys(values));
    for (const [name, { data }] of Object.entries(stored)) expect([...data], name).toEqual([...values[name]]);
    expect(tokenizer.encode('ab abc')).toEqual([7, 7, 10]); // the better score first: ▁ + ab, not ab + bc
    expect(tokenizer.decode(tokenizer.encode('aé ab'))).toBe('aé ab'); // é as its two bytes
    expect([tokenizer.startIds, tokenizer.eosIds, tokenizer.isToken(12), tokenizer.isToken(13)]).toEqual([[1], [2], true, false]);
    expect(() => tokenizer.encode('ax')).toThrow('"x" (U+0078) at position 1');
  });

  test('with a tied head has the embedding there', async () => {
    writeGguf(
      path,
      [...LLAMA, ...SENTENCE_PIECE],
      llamaTensors.filter(({ name }) => name !== 'output.weight'),
    );
    const stored = toStored((await loadActor(path, { engine: 'tape' })).params);
    expect([...stored['lm_head.weight'].data]).toEqual([...values['model.embed_tokens.weight']]);
  });

  test('that does not fit is refused in one line', async () => {
    const refused = async (metadata: Parameters<typeof writeGguf>[1], tensors: RawTensor[], message: RegExp) => {
      writeGguf(path, metadata, tensors);
      await expect(loadActor(path, { engine: 'tape' })).rejects.toThrow(message);
    };
    const [first, ...others] = llamaTensors;
    await refused([...LLAMA, ...SENTENCE_PIECE], others, /model\.gguf: .*vocab_size/);
    await refused(
      [...LLAMA, ...SENTENCE_PIECE],
      llamaTensors.slice(0, 6),
      /missing model\.layers\.0\.post_attention_layernorm\.weight/,
    );
    await refused(
      [...LLAMA, ...SENTENCE_PIECE],
      [...llamaTensors, { ...first, name: 'blk.0.attn_q.bias' }],
      /unexpected .*q_proj\.bias/,
    );
    await refused(
      [...LLAMA, ...SENTENCE_PIECE],
      [...llamaTensors, { ...first, name: 'vision.weight' }],
      /"vision\.weight" is none of a/,
    );
    await refused([['general.architecture', 'mamba']], llamaTensors, /model_type "mamba" is not supported/);
    await refused(LLAMA, llamaTensors, /it has no tokenizer/);
    const foreign = SENTENCE_PIECE.map(([key, value]) => [key, key.endsWith('model') ? 'bert' : value] as const);
    await refused([...LLAMA, ...foreign], llamaTensors, /tokenizer is of the kind "bert" \(read are "gpt2" and "llama"\)/);
    const quantized = { ...first, type: GGML.Q6_K };
    await refused([...LLAMA, ...SENTENCE_PIECE], [quantized, ...others], /is of type Q6_K, which is not read/);
    const broken = floats(first.name, shapeOf('model.embed_tokens'), new Float32Array(130).fill(NaN, 129));
    await refused(
      [...LLAMA, ...SENTENCE_PIECE],
      [broken, ...others],
      /model\.gguf: the weights "token_embd\.weight" hold NaN \(number 129 of 130\)/,
    );
  });
});

test('a GPT-2’s linear layers stand transposed', async () => {
  const shape = { vocab_size: 13, n_positions: 8, n_embd: 4, n_layer: 1, n_head: 2, layer_norm_epsilon: 1e-5 };
  const gpt2 = randomValues(shape, randomStream(2, 'gpt2'), 0.3);
  const outside: Record<string, string> = { wte: 'token_embd', wpe: 'position_embd', ln_f: 'output_norm' };
  const inside: Record<string, string> = {
    ln_1: 'attn_norm',
    ln_2: 'ffn_norm',
    'attn.c_attn': 'attn_qkv',
    'attn.c_proj': 'attn_output',
  };
  const blocks: Record<string, string> = { ...inside, 'mlp.c_fc': 'ffn_up', 'mlp.c_proj': 'ffn_down' };
  const tensors = Object.entries(gpt2).flatMap(([name, numbers]) => {
    if (name === 'lm_head.weight') return [];
    const [, stem, kind] = /^transformer\.(?:h\.0\.)?(.+)\.(weight|bias)$/.exec(name)!;
    const called = `${blocks[stem] ? `blk.0.${blocks[stem]}` : outside[stem]}.${kind}`;
    const plain = Float32Array.from(numbers);
    if (kind === 'bias' || stem.startsWith('ln')) return [floats(called, [plain.length], plain)];
    if (outside[stem]) return [floats(called, [plain.length / 4, 4], plain)];
    const rows = stem === 'mlp.c_proj' ? 16 : 4;
    const columns = plain.length / rows;
    return [
      floats(
        called,
        [columns, rows],
        plain.map((_, i) => plain[(i % rows) * columns + Math.floor(i / rows)]),
      ),
    ];
  });
  const metadata = { context_length: 8, embedding_length: 4, block_count: 1, 'attention.head_count': 2, feed_forward_length: 16 };
  writeGguf(
    path,
    [['general.architecture', 'gpt2'], ...Object.entries(metadata).map(([k, v]) => [`gpt2.${k}`, v] as const), ...SENTENCE_PIECE],
    tensors,
  );
  const stored = toStored((await loadActor(path, { engine: 'tape' })).params);
  for (const [name, { data }] of Object.entries(stored))
    expect([...data], name).toEqual([...gpt2[name === 'lm_head.weight' ? 'transformer.wte.weight' : name]]);
});
