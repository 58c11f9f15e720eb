import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadCheckpoint, saveCheckpoint, type StoredTensor } from '../../../src/model/hub/checkpoint';
import { openSafetensors, writeSafetensors } from '../../../src/files/safetensors';

const REFERENCE = join(__dirname, '../../fixtures/metagradients');

let place: string;
beforeEach(() => (place = fs.mkdtempSync(join(tmpdir(), 'checkpoint-'))));
afterEach(() => fs.rmSync(place, { recursive: true }));

const reference = loadCheckpoint(REFERENCE);

/** Writes a folder as Hugging Face would, from the reference with changes. */
function folderOf(params: Record<string, StoredTensor>, config = {}): string {
  writeSafetensors(join(place, 'model.safetensors'), params);
  writeConfig(config);
  return place;
}

function writeConfig(changes: object): void {
  const config = JSON.parse(fs.readFileSync(join(REFERENCE, 'config.json'), 'utf8')) as object;
  fs.writeFileSync(join(place, 'config.json'), JSON.stringify({ ...config, ...changes }));
}

const without = (...names: string[]): Record<string, StoredTensor> =>
  Object.fromEntries(Object.entries(reference.params).filter(([name]) => !names.includes(name)));

describe('loading', () => {
  it('reads the reference folder: config, every tensor, values of the file', () => {
    expect(reference.config).toEqual({
      vocab_size: 48,
      n_positions: 16,
      n_embd: 24,
      n_layer: 2,
      n_head: 3,
      layer_norm_epsilon: 1e-5,
    });
    const file = openSafetensors(join(REFERENCE, 'model.safetensors'));
    expect(Object.keys(reference.params).sort()).toEqual([...file.tensors.keys()].sort());
    file.close();
    // Read by hand: the first tensor of the file, whose header gives it bytes 0 to 4608.
    const bytes = fs.readFileSync(join(REFERENCE, 'model.safetensors'));
    const start = 8 + Number(bytes.readBigUInt64LE(0));
    const wte = reference.params['transformer.wte.weight'];
    expect(wte.shape).toEqual([48, 24]);
    expect([...wte.data]).toEqual(Array.from({ length: 48 * 24 }, (_, i) => bytes.readFloatLE(start + 4 * i)));
  });

  it('accepts names without prefix, skips causal masks, unties a tied head', () => {
    const bare = Object.entries(without('lm_head.weight')).map(
      ([name, tensor]) => [name.replace('transformer.', ''), tensor] as const,
    );
    const mask = { shape: [1], data: Float32Array.of(1) };
    const folder = folderOf(
      { ...Object.fromEntries(bare), 'h.0.attn.bias': mask, 'h.1.attn.masked_bias': mask },
      { tie_word_embeddings: true },
    );
    const { params } = loadCheckpoint(folder);
    expect(params['transformer.h.1.mlp.c_fc.weight']).toEqual(reference.params['transformer.h.1.mlp.c_fc.weight']);
    expect(params['lm_head.weight']).toEqual(params['transformer.wte.weight']);
    expect(params['lm_head.weight'].data.buffer).not.toBe(params['transformer.wte.weight'].data.buffer);
    expect(Object.keys(params).sort()).toEqual(Object.keys(reference.params).sort());
  });

  it('reads bfloat16 shards by their index', () => {
    const index: Record<string, string> = {};
    const entries = Object.entries(reference.params);
    [entries.slice(0, 9), entries.slice(9)].forEach((part, i) => {
      const file = `model-0000${i + 1}-of-00002.safetensors`;
      writeSafetensors(join(place, file), Object.fromEntries(part.map(([name, tensor]) => [name, { ...tensor, dtype: 'BF16' }])));
      for (const [name] of part) index[name] = file;
    });
    writeConfig({});
    const write = (weight_map: object): void =>
      fs.writeFileSync(join(place, 'model.safetensors.index.json'), JSON.stringify({ metadata: { total_size: 1 }, weight_map }));
    write(index);
    const { params } = loadCheckpoint(place);
    for (const [name, { data }] of entries) {
      const error = Math.max(...data.map((x, i) => Math.abs(params[name].data[i] - x) / Math.max(Math.abs(x), 1e-30)));
      expect(error).toBeLessThanOrEqual(2 ** -8);
      expect(params[name].shape).toEqual(reference.params[name].shape);
    }
    write({ ...index, 'lm_head.weight': '../elsewhere.safetensors' });
    expect(() => loadCheckpoint(place)).toThrow(/shard \.\.\/elsewhere\.safetensors is not in the folder/);
    write({ ...index, 'lm_head.weight': 'model-00001-of-00002.safetensors' });
    expect(() => loadCheckpoint(place)).toThrow(/lm_head\.weight is not in model-00001-of-00002/);
  });
});

