/**
 * The tape engine: exact first and second derivatives of every family, written in the ops of `tensor/ops.ts`, on any tfjs backend.
 *
 * Forward-over-reverse is reverse-over-reverse here: with S(θ, w) = ⟨∇_θ Σ_it w_it ℓ_it / B, v⟩, one more backward pass gives ∂S/∂θ = H v
 * and ∂S/∂w = the token tangents. It is the reference for the fused engine and the way to GPUs.
 */
import { setImmediate } from 'node:timers/promises';
import * as tf from '@tensorflow/tfjs-core';
import { crossEntropy, exp, logSoftmax, oneHotRows, tidyGradient } from '../../tensor/ops';
import { disposeParams, mapParams, type Params } from '../../tensor/params';
import { examplesAtOnce, inputsAndLabels, microbatches } from '../batch';
import { checked } from '../checks';
import { familyOf } from '../families';
import { lmHead, type KvCache } from '../families/transformer';
import { onSupport } from './onSupport';
import { sampleWithCache } from './tapeSampling';
import type {
  Gpt2Config,
  LanguageModel,
  LossGradient,
  LossTangent,
  ModelConfig,
  PolicyGradient,
  PolicyTerms,
  TokenBatch,
} from '../types';

/** A model on the tape, and how many examples it holds at once (memory only; results agree up to rounding). */
interface Tape {
  readonly config: ModelConfig;
  readonly microbatch?: number;
}

/** Microbatches. Each is one synchronous stretch of work, and before each the event loop turns, so that Ctrl-C and timers are heard. */
async function* pieces({ config, microbatch }: Tape, batch: TokenBatch) {
  for (const piece of microbatches(batch, microbatch ?? examplesAtOnce(batch.length, config.vocab_size))) {
    await setImmediate();
    yield piece;
  }
}

/** Logits at every predicted position, [size·length, vocab]. */
function logits({ config }: Tape, params: Params, batch: TokenBatch): tf.Tensor2D {
  const all = lmHead(params, familyOf(config).hidden(params, config, inputsAndLabels(batch).inputs, batch.size));
  return batch.support ? onSupport(all, batch.support) : all;
}

/** One-hot rows of the tokens to predict, [size·length, vocab]. */
const labels = ({ config }: Tape, batch: TokenBatch): tf.Tensor2D => oneHotRows(inputsAndLabels(batch).labels, config.vocab_size);

/** The sum, leaf by leaf, of what `compute` gives for every microbatch that starts at example `from`; what else it makes is freed. */
async function sumOverPieces(
  tape: Tape,
  batch: TokenBatch,
  compute: (piece: TokenBatch, from: number) => Params,
): Promise<Params> {
  let total: Params | null = null;
  try {
    for await (const { piece, from } of pieces(tape, batch)) {
      const before: Params | null = total;
      total = tidyGradient(() => {
        const own = compute(piece, from);
        return before ? mapParams((name, x) => tf.add(before[name], x), own) : own;
      });
      disposeParams(before);
    }
  } catch (error) {
    disposeParams(total);
    throw error;
  }
  return total!;
}

const toRecord = (names: readonly string[], values: readonly tf.Tensor[]): Params =>
  Object.fromEntries(names.map((name, i) => [name, values[i]]));

/** m_it · CE_it / S, [size, length]. */
function tokenLosses(tape: Tape, params: Params, batch: TokenBatch): tf.Tensor2D {
  const losses = crossEntropy(logits(tape, params, batch), labels(tape, batch)); // [size·length]
  const share = tf.div(tf.tensor2d(batch.mask, [batch.size, batch.length]), batch.length);
  return tf.mul(tf.reshape(losses, [batch.size, batch.length]), share);
}

