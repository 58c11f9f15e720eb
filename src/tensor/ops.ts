/**
 * The ops of a transformer block with correct first *and* second derivatives.
 *
 * TensorFlow.js differentiates twice without complaint, but silently wrongly, through every op whose gradient saves its own output (exp,
 * tanh, sigmoid, softmax, logSoftmax: tensorflow/tfjs issue 3252). The ops here save their *input* and recompute; everything else they use
 * (add, mul, matMul, mean, rsqrt, transpose, slice, …) is right as it is. Models are written with these ops only; a lint rule keeps the
 * wrong ones out of the rest of the project.
 */
import * as tf from '@tensorflow/tfjs-core';
import './tfjs';

type Unary<T extends tf.Tensor = tf.Tensor> = (x: T) => T;

/** A unary op from its value and its derivative, both of which may be differentiated again. */
function smooth(value: (x: tf.Tensor) => tf.Tensor, derivative: (x: tf.Tensor) => tf.Tensor): Unary {
  return tf.customGrad((x, save) => {
    (save as tf.GradSaveFunc)([x as tf.Tensor]);
    return { value: value(x as tf.Tensor), gradFunc: (dy, [saved]) => tf.mul(dy, derivative(saved)) };
  });
}

/** eˣ. */
export const exp: Unary = smooth(
  (x) => tf.exp(x),
  (x) => exp(x),
);

/** Logistic function 1 / (1 + e⁻ˣ). */
export const sigmoid: Unary = smooth(
  (x) => tf.sigmoid(x),
  (x) => {
    const y = sigmoid(x);
    return tf.mul(y, tf.sub(1, y));
  },
);

/** log(1 + eˣ). */
export const softplus: Unary = smooth(
  (x) => tf.softplus(x),
  (x) => sigmoid(x),
);

/** Hyperbolic tangent. */
export const tanh: Unary = smooth(
  (x) => tf.tanh(x),
  (x) => tf.sub(1, tf.square(tanh(x))),
);

/** Softmax over the last axis. */
export const softmax: Unary = tf.customGrad((logits, save) => {
  (save as tf.GradSaveFunc)([logits as tf.Tensor]);
  return {
    value: tf.softmax(logits as tf.Tensor),
    gradFunc: (dy, [x]) => {
      const y = softmax(x);
      const dyTimesY = tf.mul(dy, y);
      return tf.sub(dyTimesY, tf.mul(tf.sum(dyTimesY, -1, true), y));
    },
  };
});

/** Logarithm of the softmax over the last axis. */
export const logSoftmax: Unary = tf.customGrad((logits, save) => {
  (save as tf.GradSaveFunc)([logits as tf.Tensor]);
  return {
    value: tf.logSoftmax(logits as tf.Tensor),
    gradFunc: (dy, [x]) => tf.sub(dy, tf.mul(softmax(x), tf.sum(dy, -1, true))),
  };
});

/**
 * The gradient of `tf.sum` spreads dy over ones. tfjs makes those in JavaScript and sends them to the backend, as many as there are
 * summands: of GPT-2's size that was a fifth of a metagradient's time on a GPU. Here the backend makes them. Holds until something
 * registers tfjs's own again.
 */
export const registerSumGradient = (): void =>
  tf.registerGradient({
    kernelName: tf.Sum,
    inputsToSave: ['x'],
    gradFunc: (dy, [x], { axis }) => {
      const axes = tf.util.parseAxisParam(axis as number | number[], x.shape);
      const kept = x.shape.map((size, i) => (axes.includes(i) ? 1 : size));
      return { x: () => tf.mul(tf.reshape(dy as tf.Tensor, kept), tf.fill(x.shape, 1)) };
    },
  });
registerSumGradient();

/** `tf.tidy` for what is differentiated: where it throws, it also frees what tfjs's tape has saved for the way back, which tfjs forgets. */
export function tidyGradient<T extends tf.TensorContainer>(f: () => T): T {
  try {
    return tf.tidy(f);
  } catch (error) {
    const { state } = tf.engine();
    if (state.gradientDepth === 0) {
      for (const { saved } of state.activeTape ?? []) tf.dispose(saved ?? []);
      state.activeTape = [];
    }
    throw error;
  }
}

/** Token ids as float one-hot rows, [n, vocab]. */
export const oneHotRows = (ids: Int32Array, vocab: number): tf.Tensor2D =>
  tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(ids, 'int32'), vocab), 'float32') as tf.Tensor2D);

