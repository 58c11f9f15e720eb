/**
 * The tape engine: exact first and second derivatives of any language model written in the ops of `tensor/ops.ts`, on any tfjs backend.
 *
 * Forward-over-reverse is reverse-over-reverse here: with S(θ, w) = ⟨∇_θ Σ_it w_it ℓ_it / B, v⟩, one more backward pass gives ∂S/∂θ = H v
 * and ∂S/∂w = the token tangents. It is the reference for the fused engine and the way to GPUs.
 */
import * as tf from '@tensorflow/tfjs';
import { crossEntropy, exp, logSoftmax, oneHotRows } from '../tensor/ops';
import { disposeParams, type Params } from '../tensor/params';
import { inputsAndLabels, microbatches } from './batch';
import { gpt2Logits, type KvCache } from './gpt2';
import { sampleWithCache } from './tapeSampling';
import type { Gpt2Config, LanguageModel, LossGradient, LossTangent, PolicyGradient, PolicyTerms, TokenBatch } from './types';

/** Logits [batch · length, vocab] of ids [batch, length], optionally after the positions in a KV cache. */
export type LogitsFunction = (params: Params, ids: Int32Array, batch: number, cache?: KvCache) => tf.Tensor2D;

/** A model on the tape: its logits, its vocabulary, and the examples the tape holds at once (memory only; results agree up to rounding). */
interface Tape {
  readonly logits: LogitsFunction;
  readonly vocab: number;
  readonly microbatch: number;
}

/** Adds `piece` to `total` leaf by leaf and frees both arguments. */
function accumulate(total: Params | null, piece: Params): Params {
  if (!total) return piece;
  const sum = Object.fromEntries(Object.keys(piece).map((name) => [name, tf.add(total[name], piece[name])]));
  disposeParams(total, piece);
  return sum;
}

const toRecord = (names: readonly string[], values: readonly tf.Tensor[]): Params =>
  Object.fromEntries(names.map((name, i) => [name, values[i]]));

/** m_it · CE_it / S, [size, length]. */
function tokenLosses({ logits, vocab }: Tape, params: Params, batch: TokenBatch): tf.Tensor2D {
  const { inputs, labels } = inputsAndLabels(batch);
  const losses = crossEntropy(logits(params, inputs, batch.size), oneHotRows(labels, vocab)); // [size·length]
  const share = tf.div(tf.tensor2d(batch.mask, [batch.size, batch.length]), batch.length);
  return tf.mul(tf.reshape(losses, [batch.size, batch.length]), share);
}

async function gradient(tape: Tape, params: Params, batch: TokenBatch): Promise<LossGradient> {
  const names = Object.keys(params);
  const losses = new Float32Array(batch.size);
  let total: Params | null = null;
  for (const { piece, from } of microbatches(batch, tape.microbatch)) {
    const grads = tf.tidy(() => {
      const meanLoss = (...leaves: tf.Tensor[]): tf.Scalar => {
        const perExample = tf.sum(tokenLosses(tape, toRecord(names, leaves), piece), 1); // [size]
        losses.set(perExample.dataSync<'float32'>(), from);
        return tf.div(tf.sum(perExample), batch.size);
      };
      return toRecord(names, tf.grads(meanLoss)(Object.values(params)));
    });
    total = accumulate(total, grads);
  }
  return { losses, gradient: total! };
}

/** S(θ, w) of the file comment, for a piece of a batch of `size` examples. */
function directional(tape: Tape, names: readonly string[], tangent: Params, piece: TokenBatch, size: number) {
  return (leaves: tf.Tensor[], weights: tf.Tensor): tf.Scalar => {
    const weighted = (...theta: tf.Tensor[]): tf.Scalar =>
      tf.div(tf.sum(tf.mul(tokenLosses(tape, toRecord(names, theta), piece), weights)), size);
    const products = tf
      .grads(weighted)(leaves)
      .map((g, i) => tf.sum(tf.mul(g, tangent[names[i]])));
    return products.reduce((a, b) => tf.add(a, b)) as tf.Scalar; // not addN: it is wrong on webgpu beyond 8 inputs
  };
}

async function hessianVectorProduct(
  tape: Tape,
  params: Params,
  batch: TokenBatch,
  tangent: Params,
  wanted: boolean,
): Promise<LossTangent> {
  const names = Object.keys(params);
  const tokenTangents = new Float32Array(batch.size * batch.length);
  let product: Params | null = null;
  for (const { piece, from } of microbatches(batch, tape.microbatch)) {
    const s = directional(tape, names, tangent, piece, batch.size);
    const values = Object.values(params);
    const grads = tf.tidy(() => {
      const ones = tf.ones([piece.size, piece.length]);
      const results = wanted
        ? tf.grads((...x) => s(x.slice(0, -1), x[x.length - 1]))([...values, ones])
        : [tf.grad((w) => s(values, w))(ones)];
      tokenTangents.set(tf.mul(results[results.length - 1], batch.size).dataSync<'float32'>(), from * batch.length);
      return toRecord(wanted ? names : [], results);
    });
    if (wanted) product = accumulate(product, grads);
  }
  return { tokenTangents, product };
}

/** Log-probabilities [size·length, vocab] at every predicted position. */
function logDistributions(tape: Tape, params: Params, batch: TokenBatch, temperature: number): tf.Tensor {
  return logSoftmax(tf.div(tape.logits(params, inputsAndLabels(batch).inputs, batch.size), temperature));
}

