/**
 * Hugging Face folders of GPT-2 models: `config.json` with `model.safetensors` or its shards.
 *
 * The LM head is always its own parameter here: a tied checkpoint is untied at load, and what is saved says so.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { writeFolderAtomic } from '../tensor/atomicFile';
import { gpt2Shapes } from './gpt2';
import { openSafetensors, writeSafetensors, type SafetensorsFile } from './safetensors';
import type { Gpt2Config } from './types';

/** A parameter outside the tensor backend: what files hold. */
export interface StoredTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A model as it lies on the disk; parameters under the names of {@link gpt2Shapes}. */
export interface Checkpoint {
  readonly config: Gpt2Config;
  readonly params: Readonly<Record<string, StoredTensor>>;
}

/** Options of {@link saveCheckpoint}. */
export interface SaveOptions {
  /** What the weights are rounded to; F32 (the default) keeps them bit by bit. */
  readonly dtype?: 'F32' | 'F16' | 'BF16';
  /** Id of the token that begins and ends a text, for generation with other libraries. */
  readonly endOfText?: number;
  /** Further files of the folder by name, e.g. `tokenizer.json`. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
}

const HEAD = 'lm_head.weight';
const EMBEDDING = 'transformer.wte.weight';
const WEIGHTS = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const SUPPORTED = ['gpt2'];

const size = z.number().int().positive();

/** What the model needs, and what it takes for granted; the many other keys of Hugging Face are dropped. */
const configSchema = z.object({
  vocab_size: size,
  n_positions: size,
  n_embd: size,
  n_layer: size,
  n_head: size,
  layer_norm_epsilon: z.number().positive().default(1e-5),
  n_inner: size.nullish(),
  activation_function: z.enum(['gelu_new', 'gelu_pytorch_tanh']).default('gelu_new'), // two names of one function
  scale_attn_weights: z.literal(true).default(true),
  scale_attn_by_inverse_layer_idx: z.literal(false).default(false),
  tie_word_embeddings: z.boolean().default(true),
});

/**
 * Reads a Hugging Face GPT-2 folder with F32, F16 or BF16 weights, in one file or in shards, as float32.
 * Names may lack the prefix `transformer.`; causal masks stored as `attn.bias` are skipped; a missing LM head is a copy of `wte`.
 *
 * @throws Error naming the folder and the architecture, key, file or tensors that do not fit
 */
export function loadCheckpoint(folder: string): Checkpoint {
  const { config, tied } = readConfig(folder);
  const shapes = gpt2Shapes(config);
  const files = new Map<string, SafetensorsFile>();
  try {
    const found = locateTensors(folder, files);
    const untie = tied && !found.has(HEAD);
    checkNames(folder, Object.keys(shapes), [...found.keys(), ...(untie ? [HEAD] : [])]);
    const entries = Object.entries(shapes).map(([name, shape]): [string, StoredTensor] => {
      const { file, storedName } = found.get(untie && name === HEAD ? EMBEDDING : name)!;
      return [name, { shape, data: readParameter(`${folder}: ${name}`, file, storedName, shape) }];
    });
    return { config, params: Object.fromEntries(entries) };
  } finally {
    for (const file of files.values()) file.close();
  }
}

/**
 * Writes a Hugging Face folder (untied head), atomically: an earlier checkpoint there stays whole until the new one is.
 *
 * @throws Error naming parameters that do not fit the config, or the path and the cause when the disk refuses
 */
export async function saveCheckpoint(
  folder: string,
  { config, params }: Checkpoint,
  { dtype = 'F32', endOfText, files = {} }: SaveOptions = {},
): Promise<void> {
  const shapes = gpt2Shapes(config);
  checkNames('cannot save the checkpoint', Object.keys(shapes), Object.keys(params));
  for (const [name, shape] of Object.entries(shapes)) checkShape(`cannot save ${name}`, params[name].shape, shape);
  const tensors = Object.fromEntries(Object.keys(shapes).map((name) => [name, { ...params[name], dtype }]));
  for (const name of Object.keys(files)) checkFileName(name);
  await writeFolderAtomic(folder, (temporary) => {
    writeSafetensors(join(temporary, WEIGHTS), tensors, { format: 'pt' }); // transformers refuses files without this entry
    writeFileSync(join(temporary, 'config.json'), JSON.stringify(huggingFaceConfig(config, dtype, endOfText), null, 2) + '\n');
    for (const [name, content] of Object.entries(files)) writeFileSync(join(temporary, name), content);
  });
}

function readConfig(folder: string): { config: Gpt2Config; tied: boolean } {
  const path = join(folder, 'config.json');
  const json = readJson(path);
  const { model_type: type } = json;
  if (!SUPPORTED.includes(String(type)))
    throw new Error(`${path}: model_type ${JSON.stringify(type)} is not supported (supported: ${SUPPORTED.join(', ')})`);
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) throw new Error(`${path} is no GPT-2 this program can run:\n${z.prettifyError(parsed.error)}`);
  const { vocab_size, n_positions, n_embd, n_layer, n_head, layer_norm_epsilon, n_inner, tie_word_embeddings } = parsed.data;
  if (n_embd % n_head !== 0) throw new Error(`${path}: n_head must divide n_embd (got ${n_head} and ${n_embd})`);
  if (n_inner && n_inner !== 4 * n_embd) throw new Error(`${path}: n_inner must be 4 · n_embd = ${4 * n_embd} (got ${n_inner})`);
  return { config: { vocab_size, n_positions, n_embd, n_layer, n_head, layer_norm_epsilon }, tied: tie_word_embeddings };
}

