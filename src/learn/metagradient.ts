/**
 * The exact metagradient: τ_i = ∂Φ(A(w, D)) / ∂w_i at w = 1 (paper §3), back-propagated through every step of fine-tuning.
 *
 * Forwards, fine-tune: φ_0 → φ_1 → … → φ_T, with batch gradients g_t = (1/B) Σ_i w_i ∇ℓ_i(φ_{t−1}).
 * Backwards from φ̄ = ∇Φ(φ_T), for t = T … 1, with the optimizer's closed-form adjoint:
 *
 *     ḡ, (φ̄, moments) ← optimizer.adjoint(…)           the update at fixed g
 *     τ_i = (1/B) · ⟨∇ℓ_i(φ_{t−1}), ḡ⟩                  a directional derivative: one forward-mode pass gives all of them
 *     φ̄ ← φ̄ + H(φ_{t−1}) ḡ                              Hessian-vector product of the batch loss; the same pass; not needed at t = 1
 *
 * Per-token weights come for free: τ_it with Σ_t τ_it = τ_i (ours; the paper has examples only). States are kept at every √T-th step
 * and recomputed in between, so memory grows with √T.
 */
import * as tf from '@tensorflow/tfjs-core';
import { cloneParams, disposeParams, mapParams, type Params } from '../tensor/params';
import type { LanguageModel, TokenBatch } from '../model/types';
import { batchesOf, trainingStep, type Step, type TrainingData } from './fineTune';
import { valueAndGradient, type Objective } from './objective';
import { disposeState, initialAdjoint, type Optimizer, type TrainingState } from './optimizer';

/** Arguments of {@link metagradient}. */
export interface MetagradientOptions extends TrainingData {
  readonly model: LanguageModel;
  /** φ_0; stays as it is. */
  readonly params: Params;
  readonly optimizer: Optimizer;
  readonly objective: Objective;
}

/** Result of {@link metagradient}. */
export interface Metagradient {
  /** Φ(φ_T). */
  readonly phi: number;
  /** ∂Φ/∂w_i of every example, [examples]. */
  readonly tau: Float32Array;
  /** ∂Φ/∂w_it of every predicted token, [examples, sequenceLength]; rows add up to `tau`. */
  readonly tokenTau: Float32Array;
  /** S: the row length of `tokenTau`. */
  readonly sequenceLength: number;
  /** φ_T; the caller disposes it. */
  readonly finalParams: Params;
  /** Mean loss of every batch before its step, nats. */
  readonly trainLosses: number[];
}

/**
 * Fine-tunes `params` on the examples and differentiates Φ of the result with respect to one weight per example (and per token).
 * @throws RangeError for examples that do not fit the model or the batches
 * @throws Error for a loss, an objective or a derivative that is not finite: a reward that cannot be computed stops the run
 */
export async function metagradient(options: MetagradientOptions): Promise<Metagradient> {
  const { model, optimizer, objective } = options;
  const batches = batchesOf(model, options);
  const stride = Math.ceil(Math.sqrt(batches.length));
  const { snapshots, lastSegment } = await forward(model, optimizer, options.params, batches, stride);
  const final = lastSegment.steps[lastSegment.steps.length - 1].after;
  const { phi, gradient } = await valueAndGradient(objective, final.params);
  const finalParams = cloneParams(final.params);

  const tokenTau: Float32Array[] = new Array<Float32Array>(batches.length);
  let adjoint = initialAdjoint(gradient, final);
  let segment: Segment | undefined = lastSegment;
  while (segment) {
    for (const step of segment.steps.reverse()) {
      const reversed = await reverseStep(model, optimizer, step, adjoint);
      tokenTau[step.before.step] = reversed.tokenTau;
      disposeState(adjoint);
      adjoint = reversed.adjoint;
    }
    disposeSegment(segment);
    const start = snapshots.pop();
    segment = start && (await runSegment(model, optimizer, start, batches.slice(start.step, start.step + stride)));
  }
  disposeState(adjoint);
  return { phi, finalParams, trainLosses: lastSegment.losses, ...collect(batches, tokenTau) };
}