async function gradient(tape: Tape, params: Params, batch: TokenBatch): Promise<LossGradient> {
  const names = Object.keys(params);
  const losses = new Float32Array(batch.size);
  const gradient = await sumOverPieces(tape, batch, (piece, from) => {
    const meanLoss = (...leaves: tf.Tensor[]): tf.Scalar => {
      const perExample = tf.sum(tokenLosses(tape, toRecord(names, leaves), piece), 1); // [size]
      losses.set(perExample.dataSync<'float32'>(), from);
      return tf.div(tf.sum(perExample), batch.size);
    };
    return toRecord(names, tf.grads(meanLoss)(Object.values(params)));
  });
  return { losses, gradient };
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
  const product = await sumOverPieces(tape, batch, (piece, from) => {
    const s = directional(tape, names, tangent, piece, batch.size);
    const values = Object.values(params);
    const ones = tf.ones([piece.size, piece.length]);
    const results = wanted
      ? tf.grads((...x) => s(x.slice(0, -1), x[x.length - 1]))([...values, ones])
      : [tf.grad((w) => s(values, w))(ones)];
    tokenTangents.set(tf.mul(results[results.length - 1], batch.size).dataSync<'float32'>(), from * batch.length);
    return toRecord(wanted ? names : [], results);
  });
  return { tokenTangents, product: wanted ? product : null };
}

/** Log-probabilities [size·length, vocab] at every predicted position. */
const logDistributions = (tape: Tape, params: Params, batch: TokenBatch, temperature: number): tf.Tensor =>
  logSoftmax(tf.div(logits(tape, params, batch), temperature));

/** log-probability of the label of every row, [size·length]. */
const ofLabels = (tape: Tape, logs: tf.Tensor, batch: TokenBatch): tf.Tensor1D => tf.sum(tf.mul(logs, labels(tape, batch)), -1);

async function logProbs(tape: Tape, params: Params, batch: TokenBatch, temperature: number): Promise<Float32Array> {
  const result = new Float32Array(batch.size * batch.length);
  for await (const { piece, from } of pieces(tape, batch)) {
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
  const logRatio = tf.mul(tf.sub(logProb, cells(terms.oldLogProbs)), mask);
  const advantages = terms.advantages.subarray(from, from + piece.mask.length);
  const isClipped = logRatio
    .dataSync<'float32'>()
    .map(Math.exp)
    .map((r, i) => Number(advantages[i] > 0 ? r > 1 + terms.clip : advantages[i] < 0 && r < 1 - terms.clip));
  const isFree = isClipped.map((clipped) => 1 - clipped); // the clipped branch of the minimum is constant, however large its ratio
  const ratio = exp(tf.mul(logRatio, tf.tensor1d(isFree)));
  const active = advantages.map((a, i) => a * isFree[i]);
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
  const gradient = await sumOverPieces(tape, batch, (piece, from) => {
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
  return { gradient, logProbs, ...means };
}

/** Logits [size, vocab] after the last of new positions [size, length]. */
function nextLogits({ config }: Tape, params: Params, ids: Int32Array, size: number, cache: KvCache): tf.Tensor2D {
  const hidden = familyOf(config).hidden(params, config, ids, size, cache);
  const [rows, width] = hidden.shape;
  const length = rows / size;
  const last = tf.slice(tf.reshape(hidden, [size, length, width]), [0, length - 1, 0], [size, 1, width]);
  return lmHead(params, tf.reshape(last, [size, width]));
}

/**
 * A language model that tfjs's tape differentiates.
 * @param microbatch - examples held on the tape at once; default: what keeps one array of logits within 64 MiB, at most 64
 */
export function tapeModel<Config extends ModelConfig>(
  config: Config,
  { microbatch }: { microbatch?: number } = {},
): LanguageModel<Config> {
  const tape = { config, microbatch };
  return checked({
    config,
    engine: `tape on ${tf.getBackend()}`,
    gradient: (params, batch) => gradient(tape, params, batch),
    hessianVectorProduct: (params, batch, tangent, { product = true } = {}) =>
      hessianVectorProduct(tape, params, batch, tangent, product),
    logProbs: (params, batch, temperature = 1) => logProbs(tape, params, batch, temperature),
    policyGradient: (params, batch, terms) => policyGradient(tape, params, batch, terms),
    sample: (params, { ids, size }, options) =>
      sampleWithCache((of) => (next, cache) => nextLogits(tape, of, next, size, cache), params, { ids, size }, options),
    dispose: () => undefined,
  });
}

/** GPT-2 on the tape engine. */
export const tapeGpt2 = (config: Gpt2Config, options?: { microbatch?: number }) => tapeModel(config, options);
