/**
 * The architectures behind one pair of functions of the config.
 */
import type * as tf from '@tensorflow/tfjs-core';
import type { Params } from '../tensor/params';
import { gpt2Hidden, gpt2Shapes } from './families/gpt2';
import { llamaHidden, llamaShapes } from './families/llama';
import type { KvCache, Shapes } from './tape/transformer';
import type { ModelConfig } from './types';

/** Names and shapes of a model's parameters, in the order of the network. */
export const parameterShapes = (config: ModelConfig): Shapes =>
  config.model_type === 'llama' ? llamaShapes(config) : gpt2Shapes(config);

/**
 * Hidden states at every position, ready for the LM head, [batch · length, n_embd].
 * @param ids - token ids, [batch, length]
 * @param cache - keys and values of earlier positions (sampling only); replaced by those including `ids`
 */
export const hiddenStates = (
  params: Params,
  config: ModelConfig,
  ids: Int32Array,
  batch: number,
  cache?: KvCache,
): tf.Tensor2D =>
  config.model_type === 'llama' ? llamaHidden(params, config, ids, batch, cache) : gpt2Hidden(params, config, ids, batch, cache);
