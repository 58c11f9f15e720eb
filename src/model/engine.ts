/**
 * Which engine computes a model's derivatives: the fused one where WebAssembly SIMD is there, the tape otherwise or on a GPU.
 */
import * as tf from '@tensorflow/tfjs';
import { fusedGpt2 } from './fused';
import { tapeGpt2 } from './tape';
import type { Gpt2Config, LanguageModel } from './types';

/** How to compute. */
export interface EngineOptions {
  /** 'auto' takes the fused engine on CPUs and the tape on GPUs. */
  readonly engine?: 'auto' | 'fused' | 'tape';
  /** Worker threads of the fused engine; 0 takes one per core. */
  readonly workers?: number;
}

/**
 * GPT-2 on the engine asked for.
 * @throws Error if `engine` is 'fused' and cannot run here
 */
export function gpt2(config: Gpt2Config, { engine = 'auto', workers = 0 }: EngineOptions = {}): LanguageModel {
  const onGpu = tf.getBackend() === 'webgpu' || (tf.getBackend() === 'tensorflow' && process.env.DPG_BACKEND !== 'tfjs-node');
  if (engine === 'tape' || (engine === 'auto' && onGpu)) return tapeGpt2(config);
  return fusedGpt2(config, { workers: workers || undefined });
}
