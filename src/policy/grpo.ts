/**
 * GRPO (paper §2; Shao et al. 2024): the clipped policy gradient on group-relative advantages.
 *
 * Departures from the published form: advantages are scaled over the batch (see advantages.ts); the loss is a mean over tokens; KL to the
 * initial generator is off by default; an entropy bonus keeps the outputs diverse, which decides the last pixels of a picture.
 */
import * as tf from '@tensorflow/tfjs-core';
import { disposeState, treesOf, updated, type Optimizer, type TrainingState } from '../learn/optimizer';
import type { LanguageModel, TokenBatch } from '../model/types';
import { requireNotNegative, requirePositive, requireWhole } from '../tensor/numbers';
import { globalNorm, holding, mapParams, requireFiniteParams, type Holding, type Params } from '../tensor/params';
import type { RandomStream } from '../tensor/random';
import { atResponses, policyBatch, type Rollouts } from './rollouts';

/** Settings of one GRPO update. */
export interface GrpoOptions {
  /** Passes over the rollouts. */
  readonly epochs: number;
  /** Rollouts per optimizer step at most; where it does not divide them, the minibatches are as even as can be. */
  readonly minibatch: number;
  /** ε of the clipped ratio. */
  readonly clip: number;
  readonly klCoef: number;
  readonly entropyCoef: number;
  /** The gradient is shortened to this norm. */
  readonly maxGradientNorm: number;
  readonly temperature: number;
}

/** Arguments of {@link grpoUpdate}. */
export interface GrpoUpdate {
  readonly model: LanguageModel;
  readonly optimizer: Optimizer;
  /** Generator and optimizer state; freed at the end, so that after an error it is as it was. */
  readonly state: TrainingState;
  /** The initial generator, for KL. */
  readonly reference: Params;
  readonly rollouts: Rollouts;
  /** Advantage of every response token, [size, maxNewTokens]. */
  readonly advantages: Float32Array;
  readonly options: GrpoOptions;
  readonly random: RandomStream;
}

/** What an update did; means over its minibatches. */
export interface GrpoMetrics {
  /** Entropy of the next-token distribution, nats. */
  readonly entropy: number;
  /** k3 estimate of KL(π ‖ π_ref), nats per token; 0 when klCoef is 0. */
  readonly kl: number;
  readonly 'clip_ratio/region_mean': number;
  /** Before clipping. */
  readonly grad_norm: number;
}

/** @throws RangeError naming the setting that is out of range */
function requireSettings({ epochs, minibatch, maxGradientNorm, ...coefficients }: GrpoOptions): void {
  requireWhole('epochs', epochs);
  requireWhole('minibatch', minibatch);
  requirePositive('maxGradientNorm', maxGradientNorm);
  const { clip, klCoef, entropyCoef } = coefficients;
  requireNotNegative({ clip, klCoef, entropyCoef });
}

/** Shortens a gradient that is held: a tree with norm ≤ limit, held in its place if it had to be changed. */
function clipByGlobalNorm(trees: Holding, gradient: Params, limit: number): { clipped: Params; norm: number } {
  const norm = globalNorm(gradient);
  if (!Number.isFinite(norm)) throw new Error(`the policy gradient has norm ${norm}; lower the generator's learningRate`);
  if (norm <= limit) return { clipped: gradient, norm };
  const clipped = mapParams((_, g) => tf.mul(g, limit / norm), gradient);
  trees.hold(clipped);
  trees.free(gradient);
  return { clipped, norm };
}

/**
 * Rollout indices of every minibatch of one epoch, in random order; of nearly equal sizes, since every minibatch moves as far as any other.
 */
function* minibatches(size: number, minibatch: number, random: RandomStream): Generator<Int32Array> {
  const order = random.permutation(size);
  const count = Math.ceil(size / minibatch);
  const start = (i: number) => Math.floor((size * i) / count);
  for (let i = 0; i < count; i++) yield order.subarray(start(i), start(i + 1));
}

async function referenceLogProbs(
  { model, reference, options }: GrpoUpdate,
  batch: TokenBatch,
): Promise<Float32Array | undefined> {
  return options.klCoef > 0 ? model.logProbs(reference, batch, options.temperature) : undefined;
}

async function minibatchGradient(update: GrpoUpdate, params: Params, indices: Int32Array) {
  const { model, rollouts, advantages, options } = update;
  const batch = policyBatch(rollouts, indices);
  return model.policyGradient(params, batch, {
    advantages: atResponses(rollouts, advantages, indices),
    oldLogProbs: atResponses(rollouts, rollouts.logProbs, indices),
    refLogProbs: await referenceLogProbs(update, batch),
    ...options,
  });
}

/** One step on a minibatch, its trees held. */
async function minibatchStep(update: GrpoUpdate, trees: Holding, state: TrainingState, indices: Int32Array) {
  const { gradient, entropy, kl, clipFraction } = await minibatchGradient(update, state.params, indices);
  trees.hold(gradient);
  const { clipped, norm } = clipByGlobalNorm(trees, gradient, update.options.maxGradientNorm);
  const next = updated(update.optimizer, trees, state, clipped);
  trees.free(clipped);
  return { next, row: { entropy, kl, 'clip_ratio/region_mean': clipFraction, grad_norm: norm } };
}

/**
 * One GRPO update.
 * @returns the new state (the old one is freed) and what was measured
 * @throws RangeError for a setting out of range
 * @throws Error for a gradient, or weights after the update, that are not finite; the state stays as it was, and no tensor is left behind
 */
export async function grpoUpdate(update: GrpoUpdate): Promise<{ state: TrainingState; metrics: GrpoMetrics }> {
  const { rollouts, options, random } = update;
  requireSettings(options);
  const rows: GrpoMetrics[] = [];
  const state = await holding(async (trees) => {
    let { state } = update;
    for (let epoch = 0; epoch < options.epochs; epoch++) {
      for (const indices of minibatches(rollouts.size, options.minibatch, random)) {
        const { next, row } = await minibatchStep(update, trees, state, indices);
        if (state !== update.state) trees.free(...treesOf(state));
        state = next;
        rows.push(row);
      }
    }
    requireFiniteParams(state.params, 'the update of the generator');
    return state;
  });
  disposeState(update.state);
  const mean = (key: keyof GrpoMetrics): number => rows.reduce((sum, row) => sum + row[key], 0) / rows.length;
  const metrics = {
    entropy: mean('entropy'),
    kl: mean('kl'),
    'clip_ratio/region_mean': mean('clip_ratio/region_mean'),
    grad_norm: mean('grad_norm'),
  };
  return { state, metrics };
}
