/** One worker's memory: the parameters, their tangent and gradient, and buffers for one microbatch at a time. */
import {
  arena,
  floatsAt,
  integersAt,
  loadKernels,
  measureBytes,
  type Arena,
  type Kernels,
  type Pointer,
} from '../../tensor/kernels/wasm/kernels';
import { inputsAndLabels, microbatches } from '../batch';
import type { Gpt2Config, TokenBatch } from '../types';
import { attentionWorkFloats } from './attention';
import type { ChosenRows } from './blocks';
import { logitBuffer, type LogitBuffer, type LossRows } from './crossEntropy';
import { parameterLayout, parametersAt, type Gpt2Parameters, type Layout } from './layout';
import type { Microbatch } from './microbatch';

/** Bytes of activations a microbatch may take, unless a single example needs more. */
export const ACTIVATION_BYTES = 64 * 2 ** 20;

/**
 * Rows of a microbatch: enough to make packing the weights cheap, few enough to stay near the cache (128–512 differ by a few
 * per cent).
 */
const MICROBATCH_ROWS = 256;

export interface WorkspaceOptions {
  /** See {@link loadKernels}. */
  readonly relaxed?: boolean;
  /** Default {@link ACTIVATION_BYTES}. */
  readonly activationBytes?: number;
}

/** A flat array of the parameters' layout in this memory. */
export interface Region {
  readonly pointers: Gpt2Parameters;
  values(): Float32Array;
}

export interface Workspace {
  readonly config: Gpt2Config;
  readonly layout: Layout;
  readonly k: Kernels;
  readonly memory: WebAssembly.Memory;
  readonly arena: Arena;
  readonly activationBytes: number;
  /** The region of that name; made (and kept) at first use, which must not be inside a pass. */
  region(name: 'parameters' | 'tangent' | 'result'): Region;
}

/** A fresh memory with the kernels on it. */
export function workspace(config: Gpt2Config, { relaxed, activationBytes = ACTIVATION_BYTES }: WorkspaceOptions = {}): Workspace {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
  const k = loadKernels(memory, relaxed);
  const own = arena(memory);
  k.setScratch(own.floats(k.scratchBytes() / 4));
  const layout = parameterLayout(config);
  const regions = new Map<string, Region>();
  const region = (name: string): Region => {
    let found = regions.get(name);
    if (!found) {
      const base = own.floats(layout.length);
      found = { pointers: parametersAt(config, layout, base), values: () => floatsAt(memory, base, layout.length) };
      regions.set(name, found);
    }
    return found;
  };
  return { config, layout, k, memory, arena: own, activationBytes, region };
}

/** Buffers every pass over a batch has. */
export interface RowBuffers {
  readonly work: Pointer;
  readonly ids: Pointer;
  readonly index: Pointer;
  readonly targets: Pointer;
  readonly weights: Pointer;
  readonly values: Pointer;
}

export function rowBuffers(a: Arena, { k, config: { n_embd, n_head } }: Workspace, examples: number, length: number): RowBuffers {
  const rows = examples * length;
  return {
    work: a.floats(attentionWorkFloats(k, length, n_embd, n_head)),
    ids: a.floats(rows),
    index: a.floats(rows),
    targets: a.floats(rows),
    weights: a.floats(rows),
    values: a.floats(rows),
  };
}

/** One microbatch in memory: its ids, and which of its rows count. */
export interface Loaded<B> {
  readonly m: Microbatch;
  readonly buffers: B;
  readonly chosen: ChosenRows;
  /** The chosen rows as the loss wants them. */
  readonly loss: LossRows;
  /** Chosen rows as positions in the whole batch's [size, length]. */
  readonly positions: Int32Array;
}

/**
 * Runs `body` on one microbatch after the other, each at most as large as the activation budget allows, and collects what it leaves in
 * `values`: [size, length], 0 where the mask is 0. Microbatches without a row that counts are skipped.
 * @param weight - weight of a row whose mask is 1
 * @param tangent - whether logits need a tangent beside them
 * @param allocate - the buffers of a microbatch of so many examples, without the logits
 */
export function inMicrobatches<B extends RowBuffers>(
  w: Workspace,
  batch: TokenBatch,
  { weight, tangent }: { weight: number; tangent: boolean },
  allocate: (a: Arena, examples: number) => B,
  body: (loaded: Loaded<B>) => void,
): Float32Array {
  const result = new Float32Array(batch.size * batch.length);
  const perExample = measureBytes((counting) => allocate(counting, 1));
  const fitting = Math.max(1, Math.min(Math.floor(w.activationBytes / perExample), Math.ceil(MICROBATCH_ROWS / batch.length)));
  const limit = Math.ceil(batch.size / Math.ceil(batch.size / fitting)); // as even as can be
  const mark = w.arena.mark();
  try {
    const buffers = allocate(w.arena, limit);
    const logits = logitBuffer(w.arena, limit * batch.length, w.config.vocab_size, tangent);
    for (const { piece, from } of microbatches(batch, limit)) {
      const loaded = loadMicrobatch(w, piece, from, weight, buffers, logits);
      if (loaded.chosen.rows === 0) continue;
      body(loaded);
      const values = floatsAt(w.memory, buffers.values, loaded.chosen.rows);
      loaded.positions.forEach((position, i) => (result[position] = values[i]));
    }
  } finally {
    w.arena.release(mark);
  }
  return result;
}

function loadMicrobatch<B extends RowBuffers>(
  w: Workspace,
  piece: TokenBatch,
  from: number,
  weight: number,
  buffers: B,
  logits: LogitBuffer,
): Loaded<B> {
  const { size: examples, length, mask } = piece;
  const { inputs, labels } = inputsAndLabels(piece);
  const index = new Int32Array(mask.length).map((_, row) => row).filter((row) => mask[row] !== 0);
  integersAt(w.memory, buffers.ids, inputs.length).set(inputs);
  integersAt(w.memory, buffers.index, index.length).set(index);
  integersAt(w.memory, buffers.targets, index.length).set(index.map((row) => labels[row]));
  floatsAt(w.memory, buffers.weights, index.length).set(new Float32Array(index.length).map((_, i) => weight * mask[index[i]]));
  const m = microbatch(w, examples, length, buffers.work);
  const { targets, weights, values } = buffers;
  return {
    m,
    buffers,
    chosen: { rows: index.length, index: buffers.index },
    loss: { k: w.k, rows: index.length, width: m.width, vocab: m.vocab, logits, targets, weights, values },
    positions: index.map((row) => from * length + row),
  };
}

/** Sizes of a microbatch. */
export function microbatch({ k, config }: Workspace, examples: number, length: number, work: Pointer): Microbatch {
  const { n_embd: width, n_head: heads, vocab_size: vocab, layer_norm_epsilon: epsilon } = config;
  return { k, examples, length, rows: examples * length, width, heads, vocab, epsilon, work };
}