/** Consecutive steps with everything that their reversal needs. */
interface Segment {
  readonly steps: Step[];
  readonly losses: number[];
}

async function runSegment(
  model: LanguageModel,
  optimizer: Optimizer,
  start: TrainingState,
  batches: readonly TokenBatch[],
): Promise<Segment> {
  const steps: Step[] = [];
  let state = start;
  for (const batch of batches) {
    steps.push(await trainingStep(model, optimizer, state, batch));
    state = steps[steps.length - 1].after;
  }
  return { steps, losses: steps.map(({ loss }) => loss) };
}

function disposeSegment({ steps }: Segment): void {
  for (const { before, gradient, after } of steps) {
    disposeParams(gradient);
    disposeState(before);
    disposeState(after);
  }
}

/** Fine-tunes; keeps the state before every segment of `stride` steps, and the last segment whole. */
async function forward(
  model: LanguageModel,
  optimizer: Optimizer,
  params: Params,
  batches: readonly TokenBatch[],
  stride: number,
) {
  const snapshots: TrainingState[] = [];
  const losses: number[] = [];
  let state = optimizer.init(params);
  let from = 0;
  for (; from + stride < batches.length; from += stride) {
    const segment = await runSegment(model, optimizer, state, batches.slice(from, from + stride));
    losses.push(...segment.losses);
    snapshots.push(state);
    state = keepLastState(segment);
  }
  const last = await runSegment(model, optimizer, state, batches.slice(from));
  return { snapshots, lastSegment: { steps: last.steps, losses: [...losses, ...last.losses] } };
}

/** Frees a segment but for its first state (the snapshot) and its last. */
function keepLastState({ steps }: Segment): TrainingState {
  steps.forEach(({ before, gradient }, i) => {
    disposeParams(gradient);
    if (i > 0) disposeState(before);
  });
  return steps[steps.length - 1].after;
}

/** One step backwards: ∂Φ/∂(state before) and ∂Φ/∂w of the step's batch. */
async function reverseStep(model: LanguageModel, optimizer: Optimizer, step: Step, adjoint: TrainingState) {
  const { gradient: gBar, before } = optimizer.adjoint(step.before, step.after, step.gradient, adjoint);
  const isFirst = step.before.step === 0;
  const { tokenTangents, product } = await model.hessianVectorProduct(step.before.params, step.batch, gBar, {
    product: !isFirst,
  });
  disposeParams(gBar);
  const tokenTau = tokenTangents.map((x) => x / step.batch.size);
  if (!tokenTau.every(Number.isFinite))
    throw new Error(
      `the metagradient of fine-tuning step ${step.before.step + 1} is not finite; ${optimizer.name === 'sgd' ? '' : 'raise epsRoot or '}lower the inner learning rate`,
    );
  if (!product) return { tokenTau, adjoint: before };
  const params = mapParams((_, direct, throughGradient) => tf.add(direct, throughGradient), before.params, product);
  disposeParams(product, before.params);
  return { tokenTau, adjoint: { ...before, params } };
}

/** τ of all batches in the order of the examples. */
function collect(
  batches: readonly TokenBatch[],
  perBatch: readonly Float32Array[],
): Pick<Metagradient, 'tau' | 'tokenTau' | 'sequenceLength'> {
  const sequenceLength = batches[0].length;
  const tokenTau = new Float32Array(perBatch.reduce((n, values) => n + values.length, 0));
  let at = 0;
  for (const values of perBatch) {
    tokenTau.set(values, at);
    at += values.length;
  }
  const tau = new Float32Array(tokenTau.length / sequenceLength);
  for (let i = 0; i < tau.length; i++)
    tau[i] = tokenTau.subarray(i * sequenceLength, (i + 1) * sequenceLength).reduce((a, b) => a + b, 0);
  return { tau, tokenTau, sequenceLength };
}