describe('refusals', () => {
  const wpe = 'transformer.wpe.weight';

  it('names another architecture and the supported ones', () => {
    writeConfig({ model_type: 'mistral' });
    expect(() => loadCheckpoint(place)).toThrow(
      /config\.json: model_type "mistral" is not supported \(supported: gpt2, llama, qwen2, qwen3\)$/,
    );
  });

  it.each([
    [{ n_layer: 0 }, /config\.json: this GPT-2 cannot be run: n_layer: Too small: expected number to be >0 \(got 0\)$/],
    [{ n_embd: '24' }, /n_embd: .*\(got "24"\)$/],
    [{ activation_function: 'relu' }, /activation_function: .*\(got "relu"\)$/],
    [{ scale_attn_by_inverse_layer_idx: true }, /scale_attn_by_inverse_layer_idx: .*\(got true\)$/],
    [{ n_head: 5 }, /n_head must divide n_embd \(got 5 and 24\)/],
    [{ n_inner: 100 }, /n_inner must be 4 · n_embd = 96 \(got 100\)/],
  ])('config %j', (change, message) => {
    expect(() => loadCheckpoint(folderOf(without(), change))).toThrow(message);
  });

  it('names missing and unexpected parameters', () => {
    const extra = { 'score.weight': { shape: [1], data: Float32Array.of(1) } };
    expect(() => loadCheckpoint(folderOf({ ...without(wpe), ...extra }))).toThrow(
      /missing transformer\.wpe\.weight; unexpected transformer\.score\.weight/,
    );
    expect(() => loadCheckpoint(folderOf(without('lm_head.weight')))).toThrow(/missing lm_head\.weight/); // config says untied
    expect(() => loadCheckpoint(folderOf({ ...without(), 'wpe.weight': reference.params[wpe] }))).toThrow(/the same parameter/);
  });

  it('names a tensor of the wrong shape or dtype', () => {
    const { data } = reference.params[wpe];
    expect(() => loadCheckpoint(folderOf({ ...without(), [wpe]: { shape: [24, 16], data } }))).toThrow(
      /transformer\.wpe\.weight has shape \[24,16\], the config says \[16,24\]/,
    );
    const tensors = { ...without(), [wpe]: { shape: [16, 24], data: new Int32Array(16 * 24) } };
    writeSafetensors(join(place, 'model.safetensors'), tensors);
    expect(() => loadCheckpoint(place)).toThrow(/wpe\.weight has dtype I32 \(supported: F32, F16, BF16\)/);
  });

  it.each(['F32', 'F16', 'BF16'] as const)('names the file, the tensor and the number that is none, %s', (dtype) => {
    const data = reference.params[wpe].data.map((x, i) => (i === 30 ? -Infinity : i === 31 ? NaN : x));
    const tensors = { ...without(), [wpe]: { shape: [16, 24], data, dtype } };
    expect(() => loadCheckpoint(folderOf(tensors))).toThrow(
      /model\.safetensors: the weights "transformer\.wpe\.weight" hold -Infinity \(number 30 of 384\): take a whole file/,
    );
  });

  it('names missing or broken files', () => {
    expect(() => loadCheckpoint(place)).toThrow(/cannot read .*config\.json/);
    fs.writeFileSync(join(place, 'config.json'), '[1]');
    expect(() => loadCheckpoint(place)).toThrow(/config\.json does not have the expected shape: expected object \(got \[1\]\)/);
    writeConfig({});
    expect(() => loadCheckpoint(place)).toThrow(/neither model\.safetensors nor model\.safetensors\.index\.json/);
  });
});

describe('saving', () => {
  it('gives back the same bits, with extra files, as a folder transformers can read', async () => {
    const folder = join(place, 'saved');
    await saveCheckpoint(folder, reference, { endOfText: 3, files: { 'tokenizer.json': '{"version":"1.0"}' } });
    expect(loadCheckpoint(folder)).toEqual(reference);
    expect(fs.readFileSync(join(folder, 'tokenizer.json'), 'utf8')).toBe('{"version":"1.0"}');
    const config = JSON.parse(fs.readFileSync(join(folder, 'config.json'), 'utf8')) as object;
    expect(config).toMatchObject({ model_type: 'gpt2', tie_word_embeddings: false, n_head: 3, eos_token_id: 3 });
    expect(config).toMatchObject({ attn_pdrop: 0, embd_pdrop: 0, resid_pdrop: 0 }); // transformers' own default is 0.1
    const file = openSafetensors(join(folder, 'model.safetensors'));
    expect(file.metadata).toEqual({ format: 'pt' });
    file.close();
    await saveCheckpoint(folder, reference, { endOfText: [3, 5] }); // Llama 3 has several
    const { eos_token_id, bos_token_id } = JSON.parse(fs.readFileSync(join(folder, 'config.json'), 'utf8')) as Record<
      string,
      unknown
    >;
    expect([eos_token_id, bos_token_id]).toEqual([[3, 5], 3]);
  });

  it('rounds to 16 bits on demand', async () => {
    const folder = join(place, 'saved');
    await saveCheckpoint(folder, reference, { dtype: 'F16' });
    const file = openSafetensors(join(folder, 'model.safetensors'));
    expect(new Set([...file.tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(['F16']));
    file.close();
    const [before, after] = [reference, loadCheckpoint(folder)].map(({ params }) => params['lm_head.weight'].data);
    expect(after).not.toEqual(before);
    before.forEach((x, i) => expect(Math.abs(after[i] - x)).toBeLessThanOrEqual(Math.max(Math.abs(x) * 2 ** -11, 2 ** -25)));
  });

  it('refuses parameters that do not fit, and names that would leave the folder', async () => {
    const folder = join(place, 'saved');
    await expect(saveCheckpoint(folder, { ...reference, params: without('lm_head.weight') })).rejects.toThrow(
      /missing lm_head\.weight/,
    );
    const wrong = { ...reference, config: { ...reference.config, n_positions: 8 } };
    await expect(saveCheckpoint(folder, wrong)).rejects.toThrow(/wpe\.weight has shape \[16,24\], the config says \[8,24\]/);
    for (const name of ['../escaped', 'config.json'])
      await expect(saveCheckpoint(folder, reference, { files: { [name]: '' } })).rejects.toThrow(/cannot save a file named/);
    expect(fs.readdirSync(place)).toEqual([]);
  });
});
