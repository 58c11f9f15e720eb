/**
 * How much memory a run takes, estimated from the shapes of its models before anything is loaded, and the refusal of a run that cannot fit.
 *
 * Counted are arrays as large as all parameters ("trees", 4 bytes a parameter): tensors of the backend, shared arrays and heaps of the
 * fused engine's workers; and the activations of one microbatch. The two peaks of a step are the metagradient's backward pass through the
 * last segment of fine-tuning, and the update of the generator.
 */
import os from 'node:os';
import { usesCpuWorkers } from '../model/engine';
import { OPTIMIZERS } from '../learn/optimizers';
import { familyOf, parameterCount, parameterShapes } from '../model/families';
import { gpuPortions } from '../model/fused/onGpu';
import { examplesAtOnce } from '../model/batch';
import type { ModelConfig } from '../model/types';
import type { BackendName } from '../tensor/backend';
import { availableMemory } from '../tensor/gpuMemory';
import type { Config } from './config';

/** An estimate in bytes. */
export interface MemoryEstimate {
  /** Tensors of the backend at the larger of the two peaks, activations of the tape engine included. */
  readonly tensors: number;
  /** Parameters, tangents and gradients that the fused engine shares among its workers. */
  readonly shared: number;
  /** WebAssembly heap of one worker of the fused engine, the larger model's; 0 without that engine. */
  readonly worker: number;
  /** All of it, with the heaps of all workers. */
  readonly total: number;
  /** The tensors lie in the GPU's memory, whose size tfjs does not tell. */
  readonly onGpu: boolean;
}

/** The configs of the two models of a run. */
export interface ModelPair {
  readonly generator: ModelConfig;
  readonly target: ModelConfig;
}

const FLOAT = 4; // bytes
const MIB = 2 ** 20;
/** A WebAssembly memory cannot be larger. */
const HEAP_LIMIT = 2 ** 32;

/** Largest number of target-sized trees during one metagradient, beside φ_0; see learn/metagradient.ts. */
export function metagradientTrees({
  innerOptimizer,
  innerMomentum,
  innerSteps,
  reward,
}: Pick<Config, 'innerOptimizer' | 'innerMomentum' | 'innerSteps' | 'reward'>) {
  const { state, adjoint: made } = OPTIMIZERS[innerOptimizer].trees({ momentum: innerMomentum });
  const segment = Math.ceil(Math.sqrt(innerSteps));
  if (reward !== 'metagradient') return 2 * state + 1; // before, gradient, after
  const snapshots = (Math.ceil(innerSteps / segment) - 1) * state;
  const lastSegment = (segment + 1) * state + segment; // states and gradients
  // adjoints before the pull-back, and all that it makes on the way
  const adjoint = state + made;
  const check = 2 * state + 2; // of rounding, at the first step: a step from other weights, and back
  return snapshots + lastSegment + adjoint + check - 1; // φ_0 itself is shared, not copied
}

/** Generator-sized trees: the initial one, parameters and moments; while it is updated also gradients and the state to go back to. */
const [GENERATOR_AT_REST, GENERATOR_IN_UPDATE] = [4, 12];

/** The kind of GPU that a backend computes on, if it does. */
const gpuOf = (backend: BackendName): 'cuda' | 'webgpu' | undefined =>
  backend === 'tfjs-node-gpu' ? 'cuda' : backend === 'webgpu' ? 'webgpu' : undefined;

/** Whether the fused engine computes a model on the GPU. */
const usesGpuKernels = (model: ModelConfig, engine: Config['engine'], backend: BackendName): boolean =>
  backend === 'webgpu' && engine !== 'tape' && familyOf(model).fused !== undefined;

/**
 * Columns that the matrices of a block read and write together: what its activations are as wide as, in every family. 16 · n_embd in a
 * GPT-2; a gated feed-forward layer has more, few heads of keys and values fewer.
 */
export const activationColumns = (config: ModelConfig): number =>
  Object.entries(parameterShapes(config))
    .filter(([name, shape]) => shape.length === 2 && name.includes('.0.'))
    .reduce((sum, [, [rows, columns]]) => sum + rows + columns, 0);

/**
 * Arrays that the tape holds at once, in units of [rows, vocab], [rows, activationColumns] and [rows, heads · length] (the last two a
 * layer): measured. GELU is made of more ops than SiLU.
 */
const TAPE = {
  gelu: { gradient: [12, 13, 11], hessianVectorProduct: [33, 50, 41] },
  swiglu: { gradient: [12, 9, 11], hessianVectorProduct: [33, 36, 41] },
} as const;

/** Bytes of one microbatch on the tape. */
export function tapeActivations(
  config: ModelConfig,
  { examples, length, pass }: { examples: number; length: number; pass: keyof (typeof TAPE)['gelu'] },
): number {
  const { vocab_size, n_layer, n_head } = config;
  const rows = Math.min(examples, examplesAtOnce(length, vocab_size)) * length;
  const [vocab, columns, scores] = TAPE[familyOf(config).fused?.(config).activation ?? 'gelu'][pass];
  return FLOAT * rows * (vocab * vocab_size + n_layer * (columns * activationColumns(config) + scores * n_head * length));
}

/** Heap of one worker: activations (64 MiB, or primal and tangent of one example), logits, packed matrices; trees come on top. */
const workerActivations = (config: ModelConfig, length: number): number =>
  Math.max(64 * MIB, 2 * FLOAT * config.n_layer * length * (activationColumns(config) + config.n_head * length)) + 66 * MIB;

/**
 * Buffers of the fused engine on a GPU: a microbatch's activations with their tangents, as the heap of a worker has them, logits and their
 * tangent; half as much again for sizes rounded up, free buffers that are kept, and partial sums (a third was measured).
 */
