/**
 * Generator and target from their Hugging Face folders or GGUF files.
 */
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { isGgufName } from '../files/gguf';
import { mapCheckpoint, readConfig, type StoredTensor } from '../model/hub/checkpoint';
import { openGgufModel } from '../model/hub/ggufModel';
import { languageModel, type EngineOptions } from '../model/engine';
import type { Params } from '../tensor/params';
import { ggufTokenizer } from '../text/ggufTokenizer';
import { loadTokenizer } from '../text/tokenizer';
import { actorOf, type Actor } from './experiment';

/** The small checkpoints that come with the project. */
export const DATA = path.join(__dirname, '..', '..', 'data');

const toTensor = ({ data, shape }: StoredTensor): tf.Tensor => tf.tensor(data, [...shape], 'float32');

/** Stored parameters as tensors; the caller disposes them. */
export const toTensors = (stored: Readonly<Record<string, StoredTensor>>): Params =>
  Object.fromEntries(Object.entries(stored).map(([name, parameter]) => [name, toTensor(parameter)]));

/** Parameters as they are stored. */
export const toStored = (params: Params): Record<string, StoredTensor> =>
  Object.fromEntries(
    Object.entries(params).map(([name, x]) => [name, { data: x.dataSync<'float32'>().slice(), shape: x.shape }]),
  );

/**
 * A model with its parameters and tokenizer, from a Hugging Face folder or a GGUF file.
 * @throws Error naming the folder or file and what is wrong with it
 */
export async function loadActor(folder: string, options: EngineOptions = {}): Promise<Actor> {
  const { config, params, tokenizer } = isGgufName(folder) ? await loadGguf(folder) : loadFolder(folder);
  if (tokenizer.vocabSize > config.vocab_size)
    throw new Error(`${folder}: the tokenizer has ${tokenizer.vocabSize} tokens, the model only ${config.vocab_size}`);
  return actorOf(languageModel(config, options), params, tokenizer);
}

/** The tokenizer first, which is soon read; then one parameter at a time, so that no more than the largest is held twice. */
const loadFolder = (folder: string) => ({
  config: readConfig(folder).config,
  tokenizer: loadTokenizer(folder),
  params: tf.tidy(() => mapCheckpoint(folder, toTensor).params),
});

/** As {@link loadFolder}. */
async function loadGguf(path: string) {
  const model = await openGgufModel(path);
  try {
    const tokenizer = model.ofMetadata(ggufTokenizer);
    const params = tf.tidy(() => Object.fromEntries(model.names.map((name) => [name, toTensor(model.read(name))])));
    return { config: model.config, tokenizer, params };
  } finally {
    model.close();
  }
}
