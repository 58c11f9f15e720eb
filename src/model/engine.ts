/**
 * Which engine computes a model's derivatives: the fused one for GPT-2 on a CPU, the tape on a GPU and for every other architecture.
 */
import * as tf from '@tensorflow/tfjs-core';
import { fusedGpt2 } from './fused';
import { fusedSupported } from './fused/support';
import { tapeGpt2, tapeModel } from './tape/tape';
import type { Gpt2Config, LanguageModel, LlamaConfig, ModelConfig } from './types';

/** How to compute. */
export interface EngineOptions {
  /** 'auto' takes the fused engine for GPT-2 on CPUs with WebAssembly SIMD, and the tape otherwise. */
  readonly engine?: 'auto' | 'fused' | 'tape';
  /** Worker threads of the fused engine; 0 takes one per core. */
  readonly workers?: number;
}

/**
 * GPT-2 on the engine asked for.
 * @throws Error if `engine` is 'fused' and cannot run here
 */
export function gpt2(config: Gpt2Config, { engine = 'auto', workers = 0 }: EngineOptions = {}): LanguageModel<Gpt2Config> {
  const onGpu = tf.getBackend() === 'webgpu' || (tf.getBackend() === 'tensorflow' && process.env.DPG_BACKEND !== 'tfjs-node');
  if (engine === 'tape' || (engine === 'auto' && (onGpu || !fusedSupported()))) return tapeGpt2(config);
  return { ...fusedGpt2(config, { workers: workers || undefined }), config };
}

/**
 * Llama on the tape engine, the only one that computes it.
 * @throws Error if `engine` is 'fused'
 */
function llama(config: LlamaConfig, { engine }: EngineOptions): LanguageModel<LlamaConfig> {
  if (engine === 'fused') throw new Error('the fused engine computes GPT-2 only; take the engine "tape" (or "auto") for a Llama');
  return tapeModel(config);
}

/**
 * A model of any architecture on the engine asked for.
 * @throws Error if `engine` is 'fused' and cannot run here, or cannot compute the architecture
 */
export const languageModel = (config: ModelConfig, options: EngineOptions = {}): LanguageModel =>
  config.model_type === 'llama' ? llama(config, options) : gpt2(config, options);
