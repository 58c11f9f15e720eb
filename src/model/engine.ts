/**
 * Which engine computes a model's derivatives: the fused one on a CPU, for the families whose layers it has, and else the tape.
 */
import * as tf from '@tensorflow/tfjs-core';
import { familyOf, type ModelConfig } from './families';
import { fusedGpt2 } from './fused';
import { fusedSupported } from './fused/support';
import { tapeModel } from './tape/tape';
import type { Gpt2Config, LanguageModel } from './types';

/** How to compute. */
export interface EngineOptions {
  /** 'auto' takes the fused engine on CPUs with WebAssembly SIMD, for the families whose layers it has, and the tape otherwise. */
  readonly engine?: 'auto' | 'fused' | 'tape';
  /** Worker threads of the fused engine; 0 takes one per core. */
  readonly workers?: number;
}

/**
 * A model of any family on the engine asked for.
 * @throws Error if `engine` is 'fused' and cannot run here, or does not have the family's layers
 * @throws RangeError naming a `model_type` that is none of a family
 */
export function languageModel<C extends ModelConfig>(
  config: C,
  { engine = 'auto', workers = 0 }: EngineOptions = {},
): LanguageModel<C> {
  const { fused, title } = familyOf(config);
  const onGpu = tf.getBackend() === 'webgpu' || (tf.getBackend() === 'tensorflow' && process.env.DPG_BACKEND !== 'tfjs-node');
  if (engine === 'fused' && !fused)
    throw new Error(`the fused engine has no layers for a ${title}; take the engine "tape" (or "auto")`);
  if (engine === 'tape' || !fused || (engine === 'auto' && (onGpu || !fusedSupported()))) return tapeModel(config);
  return { ...fusedGpt2(config as Gpt2Config, { workers: workers || undefined }), config };
}

/** {@link languageModel} of a GPT-2. */
export const gpt2 = (config: Gpt2Config, options?: EngineOptions): LanguageModel<Gpt2Config> => languageModel(config, options);