function huggingFaceConfig(config: Gpt2Config, dtype: 'F32' | 'F16' | 'BF16', endOfText: number | undefined): object {
  return {
    model_type: 'gpt2',
    architectures: ['GPT2LMHeadModel'],
    ...config,
    activation_function: 'gelu_new',
    tie_word_embeddings: false,
    torch_dtype: { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }[dtype],
    bos_token_id: endOfText ?? null, // without these keys Hugging Face assumes 50256
    eos_token_id: endOfText ?? null,
  };
}

interface Location {
  readonly file: SafetensorsFile;
  readonly storedName: string;
}

/** Where every parameter lies, by its full name; opened files go into `files`, for the caller to close. */
function locateTensors(folder: string, files: Map<string, SafetensorsFile>): Map<string, Location> {
  const open = (name: string): SafetensorsFile => {
    if (!files.has(name)) files.set(name, openSafetensors(join(folder, name)));
    return files.get(name)!;
  };
  const found = new Map<string, Location>();
  for (const [storedName, file] of listTensors(folder, open)) {
    if (/(^|\.)h\.\d+\.attn\.(masked_)?bias$/.test(storedName)) continue; // constants of older transformers versions
    const name = storedName === HEAD || storedName.startsWith('transformer.') ? storedName : `transformer.${storedName}`;
    const other = found.get(name);
    if (other) throw new Error(`${folder}: ${other.storedName} and ${storedName} are the same parameter`);
    found.set(name, { file, storedName });
  }
  return found;
}

function listTensors(folder: string, open: (name: string) => SafetensorsFile): [string, SafetensorsFile][] {
  if (existsSync(join(folder, WEIGHTS))) {
    const file = open(WEIGHTS);
    return [...file.tensors.keys()].map((name) => [name, file]);
  }
  const indexPath = join(folder, INDEX);
  if (!existsSync(indexPath)) throw new Error(`${folder} has neither ${WEIGHTS} nor ${INDEX} (other formats are not read)`);
  const parsed = z.object({ weight_map: z.record(z.string(), z.string()) }).safeParse(readJson(indexPath));
  if (!parsed.success) throw new Error(`${indexPath}: ${z.prettifyError(parsed.error)}`);
  return Object.entries(parsed.data.weight_map).map(([name, shard]) => {
    if (shard !== basename(shard)) throw new Error(`${indexPath}: the shard ${shard} is not in the folder itself`);
    const file = open(shard);
    if (!file.tensors.has(name)) throw new Error(`${indexPath}: ${name} is not in ${shard}`);
    return [name, file];
  });
}

function readParameter(where: string, file: SafetensorsFile, storedName: string, shape: readonly number[]): Float32Array {
  checkShape(where, file.tensors.get(storedName)!.shape, shape);
  const data = file.read(storedName);
  if (data instanceof Float32Array) return data;
  throw new Error(`${where} has dtype ${file.tensors.get(storedName)!.dtype} (supported: F32, F16, BF16)`);
}

function checkShape(where: string, shape: readonly number[], expected: readonly number[]): void {
  if (shape.join() !== expected.join()) throw new Error(`${where} has shape [${shape}], the config says [${expected}]`);
}

function checkNames(where: string, expected: readonly string[], found: readonly string[]): void {
  const missing = expected.filter((name) => !found.includes(name));
  const unexpected = found.filter((name) => !expected.includes(name));
  const reasons = [];
  if (missing.length > 0) reasons.push(`missing ${missing.join(', ')}`);
  if (unexpected.length > 0) reasons.push(`unexpected ${unexpected.join(', ')}`);
  if (reasons.length > 0) throw new Error(`${where}: the parameters do not fit the config: ${reasons.join('; ')}`);
}

function checkFileName(name: string): void {
  if (name !== basename(name) || ['', '.', '..', WEIGHTS, 'config.json'].includes(name))
    throw new Error(`cannot save a file named ${JSON.stringify(name)} with the checkpoint`);
}

function readJson(path: string): Record<string, unknown> {
  try {
    const json: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as Record<string, unknown>;
  } catch (error) {
    throw new Error(`cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  throw new Error(`cannot read ${path}: it is not a JSON object`);
}
