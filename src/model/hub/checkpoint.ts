/**
 * Hugging Face folders of models of every family: `config.json` with `model.safetensors` or its shards.
 *
 * The LM head is always its own parameter here: a tied checkpoint is untied at load, and what is saved says so.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Tensor } from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { writeFolderAtomic } from '../../files/atomicFile';
import { readJson } from '../../files/json';
import { brief, listed, printable } from '../../files/printable';
import { familyOf, parameterShapes, parseModelConfig } from '../families';
import type { TensorNames } from '../families/family';
import { huggingFaceConfig } from './huggingFaceConfig';
import { openSafetensors, writeSafetensors, type SafetensorsFile } from '../../files/safetensors';
import { requireFiniteStored } from '../../tensor/params';
import type { ModelConfig } from '../types';

/** A parameter outside the tensor backend: what files hold. */
export interface StoredTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A model as it lies on the disk; parameters under the names of {@link parameterShapes}. */
export interface Checkpoint {
  readonly config: ModelConfig;
  readonly params: Readonly<Record<string, StoredTensor>>;
}

/** A model to be saved: parameters as files hold them, or as tensors. */
export interface Saved {
  readonly config: ModelConfig;
  readonly params: Readonly<Record<string, StoredTensor | Tensor>>;
}

const stored = (x: StoredTensor | Tensor): StoredTensor =>
  'dataSync' in x ? { shape: x.shape, data: x.dataSync<'float32'>() } : x;

