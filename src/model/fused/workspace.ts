/** One worker's memory: the parameters, their tangent and gradient, and buffers for one microbatch at a time. */
import { measureBytes, type Arena, type KernelMemory, type Kernels, type Pointer } from '../../tensor/kernels/kernels';
import { floatsAt, loadKernels, wasmMemory } from '../../tensor/kernels/wasm/kernels';
import { inputsAndLabels, microbatches } from '../batch';
import type { Layers } from '../families/layers';
import type { TokenBatch } from '../types';
import type { ChosenRows } from './blocks';
import { logitBuffer, type LossRows } from './crossEntropy';
import { headRows, writeHeadRows } from './headRows';
import { parameterLayout, parametersAt, type Layout, type ModelParameters } from './layout';
import type { Microbatch } from './microbatch';
import { rotaryTables, writeRotaryTables } from './rotary';
import { supportRows, writeSupport } from './supportRows';

/** How much is computed at a time. */
export interface Portions {
  /** Bytes of activations a microbatch may take, unless a single example needs more. */
  readonly activationBytes: number;
  /** Rows of a microbatch. */
  readonly microbatchRows: number;
  /** Prompts that are sampled after at a time. */
  readonly sampledRows: number;
  /** Bytes of logits held at once (their tangent takes as much again). */
  readonly logitBytes: number;
}

/**
 * For CPUs: rows enough to make packing the weights cheap, few enough to stay near the cache (128 to 512 differ by a few per cent), the
 * keys and values of those sampled too.
 */
export const CPU_PORTIONS: Portions = {
  activationBytes: 64 * 2 ** 20,
  microbatchRows: 256,
  sampledRows: 48,
  logitBytes: 32 * 2 ** 20,
};

export interface WorkspaceOptions {
  /** See {@link loadKernels}. */
  readonly relaxed?: boolean;
  /** Default: those of {@link CPU_PORTIONS}. */
  readonly activationBytes?: number;
}

/** Numbers of the parameters' layout in a memory. */
export interface Region {
  readonly pointers: ModelParameters;
  /** Sets all to 0. */
  clear(): void;
}

/** In WebAssembly's memory they are one flat array. */
export interface FlatRegion extends Region {
  values(): Float32Array;
}

/** Trees of an operation; `reference` are the parameters that a support is about. */
export type RegionName = 'parameters' | 'reference' | 'tangent' | 'result';

export interface Workspace {
  readonly layers: Layers;
  readonly layout: Layout;
  readonly k: Kernels;
  readonly memory: KernelMemory;
  readonly portions: Portions;
  /** The region of that name; made (and kept) at first use, which must not be inside a pass. */
  region(name: RegionName): Region;
}

export interface CpuWorkspace extends Workspace {
  region(name: RegionName): FlatRegion;
}

/** A fresh memory with the kernels on it. */
export function workspace(
  layers: Layers,
  { relaxed, activationBytes = CPU_PORTIONS.activationBytes }: WorkspaceOptions = {},
): CpuWorkspace {
  const bytes = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
  const k = loadKernels(bytes, relaxed);
  const memory = wasmMemory(bytes);
  k.setScratch(memory.arena.floats(k.scratchBytes() / 4));
  const layout = parameterLayout(layers.shapes);
  const regions = new Map<string, FlatRegion>();
  const region = (name: string): FlatRegion => {
    let found = regions.get(name);
    if (!found) {
      const base = memory.arena.floats(layout.length);
      const values = () => floatsAt(bytes, base, layout.length);
      found = {
        pointers: parametersAt(layers, layout, ({ offset }) => base + 4 * offset),
        values,
        clear: () => void values().fill(0),
      };
      regions.set(name, found);
    }
    return found;
  };
  return { layers, layout, k, memory, portions: { ...CPU_PORTIONS, activationBytes }, region };
}

/** What a microbatch of some layers needs beside activations. */
export type LayerRoom = Pick<Microbatch, 'work' | 'rotary' | 'heads'>;

