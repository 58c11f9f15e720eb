/**
 * Generator and target of a run by name, and whether they fit: into memory, and to each other.
 */
import { parameterCount } from '../model/families';
import { startBackend, type BackendName } from '../tensor/backend';
import { runningGpu } from '../tensor/webgpu';
import { fitOnGpu } from './gpuMemory';
import { loadActor } from './actor';
import type { EngineOptions } from '../model/engine';
import type { Config } from './config';
import { modelConfig, modelFolder, tokenHidden, type HubOptions } from '../model/hub/hub';
import {
  describeMemory,
  estimateMemory,
  exceedsWasmHeap,
  isLarge,
  requireMemory,
  type MemoryEstimate,
  type ModelPair,
} from './memory';
import { describeCost, measureSpeeds } from './cost';
import type { Actor } from './experiment';
import { reading } from './reading';

/**
 * A model with its parameters and tokenizer, ready to train or to be trained on; the backend is started.
 * @param name - a folder, a GGUF file, or a name on the hub
 * @throws Error as {@link modelFolder}
 */
export async function load(name: string, options: EngineOptions & HubOptions = {}): Promise<Actor> {
  const folder = await modelFolder(name, options);
  await startBackend({ parameters: parameterCount(await modelConfig(folder)) });
  return tokenHidden(loadActor(folder, options));
}

/** The models, as folders or names on the hub; by default the experiment's own. */
export interface ModelFolders {
  readonly generator?: string;
  readonly target?: string;
  /**
   * A model that takes no part: validation asks it how likely the texts are. An experiment's own evaluator goes with its own generator
   * alone.
   */
  readonly evaluator?: string;
}

/**
 * Loads both models, downloading what is not there; starts the backend, one that can hold the run.
 * @param names - folders, or names on the hub
 * @throws Error in one line: a model that cannot be had, memory that does not suffice and what to change
 * @throws RangeError for token-level credit between different tokenizers, or a text that the target cannot read
 */
export async function loadModels(
  names: Required<Pick<ModelFolders, 'generator' | 'target'>>,
  config: Config,
  options: HubOptions = {},
): Promise<{ generator: Actor; target: Actor }> {
  const generator = await modelFolder(names.generator, options);
  const target = await modelFolder(names.target, options);
  const pair: ModelPair = { generator: await modelConfig(generator), target: await modelConfig(target) };
  const { name: backend } = await startBackend({
    parameters: Math.max(...Object.values(pair).map(parameterCount)),
    objection: (name) =>
      name === 'wasm' && exceedsWasmHeap(estimateMemory(pair, config, name))
        ? 'its heap of 4.3 GB is too small for this run'
        : undefined,
  });
  const { estimate, activationBytes } = await fit(pair, config, backend);
  const { say = console.error } = options;
  if (isLarge(estimate)) {
    say(describeMemory(estimate));
    say(describeCost(pair, config, await measureSpeeds(pair, config)));
  }
  const engine = { ...config, activationBytes };
  const actors = { generator: await loadActor(generator, engine), target: await loadActor(target, engine) };
  reading({ config, ...actors });
  return actors;
}

/** @throws Error as {@link requireMemory} and {@link fitOnGpu} */
async function fit(
  pair: ModelPair,
  config: Config,
  backend: BackendName,
): Promise<{ estimate: MemoryEstimate; activationBytes?: number }> {
  if (backend === 'webgpu') return fitOnGpu(pair, config, runningGpu());
  const estimate = estimateMemory(pair, config, backend);
  requireMemory(estimate, backend);
  return { estimate };
}