/** Options of {@link saveCheckpoint}. */
export interface SaveOptions {
  /** What the weights are rounded to; F32 (the default) keeps them bit by bit. */
  readonly dtype?: 'F32' | 'F16' | 'BF16';
  /** Id of the token that ends a text, or of several that do, for generation with other libraries. */
  readonly endOfText?: number | readonly number[];
  /** Id of the token that begins a text. Default: the one that ends it, as in GPT-2. */
  readonly beginOfText?: number;
  /** Further files of the folder by name, e.g. `tokenizer.json`. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
}

const HEAD = 'lm_head.weight';
export const WEIGHTS = 'model.safetensors';
export const INDEX = 'model.safetensors.index.json';

/**
 * Reads a Hugging Face folder with F32, F16 or BF16 weights, in one file or in shards, as float32.
 * Names may lack the prefix `transformer.` or `model.`; stored causal masks and rotary frequencies are skipped; a missing LM head is a
 * copy of the embedding where the config says that they are tied.
 *
 * @throws Error naming the folder and the architecture, key, file or tensors that do not fit, or that hold NaN or infinity
 */
export const loadCheckpoint = (folder: string): Checkpoint => mapCheckpoint(folder, (parameter) => parameter);

/**
 * {@link loadCheckpoint}, with what `take` makes of every parameter as soon as it is read, so that no more than one is held twice.
 * @throws Error as {@link loadCheckpoint}
 */
export function mapCheckpoint<T>(
  folder: string,
  take: (parameter: StoredTensor) => T,
): { config: ModelConfig; params: Record<string, T> } {
  const { config, tied } = readConfig(folder);
  const shapes = parameterShapes(config);
  const names = familyOf(config).names;
  const files = new Map<string, SafetensorsFile>();
  try {
    const found = locateTensors(folder, names, files);
    const untie = tied && !found.has(HEAD);
    checkNames(folder, Object.keys(shapes), [...found.keys(), ...(untie ? [HEAD] : [])]);
    const entries = Object.entries(shapes).map(([name, shape]): [string, T] => {
      const { file, storedName } = found.get(untie && name === HEAD ? names.embeddings[0] : name)!;
      return [name, take({ shape, data: readParameter(`${folder}: ${name}`, file, storedName, shape) })];
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
  { config, params }: Saved,
  { dtype = 'F32', endOfText, beginOfText = firstOf(endOfText), files = {} }: SaveOptions = {},
): Promise<void> {
  const shapes = parameterShapes(config);
  checkNames('cannot save the checkpoint', Object.keys(shapes), Object.keys(params));
  for (const [name, shape] of Object.entries(shapes)) checkShape(`cannot save ${name}`, params[name].shape, shape);
  const tensors = Object.fromEntries(Object.keys(shapes).map((name) => [name, { ...stored(params[name]), dtype }]));
  for (const name of Object.keys(files)) checkFileName(name);
  const json = huggingFaceConfig(config, { dtype, beginOfText, endOfText });
  await writeFolderAtomic(folder, (temporary) => {
    writeSafetensors(join(temporary, WEIGHTS), tensors, { format: 'pt' }); // transformers refuses files without this entry
    writeFileSync(join(temporary, 'config.json'), JSON.stringify(json, null, 2) + '\n');
    for (const [name, content] of Object.entries(files)) writeFileSync(join(temporary, name), content);
  });
}

const firstOf = (ids?: number | readonly number[]): number | undefined => (typeof ids === 'number' ? ids : ids?.[0]);

/** The config in a folder's `config.json`. @throws Error naming the file and the architecture or the keys that cannot be run */
export function readConfig(folder: string): { config: ModelConfig; tied: boolean } {
  const path = join(folder, 'config.json');
  const json = readJson(path, z.record(z.string(), z.unknown()));
  try {
    return parseModelConfig(json);
  } catch (error) {
    throw new Error(`${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

interface Location {
  readonly file: SafetensorsFile;
  readonly storedName: string;
}

/** Where every parameter lies, by its full name; opened files go into `files`, for the caller to close. */
function locateTensors(
  folder: string,
  { prefix, constants }: TensorNames,
  files: Map<string, SafetensorsFile>,
): Map<string, Location> {
  const open = (name: string): SafetensorsFile => {
    if (!files.has(name)) files.set(name, openSafetensors(join(folder, name)));
    return files.get(name)!;
  };
  const found = new Map<string, Location>();
  for (const [storedName, file] of listTensors(folder, open)) {
    if (constants.test(storedName)) continue;
    const name = storedName === HEAD || storedName.startsWith(prefix) ? storedName : `${prefix}${storedName}`;
    const other = found.get(name);
    if (other) throw new Error(`${folder}: ${brief(other.storedName)} and ${brief(storedName)} are the same parameter`);
    found.set(name, { file, storedName });
  }
  return found;
}

const fileName = z.string().refine((name) => name.length < 256 && printable(name) === name, 'expected the name of a file');

/** The file of every tensor, as the index of shards has it. @throws Error naming the index if it is none */
export const readIndex = (folder: string): Record<string, string> =>
  readJson(join(folder, INDEX), z.object({ weight_map: z.record(z.string(), fileName) })).weight_map;

function listTensors(folder: string, open: (name: string) => SafetensorsFile): [string, SafetensorsFile][] {
  if (existsSync(join(folder, WEIGHTS))) {
    const file = open(WEIGHTS);
    return [...file.tensors.keys()].map((name) => [name, file]);
  }
  const indexPath = join(folder, INDEX);
  if (!existsSync(indexPath)) throw new Error(`${folder} has neither ${WEIGHTS} nor ${INDEX} (other formats are not read)`);
  return Object.entries(readIndex(folder)).map(([name, shard]) => {
    if (shard !== basename(shard)) throw new Error(`${indexPath}: the shard ${brief(shard)} is not in the folder itself`);
    const file = open(shard);
    if (!file.tensors.has(name)) throw new Error(`${indexPath}: ${brief(name)} is not in ${shard}`);
    return [name, file];
  });
}

function readParameter(where: string, file: SafetensorsFile, storedName: string, shape: readonly number[]): Float32Array {
  checkShape(where, file.tensors.get(storedName)!.shape, shape);
  const data = file.read(storedName);
  if (!(data instanceof Float32Array))
    throw new Error(`${where} has dtype ${file.tensors.get(storedName)!.dtype} (supported: F32, F16, BF16)`);
  requireFiniteStored(storedName, data, `${file.path}: `);
  return data;
}

function checkShape(where: string, shape: readonly number[], expected: readonly number[]): void {
  if (shape.join() !== expected.join()) throw new Error(`${where} has shape [${shape}], the config says [${expected}]`);
}

function checkNames(where: string, expected: readonly string[], found: readonly string[]): void {
  const [wanted, there] = [new Set(expected), new Set(found)];
  const missing = expected.filter((name) => !there.has(name));
  const unexpected = found.filter((name) => !wanted.has(name));
  const reasons = [];
  if (missing.length > 0) reasons.push(`missing ${listed(missing)}`);
  if (unexpected.length > 0) reasons.push(`unexpected ${listed(unexpected)}`);
  if (reasons.length > 0) throw new Error(`${where}: the parameters do not fit the config: ${reasons.join('; ')}`);
}

function checkFileName(name: string): void {
  if (name !== basename(name) || ['', '.', '..', WEIGHTS, 'config.json'].includes(name))
    throw new Error(`cannot save a file named ${JSON.stringify(name)} with the checkpoint`);
}