/**
 * Rows of `table` [vocab, width] by their ids, [n, width]. The gradient is a matrix product, so any derivative is right on any backend.
 * @throws RangeError for an id outside the table: some backends would read other memory
 */
export function embed(ids: Int32Array, table: tf.Tensor2D): tf.Tensor2D {
  const [vocab] = table.shape;
  const outside = ids.find((id) => id < 0 || id >= vocab);
  if (outside !== undefined) throw new RangeError(`token ${outside} is outside the vocabulary of ${vocab}`);
  const rows = tf.customGrad((x) => ({
    value: tf.gather(x as tf.Tensor, tf.tensor1d(ids, 'int32')),
    gradFunc: (dy) => tf.matMul(oneHotRows(ids, vocab), dy as tf.Tensor2D, true),
  }));
  return rows(table) as tf.Tensor2D;
}

/** The tanh form of GELU (`gelu_new`), as x·sigmoid(2·√(2/π)·(x + 0.044715 x³)): the same function, faster on wasm. */
export function gelu(x: tf.Tensor): tf.Tensor {
  const inner = tf.add(x, tf.mul(0.044715, tf.mul(tf.square(x), x)));
  return tf.mul(x, sigmoid(tf.mul(2 * Math.sqrt(2 / Math.PI), inner)));
}

/** Sigmoid linear unit, x·sigmoid(x). */
export const silu = (x: tf.Tensor): tf.Tensor => tf.mul(x, sigmoid(x));

/** Root-mean-square normalisation over the last axis: no centring, no bias. */
export const rmsNorm = (x: tf.Tensor, weight: tf.Tensor, epsilon: number): tf.Tensor =>
  tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), epsilon))), weight);

/** Layer normalisation over the last axis. */
export function layerNorm(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor, epsilon: number): tf.Tensor {
  const centred = tf.sub(x, tf.mean(x, -1, true));
  const variance = tf.mean(tf.square(centred), -1, true);
  return tf.add(tf.mul(tf.mul(centred, tf.rsqrt(tf.add(variance, epsilon))), weight), bias);
}

/** x W + b with the last axis of `x` as features. */
export const linear = (x: tf.Tensor2D, weight: tf.Tensor2D, bias: tf.Tensor): tf.Tensor2D => tf.add(tf.matMul(x, weight), bias);

/** x Wᵀ with `weight` as PyTorch stores it, [out, in]. */
export const project = (x: tf.Tensor2D, weight: tf.Tensor): tf.Tensor2D => tf.matMul(x, weight as tf.Tensor2D, false, true);

/**
 * How much every query attends to every key, [batch, heads, queries, keys].
 * @param query - [batch, heads, queries, width]
 * @param key - [batch, heads, keys, width]
 * @param mask - additive, 0 or −1e9, broadcast to [batch, heads, queries, keys]
 */
export function attentionWeights(query: tf.Tensor4D, key: tf.Tensor4D, mask: tf.Tensor): tf.Tensor4D {
  const scale = 1 / Math.sqrt(query.shape[3]);
  return softmax(tf.add(tf.mul(tf.matMul(query, key, false, true), scale), mask)) as tf.Tensor4D;
}

/**
 * Softmax attention of queries over keys, [batch, heads, queries, width]; `value` is [batch, heads, keys, width], see
 * {@link attentionWeights}.
 */
export const attention = (query: tf.Tensor4D, key: tf.Tensor4D, value: tf.Tensor4D, mask: tf.Tensor): tf.Tensor4D =>
  tf.matMul(attentionWeights(query, key, mask), value);

/** Additive causal mask for `queries` positions that end a context of `keys` positions, [queries, keys]. */
export function causalMask(queries: number, keys: number): tf.Tensor2D {
  const offset = keys - queries;
  const mask = Float32Array.from({ length: queries * keys }, (_, i) => (i % keys > Math.floor(i / keys) + offset ? -1e9 : 0));
  return tf.tensor2d(mask, [queries, keys]);
}

/** Cross-entropy of every row, −log softmax(logits)[label], [n]. Both arguments are [n, vocab]; `labels` is one-hot and constant. */
export function crossEntropy(logits: tf.Tensor2D, labels: tf.Tensor2D): tf.Tensor1D {
  return tf.neg(tf.sum(tf.mul(logSoftmax(logits), labels), -1)) as tf.Tensor1D;
}
