/**
 * Sampling on plain tfjs ops: the prompt once, then one position at a time with a KV cache.
 */
import { setImmediate } from 'node:timers/promises';
import * as tf from '@tensorflow/tfjs-core';
import { logSoftmax } from '../../tensor/ops';
import type { KvCache } from '../families/transformer';
import type { SampleOptions, Samples } from '../types';

/** A uniform number counts at least this much, so that 0 does not draw a first token of probability 0; as in the kernel `sampleTokens`. */
const LEAST = 2 ** -60;

/**
 * The first token whose cumulative probability exceeds the uniform number, of log-probabilities; −1 where none of them is a number. The sum is
 * that of the numbers themselves: they add up to 1 only roughly, and what lacks at the end would be drawn as the last token.
 */
function drawToken(logs: Float32Array, uniform: number): number {
  const total = logs.reduce((sum, log) => sum + Math.exp(log), 0);
  const threshold = Math.max(uniform, LEAST) * total;
  let cumulative = 0;
  return logs.findIndex((log) => (cumulative += Math.exp(log)) > threshold);
}

/** Draws a token of every row by inverting the distribution of softmax(logits / temperature); where there is none, 0 with log-probability NaN. */
export function drawTokens(
  logits: tf.Tensor2D,
  temperature: number,
  uniforms: ArrayLike<number>,
): { ids: Int32Array; logProbs: Float32Array } {
  const [rows, vocab] = logits.shape;
  const logs = tf.tidy(() => logSoftmax(tf.div(logits, temperature)).dataSync<'float32'>());
  const ids = new Int32Array(rows);
  const logProbs = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const token = drawToken(logs.subarray(row * vocab, (row + 1) * vocab), uniforms[row]);
    ids[row] = Math.max(0, token);
    logProbs[row] = token < 0 ? NaN : logs[row * vocab + token];
  }
  return { ids, logProbs };
}

function disposeCache(cache: KvCache): void {
  for (const { key, value } of cache) tf.dispose([key, value]);
}

/** Logits [size, vocab] after the last of new positions [size, length], which come after those in the cache and are added to it. */
export type NextLogits = (ids: Int32Array, cache: KvCache) => tf.Tensor2D;

/** One call of `next` that leaves nothing behind but its result and the cache grown by `ids`; the old cache is freed. */
function decode(next: NextLogits, ids: Int32Array, past: KvCache): { last: tf.Tensor2D; cache: KvCache } {
  const cache = [...past];
  const [last] = tf.tidy(() => [next(ids, cache) as tf.Tensor, ...cache.flatMap(({ key, value }) => [key, value])]);
  disposeCache(past);
  return { last: last as tf.Tensor2D, cache };
}

/** Samples responses to prompts of one length, [size, promptLength]; see {@link SampleOptions}. */
export async function sampleWithCache(
  next: NextLogits,
  promptIds: Int32Array,
  size: number,
  options: SampleOptions,
): Promise<Samples> {
  const { maxNewTokens, temperature, uniforms, endTokens = [] } = options;
  const cells = size * maxNewTokens;
  const result = { ids: new Int32Array(cells), logProbs: new Float32Array(cells), mask: new Float32Array(cells) };
  const ended = new Uint8Array(size);
  let state = decode(next, promptIds, []);
  for (let step = 0; step < maxNewTokens; step++) {
    await setImmediate(); // Ctrl-C is heard
    const column = Float32Array.from({ length: size }, (_, row) => uniforms[row * maxNewTokens + step]);
    const drawn = drawTokens(state.last, temperature, column);
    state.last.dispose();
    for (let row = 0; row < size; row++) {
      const at = row * maxNewTokens + step;
      if (ended[row]) drawn.ids[row] = endTokens[0];
      result.ids[at] = drawn.ids[row];
      result.logProbs[at] = ended[row] ? 0 : drawn.logProbs[row];
      result.mask[at] = ended[row] ? 0 : 1;
      if (endTokens.includes(drawn.ids[row])) ended[row] = 1;
    }
    if (step < maxNewTokens - 1) state = decode(next, drawn.ids, state.cache);
  }
  disposeCache(state.cache);
  return result;
}
