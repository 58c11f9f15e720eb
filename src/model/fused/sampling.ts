/**
 * Sampling with a KV cache: the prompts in one pass, then one position of every row at a time. A row's tokens depend on nothing
 * but its prompt and its uniform numbers. Where a reference says which tokens may be drawn, it runs beside the model, with a cache of its
 * own.
 */
import { measureBytes, type Arena, type Pointer } from '../../tensor/kernels/kernels';
import type { Prompts } from '../checks';
import { supportWords } from '../tokenSupport';
import type { SampleOptions, Samples } from '../types';
import { attentionColumns, attentionForward } from './attention';
import { rowNorm } from './block';
import { stackActivations, stackForward } from './blocks';
import { drawTokens, likelyTokens, logitBuffer, type LossRows } from './crossEntropy';
import { embeddingForward } from './embedding';
import { headActivations, headForward } from './head';
import type { Microbatch } from './microbatch';
import { rotaryTables } from './rotary';
import { supportRows, writeSupport } from './supportRows';
import { fillLayerRoom, layerRoom, microbatch, type RegionName, type Workspace } from './workspace';

/** What a share of the prompts is sampled with; the reference is the workspace's region of that name. */
export type SamplingTask = Omit<SampleOptions, 'reference'>;

/** Samples after every prompt, at most as many rows at a time as the activation budget allows; filled when the memory has been read. */
export function sample(w: Workspace, prompts: Prompts, options: SamplingTask): Samples {
  const { maxNewTokens, endTokens = [], minP = 0 } = options;
  const total = prompts.size * maxNewTokens;
  const words = supportWords(w.layers.vocab_size);
  const samples = {
    ids: new Int32Array(total).fill(endTokens[0] ?? 0),
    logProbs: new Float32Array(total),
    mask: new Float32Array(total),
    ...(minP > 0 && { support: { bits: new Int32Array(total * words), words } }),
  };
  const perRow = measureBytes((counting) => groupBuffers(counting, w, 1, prompts.length, options));
  const limit = Math.max(1, Math.min(w.portions.sampledRows, Math.floor(w.portions.activationBytes / perRow)));
  for (let from = 0; from < prompts.size; from += limit) {
    const mark = w.memory.arena.mark();
    sampleGroup(w, prompts, options, from, Math.min(limit, prompts.size - from), samples);
    w.memory.arena.release(mark);
  }
  return samples;
}

/** One model on its way through the positions: its parameters, activations and cache. */
function passBuffers(a: Arena, { layers }: Workspace, region: RegionName, rows: number, length: number, capacity: number) {
  const { keys } = attentionColumns(layers);
  return {
    region,
    stack: stackActivations(a, layers, rows, length, 1),
    caches: Array.from({ length: layers.n_layer }, () => ({
      keys: a.floats(rows * capacity * keys),
      values: a.floats(rows * capacity * keys),
    })),
    head: headActivations(a, rows, layers.n_embd),
  };
}

type PassBuffers = ReturnType<typeof passBuffers>;

function groupBuffers(a: Arena, w: Workspace, rows: number, length: number, options: SamplingTask) {
  const { maxNewTokens, writable, minP = 0 } = options;
  const { layers } = w;
  const capacity = length + maxNewTokens - 1; // the last token is never fed back
  const pass = (region: RegionName) => passBuffers(a, w, region, rows, length, capacity);
  return {
    capacity,
    room: {
      ...layerRoom(a, w, rows, length),
      work: a.floats(Math.max(w.k.attentionWorkFloats(length, layers.headWidth), capacity + 3)),
      rotary: rotaryTables(a, layers, capacity),
    },
    ids: a.floats(rows * length),
    model: pass('parameters'),
    reference: minP > 0 ? { ...pass('reference'), bits: a.floats(rows * supportWords(layers.vocab_size)) } : null,
    writable: writable && supportRows(a, writable, rows),
    index: a.floats(rows),
    drawn: a.floats(rows),
    drawnLogProbs: a.floats(rows),
    uniforms: a.floats(rows),
  };
}

type GroupBuffers = ReturnType<typeof groupBuffers>;

