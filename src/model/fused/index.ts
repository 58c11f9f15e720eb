/**
 * The fused engine: gradient and forward-over-reverse written by hand on SIMD kernels, shared out over worker
 * threads.
 *
 * The main thread only orchestrates. Parameters, tangents and gradients lie in shared memory; every worker takes a
 * contiguous share of the examples, and the partial gradients are added in the order of the workers, so that a result is
 * the same bit for bit whenever the number of workers is.
 */
import { availableParallelism } from 'node:os';
import { relaxedSupported, simdSupported } from '../../tensor/kernels/wasm/kernels';
import { checked } from '../checks';
import type { ModelConfig } from '../families';
import { queue } from '../queue';
import type { LanguageModel } from '../types';
import { engine, gradient, hessianVectorProduct, logProbs, policyGradient, sample } from './operations';
import { callingThread, workerThreads } from './pool';
import { layersOf, threadsSupported } from './support';

export interface FusedOptions {
  /**
   * Worker threads; 0, or where memory cannot be shared, computes in the calling thread. Default: one per core, at most 8. Never
   * more than examples.
   */
  readonly workers?: number;
  /** Fused multiply-adds: faster where V8 has relaxed SIMD, rounded differently. Default: where it does. */
  readonly relaxed?: boolean;
}

/**
 * A model of a family whose layers the fused engine has. Calls made at the same time run one after the other; parameters must not be
 * disposed before their call has resolved.
 *
 * Memory: per worker three arrays of the parameters' size at most, 64 MiB of activations (more only where one example needs
 * more), 64 MiB of logits and 1 MiB of packed matrices; shared, two such arrays and one per worker.
 *
 * @throws Error for a family whose layers it does not have
 * @throws RangeError for sizes that do not fit each other
 * @throws Error where WebAssembly SIMD is missing
 */
export function fusedModel<C extends ModelConfig>(
  config: C,
  { workers = Math.min(availableParallelism(), 8), relaxed = relaxedSupported() }: FusedOptions = {},
): LanguageModel<C> {
  const layers = layersOf(config);
  if (!simdSupported())
    throw new Error('the fused engine needs WebAssembly with SIMD, which is missing here; take the engine "tape"');
  const settings = { layers, options: { relaxed } };
  const threaded = workers > 0 && threadsSupported();
  const team = threaded ? workerThreads(workers, settings) : callingThread(settings);
  const threads = threaded ? `${workers} worker${workers > 1 ? 's' : ''}` : 'no workers';
  const e = engine(layers, team);
  const exclusively = queue(); // they use the same buffers
  return checked({
    config,
    engine: `fused, ${threads}, ${relaxed ? 'relaxed SIMD' : 'SIMD'}`,
    gradient: (params, batch) => exclusively(() => gradient(e, params, batch)),
    hessianVectorProduct: (params, batch, tangent, { product = true } = {}) =>
      exclusively(() => hessianVectorProduct(e, params, batch, tangent, product)),
    logProbs: (params, batch, temperature = 1) => exclusively(() => logProbs(e, params, batch, temperature)),
    policyGradient: (params, batch, terms) => exclusively(() => policyGradient(e, params, batch, terms)),
    sample: (params, prompts, options) => exclusively(() => sample(e, params, prompts, options)),
    dispose: team.stop,
  });
}