/** log-probability of the label of every row, [size·length]. */
const ofLabels = ({ vocab }: Tape, logs: tf.Tensor, batch: TokenBatch): tf.Tensor1D =>
  tf.sum(tf.mul(logs, oneHotRows(inputsAndLabels(batch).labels, vocab)), -1);

async function logProbs(tape: Tape, params: Params, batch: TokenBatch, temperature: number): Promise<Float32Array> {
  const result = new Float32Array(batch.size * batch.length);
  for (const { piece, from } of microbatches(batch, tape.microbatch)) {
    const values = tf.tidy(() =>
      tf.mul(ofLabels(tape, logDistributions(tape, params, piece, temperature), piece), tf.tensor1d(piece.mask)),
    );
    result.set(values.dataSync<'float32'>(), from * batch.length);
    values.dispose();
  }
  return result;
}

/** Sums of GRPO's surrogate over the masked tokens of a piece that starts at cell `from` of the batch; see {@link PolicyTerms}. */
function surrogateSums(tape: Tape, logs: tf.Tensor, piece: TokenBatch, terms: PolicyTerms, from: number) {
  const cells = (values: Float32Array): tf.Tensor1D => tf.tensor1d(values.subarray(from, from + piece.size * piece.length));
  const mask = tf.tensor1d(piece.mask);
  const total = (x: tf.Tensor): tf.Scalar => tf.sum(tf.mul(x, mask));
  const logProb = ofLabels(tape, logs, piece);
  const ratio = exp(tf.mul(tf.sub(logProb, cells(terms.oldLogProbs)), mask));
  const advantages = terms.advantages.subarray(from, from + piece.mask.length);
  const isClipped = ratio
    .dataSync<'float32'>()
    .map((r: number, i: number) => Number(advantages[i] > 0 ? r > 1 + terms.clip : advantages[i] < 0 && r < 1 - terms.clip));
  const active = advantages.map((a, i) => a * (1 - isClipped[i])); // the clipped branch of the minimum is constant
  const difference = tf.sub(terms.refLogProbs ? cells(terms.refLogProbs) : logProb, logProb);
  return {
    logProb: tf.mul(logProb, mask),
    reward: total(tf.mul(ratio, tf.tensor1d(active))),
    entropy: total(tf.neg(tf.sum(tf.mul(exp(logs), logs), -1))),
    kl: total(tf.sub(tf.sub(exp(difference), difference), 1)),
    clipped: isClipped.reduce((sum, x, i) => sum + x * piece.mask[i], 0),
  };
}

async function policyGradient(tape: Tape, params: Params, batch: TokenBatch, terms: PolicyTerms): Promise<PolicyGradient> {
  const names = Object.keys(params);
  const tokens = batch.mask.reduce((a, b) => a + b, 0);
  const means = { entropy: 0, kl: 0, clipFraction: 0 };
  const logProbs = new Float32Array(batch.size * batch.length);
  let total: Params | null = null;
  for (const { piece, from } of microbatches(batch, tape.microbatch)) {
    const grads = tf.tidy(() => {
      const loss = (...leaves: tf.Tensor[]): tf.Scalar => {
        const logs = logDistributions(tape, toRecord(names, leaves), piece, terms.temperature);
        const sums = surrogateSums(tape, logs, piece, terms, from * batch.length);
        logProbs.set(sums.logProb.dataSync<'float32'>(), from * batch.length);
        means.entropy += sums.entropy.dataSync()[0] / tokens;
        means.kl += sums.kl.dataSync()[0] / tokens;
        means.clipFraction += sums.clipped / tokens;
        const penalty = tf.sub(tf.mul(sums.kl, terms.klCoef), tf.mul(sums.entropy, terms.entropyCoef));
        return tf.div(tf.sub(penalty, sums.reward), tokens);
      };
      return toRecord(names, tf.grads(loss)(Object.values(params)));
    });
    total = accumulate(total, grads);
  }
  return { gradient: total!, logProbs, ...means };
}

/**
 * A language model that differentiates `logits` with tfjs's tape.
 * @param microbatch - examples held on the tape at once
 */
export function tapeModel<Config extends Gpt2Config>(
  config: Config,
  logits: LogitsFunction,
  { microbatch = 64 } = {},
): LanguageModel {
  const tape = { logits, vocab: config.vocab_size, microbatch };
  return {
    config,
    engine: `tape on ${tf.getBackend()}`,
    gradient: (params, batch) => gradient(tape, params, batch),
    hessianVectorProduct: (params, batch, tangent, { product = true } = {}) =>
      hessianVectorProduct(tape, params, batch, tangent, product),
    logProbs: (params, batch, temperature = 1) => logProbs(tape, params, batch, temperature),
    policyGradient: (params, batch, terms) => policyGradient(tape, params, batch, terms),
    async sample(params, { ids, size }, options) {
      return sampleWithCache((next, cache) => logits(params, next, size, cache), tape.vocab, ids, size, options);
    },
    dispose: () => undefined,
  };
}

/** GPT-2 on the tape engine. */
export const tapeGpt2 = (config: Gpt2Config, options?: { microbatch?: number }): LanguageModel =>
  tapeModel(config, (params, ids, batch, cache) => gpt2Logits(params, config, ids, batch, cache), options);