export function gpuBuffers(
  config: ModelConfig,
  { examples, length, activationBytes }: { examples: number; length: number; activationBytes: number },
): number {
  const { microbatchRows, logitBytes } = gpuPortions(activationBytes);
  const perExample = 2 * FLOAT * config.n_layer * length * (activationColumns(config) + config.n_head * length);
  const atOnce = Math.min(examples, Math.ceil(microbatchRows / length));
  const logits = 2 * Math.min(logitBytes, FLOAT * atOnce * length * config.vocab_size);
  return 1.5 * (Math.max(perExample, Math.min(activationBytes, atOnce * perExample)) + logits);
}

/** Worker threads of the fused engine. */
export const workersOf = ({ workers }: Config): number => workers || Math.min(os.availableParallelism(), 8);

/**
 * Memory of a run.
 * @param backend - where the tensors lie
 * @param activationBytes - of a microbatch of the fused engine on a GPU
 */
export function estimateMemory(
  { generator, target }: ModelPair,
  config: Config,
  backend: BackendName,
  activationBytes = 2 ** 31,
): MemoryEstimate {
  const tree = { generator: FLOAT * parameterCount(generator), target: FLOAT * parameterCount(target) };
  const workers = workersOf(config);
  const usesFused = (model: ModelConfig): boolean => usesCpuWorkers(model, config.engine, gpuOf(backend));
  const fused = { generator: usesFused(generator), target: usesFused(target) };
  const length = { generator: config.promptLength + config.maxNewTokens - 1, target: config.maxNewTokens - 1 };
  const examples = { generator: config.minibatch, target: Math.ceil((config.prompts * config.groupSize) / config.innerSteps) };
  const activations = (part: 'generator' | 'target', model: ModelConfig, pass: keyof (typeof TAPE)['gelu']): number => {
    const sizes = { examples: examples[part], length: length[part] };
    if (fused[part]) return 0; // in the workers' heaps
    return usesGpuKernels(model, config.engine, backend)
      ? gpuBuffers(model, { ...sizes, activationBytes })
      : tapeActivations(model, { ...sizes, pass });
  };
  const tensors = Math.max(
    GENERATOR_AT_REST * tree.generator +
      (1 + metagradientTrees(config)) * tree.target +
      activations('target', target, 'hessianVectorProduct'),
    GENERATOR_IN_UPDATE * tree.generator + tree.target + activations('generator', generator, 'gradient'),
  );
  const references = config.supportMinP > 0 ? 1 : 0; // the untrained generator, beside the one that samples
  const heaps = {
    generator: fused.generator ? (2 + references) * tree.generator + workerActivations(generator, length.generator) : 0,
    target: fused.target ? 3 * tree.target + workerActivations(target, length.target) : 0,
  };
  const shared =
    (fused.generator ? (1 + references + workers) * tree.generator : 0) + (fused.target ? (2 + workers) * tree.target : 0);
  return {
    tensors,
    shared,
    worker: Math.max(heaps.generator, heaps.target),
    total: tensors + shared + workers * (heaps.generator + heaps.target),
    onGpu: gpuOf(backend) !== undefined,
  };
}

/** For people. */
export const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(bytes < 1e10 ? 1 : 0)} GB`;

/** One line for people. */
export function describeMemory({ tensors, shared, total, onGpu }: MemoryEstimate, available = availableMemory()): string {
  if (onGpu) return `memory: about ${gigabytes(tensors)} on the GPU`;
  const workers = total > tensors ? `, workers ${gigabytes(total - tensors)}, of which shared ${gigabytes(shared)}` : '';
  return `memory: about ${gigabytes(total)} of ${gigabytes(available)} free (tensors ${gigabytes(tensors)}${workers})`;
}

/** Whether a run is large enough to be told what it takes before it starts. */
export const isLarge = ({ total }: MemoryEstimate): boolean => total > 1e9;

/**
 * Whether the tensors of a run are more than the heap of tfjs's `wasm` backend holds: then the backend has to be another one.
 */
export const exceedsWasmHeap = ({ tensors }: MemoryEstimate): boolean => tensors > 0.95 * HEAP_LIMIT;

/** Whether one metagradient alone does, of a model of so many parameters: what it needs beside φ_0. */
export const metagradientExceedsWasmHeap = (parameters: number, inner: Parameters<typeof metagradientTrees>[0]): boolean =>
  FLOAT * parameters * (1 + metagradientTrees(inner)) > 0.95 * HEAP_LIMIT;

/** @throws Error in one line, for a run that cannot fit: what is too large, and what to change */
export function requireMemory(estimate: MemoryEstimate, backend: BackendName, available = availableMemory()): void {
  const { tensors, worker, total, onGpu } = estimate;
  if (worker > HEAP_LIMIT)
    throw new Error(
      `a worker of the fused engine would need ${gigabytes(worker)}, and its heap holds 4.3 GB: take the engine "tape", shorter texts ` +
        '(maxNewTokens, promptLength) or a smaller model',
    );
  if (backend === 'wasm' && exceedsWasmHeap(estimate))
    throw new Error(
      `the tensors of this run need about ${gigabytes(tensors)}, and the heap of the backend wasm holds 4.3 GB: start again with ` +
        'DPG_BACKEND=cpu (slower, no such limit) or install tfjs-node',
    );
  if (total > available && !onGpu)
    throw new Error(
      `this run needs about ${gigabytes(total)} of memory and ${gigabytes(available)} are free: take fewer workers, ` +
        'innerOptimizer "sgd", fewer innerSteps, shorter texts or a smaller model',
    );
}
