/**
 * Sampling on plain tfjs ops: the prompt once, then one position at a time with a KV cache.
 */
import { setImmediate } from 'node:timers/promises';
import * as tf from '@tensorflow/tfjs-core';
import { logSoftmax } from '../../tensor/ops';
import type { Params } from '../../tensor/params';
import type { KvCache } from '../families/transformer';
import type { Prompts } from '../checks';
import type { SampleOptions, Samples, Support, SupportRule } from '../types';
import { likelyTokens, onSupport } from './onSupport';

/** A uniform number counts at least this much, so that 0 does not draw a first token of probability 0; as in the kernel `sampleTokens`. */
const LEAST = 2 ** -60;

/**
 * The first token whose cumulative probability exceeds the uniform number, of log-probabilities; −1 where none of them is a number. The sum
 * is that of the numbers themselves: they add up to 1 only roughly, and what lacks at the end would be drawn as the last token.
 */
function drawToken(logs: Float32Array, uniform: number): number {
  const total = logs.reduce((sum, log) => sum + Math.exp(log), 0);
  const threshold = Math.max(uniform, LEAST) * total;
  let cumulative = 0;
  return logs.findIndex((log) => (cumulative += Math.exp(log)) > threshold);
}

/**
 * Draws a token of every row by inverting the distribution of softmax(logits / temperature) on the support; where there is none, 0 with
 * log-probability NaN.
 */
export function drawTokens(
  logits: tf.Tensor2D,
  temperature: number,
  uniforms: ArrayLike<number>,
  support?: Support,
): { ids: Int32Array; logProbs: Float32Array } {
  const [rows, vocab] = logits.shape;
  const allowed = (): tf.Tensor2D => (support ? onSupport(logits, support) : logits);
  const logs = tf.tidy(() => logSoftmax(tf.div(allowed(), temperature)).dataSync<'float32'>());
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

/** One model on its way through the positions: logits [size, vocab] after more of them, with all before them in a cache. */
function decoder(next: NextLogits) {
  let past: KvCache = [];
  return {
    after(ids: Int32Array): tf.Tensor2D {
      const cache = [...past];
      const [last] = tf.tidy(() => [next(ids, cache) as tf.Tensor, ...cache.flatMap(({ key, value }) => [key, value])]);
      disposeCache(past);
      past = cache;
      return last as tf.Tensor2D;
    },
    dispose: () => disposeCache(past),
  };
}

/** Which tokens may come after more positions: those that the reference finds likely, with a cache of its own, or always the same. */
function supportDecoder(nextOf: (params: Params) => NextLogits, { writable, minP = 0, reference }: SupportRule) {
  if (minP === 0 || !reference) return { after: () => writable, dispose: () => undefined };
  const model = decoder(nextOf(reference));
  return {
    after(ids: Int32Array): Support {
      const logits = model.after(ids);
      const values = tf.tidy(() => (writable ? onSupport(logits, writable) : logits).dataSync<'float32'>());
      const [, vocab] = logits.shape;
      logits.dispose();
      return likelyTokens(values, vocab, minP);
    },
    dispose: model.dispose,
  };
}

/** The supports of all steps, a row a sample each, in the samples' order; no token where the mask is 0. */
function recorded(steps: readonly Support[], mask: Float32Array): Support {
  const { words } = steps[0];
  const bits = new Int32Array(mask.length * words);
  mask.forEach((counts, at) => {
    const row = Math.floor(at / steps.length) * words;
    if (counts) bits.set(steps[at % steps.length].bits.subarray(row, row + words), at * words);
  });
  return { bits, words };
}

/** Samples responses to prompts of one length, [size, promptLength]; see {@link SampleOptions}. */
export async function sampleWithCache(
  nextOf: (params: Params) => NextLogits,
  params: Params,
  { ids: promptIds, size }: Pick<Prompts, 'ids' | 'size'>,
  options: SampleOptions,
): Promise<Samples> {
  const { maxNewTokens, temperature, uniforms, endTokens = [], minP = 0 } = options;
  const cells = size * maxNewTokens;
  const result = { ids: new Int32Array(cells), logProbs: new Float32Array(cells), mask: new Float32Array(cells) };
  const ended = new Uint8Array(size);
  const [model, supports] = [decoder(nextOf(params)), supportDecoder(nextOf, options)];
  const allowed: Support[] = [];
  let ids = promptIds;
  for (let step = 0; step < maxNewTokens; step++) {
    await setImmediate(); // Ctrl-C is heard
    const column = Float32Array.from({ length: size }, (_, row) => uniforms[row * maxNewTokens + step]);
    const [logits, support] = [model.after(ids), supports.after(ids)];
    const drawn = drawTokens(logits, temperature, column, support);
    logits.dispose();
    if (support) allowed.push(support);
    for (let row = 0; row < size; row++) {
      const at = row * maxNewTokens + step;
      if (ended[row]) drawn.ids[row] = endTokens[0];
      result.ids[at] = drawn.ids[row];
      result.logProbs[at] = ended[row] ? 0 : drawn.logProbs[row];
      result.mask[at] = ended[row] ? 0 : 1;
      if (endTokens.includes(drawn.ids[row])) ended[row] = 1;
    }
    ids = drawn.ids;
  }
  model.dispose();
  supports.dispose();
  return { ...result, ...(minP > 0 && { support: recorded(allowed, result.mask) }) };
}
