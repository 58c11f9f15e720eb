/**
 * Models in GGUF files: metadata as the `config.json` of a Hugging Face folder, tensors under its names and in its layout.
 */
import { openGguf, type GgufFile } from '../../files/gguf';
import { familyOf, parameterShapes, parseModelConfig, type ModelConfig } from '../families';
import { requireFiniteStored } from '../../tensor/params';
import type { StoredTensor } from './checkpoint';

/** An open GGUF file as a model; the caller closes it. */
export interface GgufModel {
  readonly config: ModelConfig;
  /** What `read` makes of the metadata, e.g. a tokenizer; its errors name the file. */
  ofMetadata<T>(read: (metadata: GgufFile['metadata']) => T): T;
  /** Names of all parameters, in the order of the network. */
  readonly names: readonly string[];
  /** One parameter as float32. @throws Error naming the file and a tensor of another shape, or with NaN or infinity */
  read(name: string): StoredTensor;
  close(): void;
}

const HEAD = 'lm_head.weight';

/** Names inside a block, [GGUF, Hugging Face]. */
const DECODER_BLOCK = [
  ['attn_norm', 'input_layernorm'],
  ['attn_q', 'self_attn.q_proj'],
  ['attn_k', 'self_attn.k_proj'],
  ['attn_v', 'self_attn.v_proj'],
  ['attn_output', 'self_attn.o_proj'],
  ['attn_q_norm', 'self_attn.q_norm'],
  ['attn_k_norm', 'self_attn.k_norm'],
  ['ffn_norm', 'post_attention_layernorm'],
  ['ffn_gate', 'mlp.gate_proj'],
  ['ffn_up', 'mlp.up_proj'],
  ['ffn_down', 'mlp.down_proj'],
] as const;
const GPT2_BLOCK = [
  ['attn_norm', 'ln_1'],
  ['attn_qkv', 'attn.c_attn'],
  ['attn_output', 'attn.c_proj'],
  ['ffn_norm', 'ln_2'],
  ['ffn_up', 'mlp.c_fc'],
  ['ffn_down', 'mlp.c_proj'],
] as const;

/** Hugging Face's name of a tensor; undefined for one that is none of the model's. */
function huggingFaceName(name: string, isGpt2: boolean): string | undefined {
  const [, block, stem, kind] = /^(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)$/.exec(name) ?? [];
  const outside: Record<string, string> = isGpt2
    ? { token_embd: 'transformer.wte', position_embd: 'transformer.wpe', output_norm: 'transformer.ln_f', output: 'lm_head' }
    : { token_embd: 'model.embed_tokens', output_norm: 'model.norm', output: 'lm_head' };
  const inside = Object.fromEntries<string>(isGpt2 ? GPT2_BLOCK : DECODER_BLOCK);
  const found = block === undefined ? outside[stem] : inside[stem];
  if (found === undefined) return undefined;
  if (block === undefined) return `${found}.${kind}`;
  return `${isGpt2 ? 'transformer.h' : 'model.layers'}.${block}.${found}.${kind}`;
}

/** What a folder's `config.json` would say. @throws Error naming an architecture that is not read */
function configJson({ metadata, tensors }: GgufFile): Record<string, unknown> {
  const architecture = String(metadata['general.architecture']);
  const key = (name: string): number | undefined => {
    const value = metadata[`${architecture}.${name}`];
    return typeof value === 'bigint' ? Number(value) : (value as number | undefined);
  };
  const scaling = metadata[`${architecture}.rope.scaling.type`];
  if (tensors.has('rope_freqs.weight') || (scaling !== undefined && scaling !== 'none'))
    throw new Error("its rotary embedding is scaled, which is not read from GGUF: take the model's safetensors");
  const common = {
    model_type: architecture, // llama, qwen2, qwen3 and gpt2 are called so in both worlds; other names are refused by the families
    vocab_size: tensors.get('token_embd.weight')?.shape[0],
    tie_word_embeddings: !tensors.has('output.weight'),
  };
  if (architecture === 'gpt2')
    return {
      ...common,
      n_positions: key('context_length'),
      n_embd: key('embedding_length'),
      n_layer: key('block_count'),
      n_head: key('attention.head_count'),
      n_inner: key('feed_forward_length'),
      layer_norm_epsilon: key('attention.layer_norm_epsilon'),
    };
  return {
    ...common,
    max_position_embeddings: key('context_length'),
    hidden_size: key('embedding_length'),
    num_hidden_layers: key('block_count'),
    num_attention_heads: key('attention.head_count'),
    num_key_value_heads: key('attention.head_count_kv'),
    head_dim: key('attention.key_length') ?? key('rope.dimension_count'),
    intermediate_size: key('feed_forward_length'),
    rms_norm_eps: key('attention.layer_norm_rms_epsilon'),
    rope_theta: key('rope.freq_base'),
  };
}

