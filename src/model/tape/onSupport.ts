/** The support of predictions on plain tfjs ops; see the kernels of the same names. */
import * as tf from '@tensorflow/tfjs-core';
import { allows, sharedSupport, supportWords, type Support } from '../tokenSupport';

/** Far below every logit. */
const FORBIDDEN = -1e9;

/** Logits [rows, vocab] with those of tokens that may not be written at −10⁹, which leaves them no probability. */
export function onSupport(logits: tf.Tensor2D, support: Support): tf.Tensor2D {
  const [rows, vocab] = logits.shape;
  const allowed = Uint8Array.from({ length: rows * vocab }, (_, i) => Number(allows(support, Math.floor(i / vocab), i % vocab)));
  return tf.where(tf.tensor2d(allowed, [rows, vocab], 'bool'), logits, FORBIDDEN);
}

/** The tokens whose probability under softmax(logits [rows, vocab]) is at least `minP` times the likeliest one's, a row each. */
export function likelyTokens(logits: Float32Array, vocab: number, minP: number): Support {
  const rows = logits.length / vocab;
  const words = supportWords(vocab);
  const bits = new Int32Array(rows * words);
  for (let row = 0; row < rows; row++) {
    const own = logits.subarray(row * vocab, (row + 1) * vocab);
    const least = own.reduce((most, x) => Math.max(most, x), -Infinity) + Math.log(minP);
    bits.set(sharedSupport(vocab, (id) => own[id] >= least).bits, row * words);
  }
  return { bits, words };
}