/** Rows [from, from + rows) of the prompts. */
function sampleGroup(w: Workspace, prompts: Prompts, options: SamplingTask, from: number, rows: number, samples: Samples): void {
  const { maxNewTokens, uniforms, writable } = options;
  const { length } = prompts;
  const b = groupBuffers(w.memory.arena, w, rows, length, options);
  const logits = logitBuffer(w.memory.arena, rows, w.layers.vocab_size, w.portions.logitBytes);
  const { n_embd: width, vocab_size: vocab } = w.layers;
  const drawn = { targets: b.drawn, values: b.drawnLogProbs };
  const support = b.reference ? { bits: b.reference.bits, stride: supportWords(vocab) } : b.writable;
  const loss: LossRows = { k: w.k, rows, width, vocab, logits, weights: 0, support, ...drawn };
  fillLayerRoom(w, b.room, rows * length, b.capacity);
  if (writable && b.writable) writeSupport(w.memory, b.writable, writable);
  const finished = new Uint8Array(rows);
  const perRow = (value: (row: number) => number) => Int32Array.from({ length: rows }, (_, i) => value(i));

  w.memory.write(b.ids, prompts.ids.subarray(from * length, (from + rows) * length));
  w.memory.write(
    b.index,
    perRow((i) => (i + 1) * length - 1),
  ); // each prompt's last position
  advance(w, microbatch(w, rows, length, b.room), b, b.ids);
  w.memory.write(
    b.index,
    perRow((i) => i),
  ); // from now on there is but one
  for (let t = 0; t < maxNewTokens; t++) {
    const column = Float32Array.from({ length: rows }, (_, i) => uniforms[(from + i) * maxNewTokens + t]);
    w.memory.write(b.uniforms, column);
    draw(w, b, loss, options);
    record(w, b, finished, samples, options, (i) => (from + i) * maxNewTokens + t);
    if (t + 1 === maxNewTokens || finished.every((f) => f === 1)) return;
    advance(w, microbatch(w, rows, 1, b.room, length + t), b, b.drawn);
  }
}

/**
 * Pushes the new positions of `m` into the caches of the model and its reference, and the one at `b.index` of every row through all blocks.
 */
function advance(w: Workspace, m: Microbatch, b: GroupBuffers, ids: number): void {
  advanceOne(w, m, b, b.model, ids);
  if (b.reference) advanceOne(w, m, b, b.reference, ids);
}

function advanceOne(w: Workspace, m: Microbatch, b: GroupBuffers, { region, stack, caches }: PassBuffers, ids: number): void {
  const p = w.region(region).pointers;
  const { n_head: heads, keyHeads } = w.layers;
  const { queries, keys: keyWidth } = attentionColumns(w.layers);
  embeddingForward(m, p, ids, stack.h);
  stackForward(m, p.blocks, stack, { rows: m.examples, index: b.index }, (_, a, block) => {
    const { keys, values } = caches[block];
    w.k.cacheKeysValues(m.examples, m.length, queries, keyWidth, a.qkv, keys, values, b.capacity, m.first);
    if (m.first === 0) attentionForward(m, a);
    else w.k.attentionStep(m.examples, heads, keyHeads, queries, a.qkv, keys, values, b.capacity, m.first + 1, a.out, m.work);
  });
}

/** Draws one token per row from its last position, of those that its reference finds likely. */
function draw(w: Workspace, b: GroupBuffers, loss: LossRows, { temperature, minP = 0 }: SamplingTask): void {
  const predict = ({ region, stack, head }: PassBuffers, read: (head: Pointer, x: Pointer) => void): void => {
    const p = w.region(region).pointers;
    headForward(rowNorm(microbatch(w, loss.rows, 1, b.room)), p.normF, head, stack.chosen.h, (x) => read(p.head, x));
  };
  const { reference } = b;
  if (reference) predict(reference, (head, x) => likelyTokens({ ...loss, support: b.writable }, head, x, minP, reference.bits));
  predict(b.model, (head, x) => drawTokens(loss, head, x, temperature, b.uniforms));
}

/**
 * Has the drawn tokens written to the samples. Rows that have ended draw on, for nobody, as long as others need it or a GPU does not know.
 */
function record(
  w: Workspace,
  b: GroupBuffers,
  finished: Uint8Array,
  samples: Samples,
  { endTokens = [] }: SamplingTask,
  position: (row: number) => number,
): void {
  const running = (use: (row: number) => void) => finished.forEach((end, row) => void (end || use(row)));
  w.memory.read(b.drawnLogProbs, finished.length, (values) => running((row) => (samples.logProbs[position(row)] = values[row])));
  const { support } = samples;
  if (b.reference && support)
    w.memory.readIntegers(b.reference.bits, finished.length * support.words, (bits) =>
      running((row) =>
        support.bits.set(bits.subarray(row * support.words, (row + 1) * support.words), position(row) * support.words),
      ),
    );
  w.memory.readIntegers(b.drawn, finished.length, (drawn) =>
    running((row) => {
      samples.ids[position(row)] = drawn[row];
      samples.mask[position(row)] = 1;
      if (endTokens.includes(drawn[row])) finished[row] = 1;
    }),
  );
}