/** Room for `examples` examples of `length` positions. */
export const layerRoom = (a: Arena, { k, layers }: Workspace, examples: number, length: number): LayerRoom => ({
  work: a.floats(k.attentionWorkFloats(length, layers.headWidth)),
  rotary: rotaryTables(a, layers, length),
  heads: layers.headNorms ? headRows(a, layers, examples * length) : null,
});

/** Fills what depends on the sizes alone. */
export function fillLayerRoom(
  { memory, layers }: Workspace,
  { rotary, heads }: LayerRoom,
  rows: number,
  positions: number,
): void {
  writeRotaryTables(memory, layers, rotary, positions);
  if (heads) writeHeadRows(memory, layers, heads, rows);
}

/** Buffers every pass over a batch has. */
export interface RowBuffers {
  readonly room: LayerRoom;
  readonly ids: Pointer;
  readonly index: Pointer;
  readonly targets: Pointer;
  readonly weights: Pointer;
  readonly values: Pointer;
}

export function rowBuffers(a: Arena, w: Workspace, examples: number, length: number): RowBuffers {
  const rows = examples * length;
  return {
    room: layerRoom(a, w, examples, length),
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
 * `values`: [size, length], 0 where the mask is 0, filled when the memory has been read. Microbatches without a row that counts are
 * skipped.
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
  const { activationBytes, microbatchRows, logitBytes } = w.portions;
  const fitting = Math.max(1, Math.min(Math.floor(activationBytes / perExample), Math.ceil(microbatchRows / batch.length)));
  const limit = Math.ceil(batch.size / Math.ceil(batch.size / fitting)); // as even as can be
  const { arena } = w.memory;
  const mark = arena.mark();
  try {
    const buffers = allocate(arena, limit);
    const logits = logitBuffer(arena, limit * batch.length, w.layers.vocab_size, logitBytes, tangent);
    const support = batch.support && supportRows(arena, batch.support, limit * batch.length);
    fillLayerRoom(w, buffers.room, limit * batch.length, batch.length);
    for (const { piece, from } of microbatches(batch, limit)) {
      const loaded = loadMicrobatch(w, piece, from, weight, buffers, { logits, support });
      if (loaded.chosen.rows === 0) continue;
      body(loaded);
      w.memory.read(buffers.values, loaded.chosen.rows, (values) =>
        loaded.positions.forEach((position, i) => (result[position] = values[i])),
      );
    }
  } finally {
    arena.release(mark);
  }
  return result;
}

function loadMicrobatch<B extends RowBuffers>(
  w: Workspace,
  piece: TokenBatch,
  from: number,
  weight: number,
  buffers: B,
  { logits, support }: Pick<LossRows, 'logits' | 'support'>,
): Loaded<B> {
  const { size: examples, length, mask } = piece;
  const { inputs, labels } = inputsAndLabels(piece);
  const index = new Int32Array(mask.length).map((_, row) => row).filter((row) => mask[row] !== 0);
  w.memory.write(buffers.ids, inputs);
  w.memory.write(buffers.index, index);
  w.memory.write(
    buffers.targets,
    index.map((row) => labels[row]),
  );
  w.memory.write(
    buffers.weights,
    Float32Array.from(index, (row) => weight * mask[row]),
  );
  if (support && piece.support) writeSupport(w.memory, support, piece.support, index);
  const m = microbatch(w, examples, length, buffers.room);
  const { targets, weights, values } = buffers;
  const { n_embd: width, vocab_size: vocab } = w.layers;
  return {
    m,
    buffers,
    chosen: { rows: index.length, index: buffers.index },
    loss: { k: w.k, rows: index.length, width, vocab, logits, targets, weights, values, support },
    positions: index.map((row) => from * length + row),
  };
}

/** Examples whose positions begin at `first`. */
export const microbatch = (
  { k, layers }: Workspace,
  examples: number,
  length: number,
  room: LayerRoom,
  first = 0,
): Microbatch => ({
  k,
  layers,
  examples,
  length,
  first,
  rows: examples * length,
  ...room,
});
