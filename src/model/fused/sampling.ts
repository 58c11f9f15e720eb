/**
 * Sampling with a KV cache: the prompts in one pass, then one position of every row at a time. A row's tokens depend on nothing
 * but its prompt and its uniform numbers.
 */
import { measureBytes, type Arena } from '../../tensor/kernels/kernels';
import type { Prompts } from '../checks';
import type { SampleOptions, Samples } from '../types';
import { attentionColumns, attentionForward } from './attention';
import { rowNorm } from './block';
import { stackActivations, stackForward } from './blocks';
import { drawTokens, logitBuffer, type LossRows } from './crossEntropy';
import { embeddingForward } from './embedding';
import { headActivations, headForward } from './head';
import type { Microbatch } from './microbatch';
import { rotaryTables } from './rotary';
import { fillLayerRoom, layerRoom, microbatch, type Workspace } from './workspace';

/** Samples after every prompt, at most as many rows at a time as the activation budget allows; filled when the memory has been read. */
export function sample(w: Workspace, prompts: Prompts, options: SampleOptions): Samples {
  const { maxNewTokens, endTokens = [] } = options;
  const total = prompts.size * maxNewTokens;
  const samples = {
    ids: new Int32Array(total).fill(endTokens[0] ?? 0),
    logProbs: new Float32Array(total),
    mask: new Float32Array(total),
  };
  const perRow = measureBytes((counting) => groupBuffers(counting, w, 1, prompts.length, maxNewTokens));
  const limit = Math.max(1, Math.min(w.portions.sampledRows, Math.floor(w.portions.activationBytes / perRow)));
  for (let from = 0; from < prompts.size; from += limit) {
    const mark = w.memory.arena.mark();
    sampleGroup(w, prompts, options, from, Math.min(limit, prompts.size - from), samples);
    w.memory.arena.release(mark);
  }
  return samples;
}

function groupBuffers(a: Arena, w: Workspace, rows: number, length: number, maxNewTokens: number) {
  const { layers } = w;
  const capacity = length + maxNewTokens - 1; // the last token is never fed back
  const { keys } = attentionColumns(layers);
  return {
    capacity,
    room: {
      ...layerRoom(a, w, rows, length),
      work: a.floats(Math.max(w.k.attentionWorkFloats(length, layers.headWidth), capacity + 3)),
      rotary: rotaryTables(a, layers, capacity),
    },
    ids: a.floats(rows * length),
    stack: stackActivations(a, layers, rows, length, 1),
    caches: Array.from({ length: layers.n_layer }, () => ({
      keys: a.floats(rows * capacity * keys),
      values: a.floats(rows * capacity * keys),
    })),
    head: headActivations(a, rows, layers.n_embd),
    index: a.floats(rows),
    drawn: a.floats(rows),
    drawnLogProbs: a.floats(rows),
    uniforms: a.floats(rows),
  };
}

type GroupBuffers = ReturnType<typeof groupBuffers>;

/** Rows [from, from + rows) of the prompts. */
function sampleGroup(w: Workspace, prompts: Prompts, options: SampleOptions, from: number, rows: number, samples: Samples): void {
  const { maxNewTokens, temperature, uniforms, endTokens = [] } = options;
  const { length } = prompts;
  const b = groupBuffers(w.memory.arena, w, rows, length, maxNewTokens);
  const logits = logitBuffer(w.memory.arena, rows, w.layers.vocab_size, w.portions.logitBytes);
  const { n_embd: width, vocab_size: vocab } = w.layers;
  const drawn = { targets: b.drawn, values: b.drawnLogProbs };
  const loss: LossRows = { k: w.k, rows, width, vocab, logits, weights: 0, ...drawn };
  fillLayerRoom(w, b.room, rows * length, b.capacity);
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
    draw(w, b, loss, temperature);
    record(w, b, finished, samples, endTokens, (i) => (from + i) * maxNewTokens + t);
    if (t + 1 === maxNewTokens || finished.every((f) => f === 1)) return;
    advance(w, microbatch(w, rows, 1, b.room, length + t), b, b.drawn);
  }
}

/** Pushes the new positions of `m` into the caches, and the one at `b.index` of every row through all blocks. */
function advance(w: Workspace, m: Microbatch, b: GroupBuffers, ids: number): void {
  const p = w.region('parameters').pointers;
  const { n_head: heads, keyHeads } = w.layers;
  const { queries, keys: keyWidth } = attentionColumns(w.layers);
  embeddingForward(m, p, ids, b.stack.h);
  stackForward(m, p.blocks, b.stack, { rows: m.examples, index: b.index }, (_, a, block) => {
    const { keys, values } = b.caches[block];
    w.k.cacheKeysValues(m.examples, m.length, queries, keyWidth, a.qkv, keys, values, b.capacity, m.first);
    if (m.first === 0) attentionForward(m, a);
    else w.k.attentionStep(m.examples, heads, keyHeads, queries, a.qkv, keys, values, b.capacity, m.first + 1, a.out, m.work);
  });
}

/** Draws one token per row from its last position. */
function draw(w: Workspace, b: GroupBuffers, loss: LossRows, temperature: number): void {
  const p = w.region('parameters').pointers;
  headForward(rowNorm(microbatch(w, loss.rows, 1, b.room)), p.normF, b.head, b.stack.chosen.h, (x) =>
    drawTokens(loss, p.head, x, temperature, b.uniforms),
  );
}

/** Has the drawn tokens written to the samples. Rows that have ended draw on, for nobody, as long as others need it or a GPU does not know. */
function record(
  w: Workspace,
  b: GroupBuffers,
  finished: Uint8Array,
  samples: Samples,
  endTokens: readonly number[],
  position: (row: number) => number,
): void {
  const running = (use: (row: number) => void) => finished.forEach((end, row) => void (end || use(row)));
  w.memory.read(b.drawnLogProbs, finished.length, (values) => running((row) => (samples.logProbs[position(row)] = values[row])));
  w.memory.readIntegers(b.drawn, finished.length, (drawn) =>
    running((row) => {
      samples.ids[position(row)] = drawn[row];
      samples.mask[position(row)] = 1;
      if (endTokens.includes(drawn[row])) finished[row] = 1;
    }),
  );
}