/**
 * Opens a GGUF file of a family that is known here: F32, F16, BF16, Q8_0, Q4_0 or Q4_1.
 * @throws Error in one line naming the file and what is damaged, missing or not read
 */
export async function openGgufModel(path: string): Promise<GgufModel> {
  const file = await openGguf(path);
  const blamed = <T>(f: () => T): T => {
    try {
      return f();
    } catch (error) {
      throw new Error(`${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  };
  try {
    return blamed(() => modelOf(file, blamed));
  } catch (error) {
    file.close();
    throw error;
  }
}

function modelOf(file: GgufFile, blamed: <T>(f: () => T) => T): GgufModel {
  const json = configJson(file);
  const { config, tied } = parseModelConfig(json);
  const shapes = parameterShapes(config);
  const stored = storedNames(file, json.model_type === 'gpt2');
  if (tied) stored.set(HEAD, stored.get(familyOf(config).names.embeddings[0])!);
  const missing = Object.keys(shapes).filter((name) => !stored.get(name));
  const unexpected = [...stored.keys()].filter((name) => !(name in shapes));
  if (missing.length + unexpected.length > 0)
    throw new Error(
      `the tensors do not fit the metadata: missing ${missing.join(', ') || 'none'}; unexpected ${unexpected.join(', ') || 'none'}`,
    );
  return {
    config,
    ofMetadata: (read) => blamed(() => read(file.metadata)),
    names: Object.keys(shapes),
    read: (name) => blamed(() => readParameter(file, stored.get(name)!, name, shapes[name], config)),
    close: () => file.close(),
  };
}

function storedNames(file: GgufFile, isGpt2: boolean): Map<string, string> {
  const stored = new Map<string, string>();
  for (const name of file.tensors.keys()) {
    const found = huggingFaceName(name, isGpt2);
    if (found === undefined)
      throw new Error(`the tensor ${JSON.stringify(name)} is none of a ${isGpt2 ? 'GPT-2' : 'Llama or Qwen'}`);
    stored.set(found, name);
  }
  return stored;
}

function readParameter(
  file: GgufFile,
  storedName: string,
  name: string,
  shape: readonly number[],
  config: ModelConfig,
): StoredTensor {
  const isTransposed = /\.c_(attn|proj|fc)\.weight$/.test(name); // GPT-2's linear layers are [in, out], those of GGUF [out, in]
  const expected = isTransposed ? [...shape].reverse() : shape;
  const found = file.tensors.get(storedName)!.shape;
  if (found.join() !== expected.join())
    throw new Error(`the tensor ${storedName} has shape [${found}], the metadata say [${expected}]`);
  const data = file.read(storedName);
  requireFiniteStored(storedName, data);
  if (isTransposed) return { shape, data: transposed(data, expected as [number, number]) };
  const heads = rotaryHeads(name, config);
  return { shape, data: heads ? withRotaryHalves(data, heads, shape as [number, number]) : data };
}

function transposed(data: Float32Array, [rows, columns]: readonly [number, number]): Float32Array {
  const result = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) result[j * rows + i] = data[i * columns + j];
  return result;
}

/** Heads of a matrix whose rows ggml keeps in another order: queries and keys of a Llama, of no other family. */
function rotaryHeads(name: string, config: ModelConfig): number | undefined {
  if (config.model_type !== 'llama') return undefined;
  if (name.endsWith('q_proj.weight')) return config.n_head;
  return name.endsWith('k_proj.weight') ? config.num_key_value_heads : undefined;
}

/** Rows in pairs that are rotated together, as ggml has them, to first halves and second halves, as Hugging Face has them. */
function withRotaryHalves(data: Float32Array, heads: number, [rows, columns]: readonly [number, number]): Float32Array {
  const [result, width] = [new Float32Array(data.length), rows / heads];
  for (let row = 0; row < rows; row++) {
    const [head, at] = [Math.floor(row / width), row % width];
    const to = head * width + (at % 2) * (width / 2) + Math.floor(at / 2);
    result.set(data.subarray(row * columns, (row + 1) * columns), to * columns);
  }
  return result;
}
