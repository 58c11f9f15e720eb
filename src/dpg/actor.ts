/**
 * Generator and target from their Hugging Face folders.
 */
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { loadCheckpoint, type StoredTensor } from '../model/hub/checkpoint';
import { languageModel, type EngineOptions } from '../model/engine';
import type { Params } from '../tensor/params';
import { loadTokenizer } from '../text/tokenizer';
import type { Actor } from './experiment';

/** The small checkpoints that come with the project. */
export const DATA = path.join(__dirname, '..', '..', 'data');

/** Stored parameters as tensors; the caller disposes them. */
export const toTensors = (stored: Readonly<Record<string, StoredTensor>>): Params =>
  Object.fromEntries(Object.entries(stored).map(([name, { data, shape }]) => [name, tf.tensor(data, [...shape], 'float32')]));

/** Parameters as they are stored. */
export const toStored = (params: Params): Record<string, StoredTensor> =>
  Object.fromEntries(
    Object.entries(params).map(([name, x]) => [name, { data: x.dataSync<'float32'>().slice(), shape: x.shape }]),
  );

/** A model with its parameters and tokenizer. @throws Error naming the folder and what is wrong with it */
export function loadActor(folder: string, options: EngineOptions = {}): Actor {
  const { config, params } = loadCheckpoint(folder);
  const tokenizer = loadTokenizer(folder);
  if (tokenizer.vocabSize > config.vocab_size)
    throw new Error(`${folder}: the tokenizer has ${tokenizer.vocabSize} tokens, the model only ${config.vocab_size}`);
  return { model: languageModel(config, options), params: toTensors(params), tokenizer };
}
