/**
 * Which engine computes a model's derivatives: the fused one, on a CPU or by WebGPU, for the families whose layers it has, and else the
 * tape.
 */
import * as tf from '@tensorflow/tfjs-core';
import { GPU_FROM, onGpu } from '../tensor/backend';
import { requireWhole } from '../tensor/numbers';
import { familyOf, parameterCount, type ModelConfig } from './families';
import { fusedModel } from './fused';
import { gpuModel } from './fused/onGpu';
import { fusedSupported } from './fused/support';
import { tapeModel } from './tape/tape';
import type { Gpt2Config, LanguageModel } from './types';

const ENGINES: readonly string[] = ['auto', 'fused', 'tape'];

/** How to compute. */
export interface EngineOptions {
  /**
   * 'auto' takes the fused engine, on the GPU where the backend is `webgpu` and else on CPUs with WebAssembly SIMD, for the families whose
   * layers it has, and the tape otherwise; on `tfjs-node-gpu` see {@link usesCpuWorkers}.
   */
  readonly engine?: 'auto' | 'fused' | 'tape';
  /** Worker threads of the fused engine; 0 takes one per core. */
  readonly workers?: number;
  /** On a GPU: bytes of activations that a microbatch may take; default as much as keeps it busy. */
  readonly activationBytes?: number;
}

/**
 * Whether the fused engine computes a model on CPUs, given the GPU that the backend computes on: 'auto' takes what is faster for the
 * model's size.
 */
export function usesCpuWorkers(config: ModelConfig, engine: EngineOptions['engine'], gpu?: 'cuda' | 'webgpu'): boolean {
  if (engine === 'tape' || gpu === 'webgpu' || !familyOf(config).fused) return false;
  return engine === 'fused' || gpu === undefined || parameterCount(config) < GPU_FROM;
}

/**
 * A model of any family on the engine asked for.
 * @throws Error if `engine` is 'fused' and cannot run here, or does not have the family's layers
 * @throws RangeError naming a `model_type` that is none of a family, an engine that there is not, or workers that are no whole number
 */
export function languageModel<C extends ModelConfig>(
  config: C,
  { engine = 'auto', workers = 0, activationBytes }: EngineOptions = {},
): LanguageModel<C> {
  if (!ENGINES.includes(engine))
    throw new RangeError(`engine must be one of ${ENGINES.join(', ')} (got ${JSON.stringify(engine)})`);
  requireWhole('workers', workers, 0);
  if (engine === 'tape' || (engine === 'auto' && !familyOf(config).fused)) return tapeModel(config);
  if (tf.getBackend() === 'webgpu') return gpuModel(config, activationBytes === undefined ? {} : { activationBytes });
  if (engine === 'auto' && !(usesCpuWorkers(config, engine, onGpu() ? 'cuda' : undefined) && fusedSupported()))
    return tapeModel(config);
  return fusedModel(config, { workers: workers || undefined });
}

/** {@link languageModel} of a GPT-2. */
export const gpt2 = (config: Gpt2Config, options?: EngineOptions): LanguageModel<Gpt2Config> => languageModel(config, options);
