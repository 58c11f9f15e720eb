/**
 * The exact metagradient: τ_i = ∂Φ(A(w, D)) / ∂w_i at w = 1 (paper §3), back-propagated through every step of fine-tuning.
 *
 * Forwards, fine-tune: φ_0 → φ_1 → … → φ_T, with batch gradients g_t = (1/B) Σ_i w_i ∇ℓ_i(φ_{t−1}).
 * Backwards from φ̄ = ∇Φ(φ_T), for t = T … 1, with the optimizer's closed-form adjoint:
 *
 *     ḡ, (φ̄, moments) ← optimizer.adjoint(…)           the update at fixed g
 *     τ_i = (1/B) · ⟨∇ℓ_i(φ_{t−1}), ḡ⟩                  a directional derivative: one forward-mode pass gives all of them
 *     φ̄ ← φ̄ + H(φ_{t−1}) ḡ                              Hessian-vector product of the batch loss, same pass; not at t = 1
 *
 * Per-token weights come for free: τ_it with Σ_t τ_it = τ_i (ours; the paper has examples only). States are kept at every √T-th step
 * and recomputed in between, so memory grows with √T.
 */
import * as tf from '@tensorflow/tfjs-core';
import { cloneParams, countParams, globalNorm, holding, mapParams, type Params } from '../tensor/params';
import type { LanguageModel, TokenBatch } from '../model/types';
import { batchesOf, trainingStep, type FineTuning, type Step, type TrainingData } from './fineTune';
import { requireObjective, valueAndGradient, type Objective } from './objective';
import { initialAdjoint, treesOf, type Optimizer, type TrainingState } from './optimizer';

/** Arguments of {@link metagradient}. */
export interface MetagradientOptions extends TrainingData {
  readonly model: LanguageModel;
  /** φ_0; stays as it is. */
  readonly params: Params;
  readonly optimizer: Optimizer;
  readonly objective: Objective;
  /** Whether to look if float32 carries τ, by one more gradient of the loss and of Φ; see {@link Metagradient.warning}. Default: no. */
  readonly checkRounding?: boolean;
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
  /** Of `checkRounding`: that roundings change τ of the last step by more than 1 %, by how much, and the way out. */
  readonly warning?: string;
}

/**
 * Fine-tunes `params` on the examples and differentiates Φ of the result with respect to one weight per example (and per token).
 *
 * In float32 τ was seen to agree with unrolled float64 to 1e-5 for adamw with epsRoot from 1e-6 on, and to 3e-3 at 1e-8; at 1e-12 it
 * may be wrong in its sign. Whether it is can be asked for with `checkRounding`.
 *
 * @throws RangeError for examples that do not fit the model or the batches
 * @throws Error for an objective that reads what is no parameter, before anything is trained
 * @throws Error for a loss, an objective or a derivative that is not finite, and for a loss that explodes: a reward that cannot be computed
 * stops the run. No tensor is left behind.
 */
export async function metagradient(options: MetagradientOptions): Promise<Metagradient> {
  const { model, optimizer, objective, params } = options;
  const batches = batchesOf(model, options);
  requireObjective(objective, params);
  return holding(async (trees) => {
    const run: FineTuning = { model, optimizer, trees, losses: [] };
    const stride = Math.ceil(Math.sqrt(batches.length));
    const { snapshots, lastSegment } = await forward(run, params, batches, stride);
    const last = lastSegment[lastSegment.length - 1];
    const { phi, gradient } = await valueAndGradient(objective, last.after.params);
    trees.hold(gradient);
    const finalParams = cloneParams(last.after.params);
    trees.hold(finalParams);

    const tokenTau: Float32Array[] = new Array<Float32Array>(batches.length);
    let adjoint = initialAdjoint(gradient, last.after);
    trees.hold(...treesOf(adjoint));
    let [segment, warning]: [Step[] | undefined, string | undefined] = [lastSegment, undefined];
    while (segment) {
      for (const step of segment.reverse()) {
        const reversed = await reverseStep(run, step, adjoint);
        tokenTau[step.before.step] = reversed.tokenTau;
        trees.free(...treesOf(adjoint));
        adjoint = reversed.adjoint;
        if (step === last && options.checkRounding) warning = await roundingWarning(run, objective, step, reversed.tokenTau);
      }
      for (const { before, gradient, after } of segment) trees.free(gradient, ...treesOf(before), ...treesOf(after));
      const start = snapshots.pop();
      segment = start && (await runSegment(run, start, batches.slice(start.step, start.step + stride)));
    }
    trees.free(...treesOf(adjoint));
    return { phi, finalParams, trainLosses: run.losses, warning, ...collect(batches, tokenTau) };
  });
}

/** Consecutive steps with everything that their reversal needs. */
async function runSegment(run: FineTuning, start: TrainingState, batches: readonly TokenBatch[]): Promise<Step[]> {
  const steps: Step[] = [];
  let state = start;
  for (const batch of batches) {
    steps.push(await trainingStep(run, state, batch));
    state = steps[steps.length - 1].after;
  }
  return steps;
}

/** Fine-tunes; keeps the state before every segment of `stride` steps, and the last segment whole. */
async function forward(run: FineTuning, params: Params, batches: readonly TokenBatch[], stride: number) {
  const snapshots: TrainingState[] = [];
  let state = run.optimizer.init(params);
  run.trees.hold(...treesOf(state));
  let from = 0;
  for (; from + stride < batches.length; from += stride) {
    const segment = await runSegment(run, state, batches.slice(from, from + stride));
    snapshots.push(state);
    segment.forEach(({ before, gradient }, i) => run.trees.free(gradient, ...(i > 0 ? treesOf(before) : [])));
    state = segment[segment.length - 1].after;
  }
  return { snapshots, lastSegment: await runSegment(run, state, batches.slice(from)) };
}

/** One step backwards: ∂Φ/∂(state before) and ∂Φ/∂w of the step's batch; the first step's parameters need no further path. */
async function reverseStep({ model, optimizer, trees }: FineTuning, step: Step, adjoint: TrainingState) {
  const pulled = tf.tidy(
    () => optimizer.adjoint(step.before, step.after, step.gradient, adjoint) as unknown as tf.TensorContainer,
  ) as unknown as ReturnType<Optimizer['adjoint']>;
  const { gradient: gBar, before } = pulled;
  trees.hold(gBar, ...treesOf(before));
  const options = { product: step.before.step > 0 };
  const { tokenTangents, product } = await model.hessianVectorProduct(step.before.params, step.batch, gBar, options);
  trees.free(gBar);
  if (product) trees.hold(product);
  const tokenTau = tokenTangents.map((x) => x / step.batch.size);
  if (!tokenTau.every(Number.isFinite))
    throw new Error(
      `the metagradient of fine-tuning step ${step.before.step + 1} is not finite; ` +
        `${hasRoot(optimizer) ? 'raise epsRoot or ' : ''}lower the inner learning rate`,
    );
  if (!product) return { tokenTau, adjoint: before };
  const params = mapParams((_, direct, throughGradient) => tf.add(direct, throughGradient), before.params, product);
  trees.hold(params);
  trees.free(product, before.params);
  return { tokenTau, adjoint: { ...before, params } };
}

/** Share of τ that roundings may change without a word. */
const ROUNDING = 0.01;

/**
 * A step's τ once more, from weights that differ by one rounding, 2⁻²³ of each: every rounding on the way is another one then, and
 * by as much as τ differs, float32 does not hold it.
 */
async function roundingWarning(run: FineTuning, objective: Objective, step: Step, tokenTau: Float32Array) {
  const { optimizer, trees } = run;
  const params = mapParams((_, p) => tf.mul(p, 1 + 2 ** -23), step.before.params);
  trees.hold(params);
  const again = await trainingStep({ ...run, losses: [] }, { ...step.before, params }, step.batch);
  const { gradient } = await valueAndGradient(objective, again.after.params);
  const adjoint = initialAdjoint(gradient, again.after);
  trees.hold(...treesOf(adjoint));
  const other = await reverseStep(run, again, adjoint);
  trees.free(params, again.gradient, ...[again.after, adjoint, other.adjoint].flatMap(treesOf));
  const [tau, second] = [tokenTau, other.tokenTau].map((values) => perExample(values, step.batch.length));
  const share = norm(tau.map((x, i) => x - second[i])) / norm(tau);
  if (!(share > ROUNDING)) return undefined;
  const smooth = hasRoot(optimizer)
    ? `raise epsRoot (to 1e-8 at least; best near ${typicalSquare(step.gradient)}, the square of a typical gradient) or `
    : '';
  const part = `${(100 * share).toPrecision(2)} % of the metagradient of fine-tuning step ${step.after.step}`;
  return `roundings of float32 change ${part}: ${smooth}lower the inner learning rate`;
}

/** Whether epsRoot is among an optimizer's settings. */
const hasRoot = ({ name }: Optimizer): boolean => name === 'adamw';

const norm = (values: Float32Array): number => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));

/** The mean of g², to one digit. */
const typicalSquare = (gradient: Params): string => (globalNorm(gradient) ** 2 / countParams(gradient)).toExponential(0);

/** Sums of rows, [rows]. */
const perExample = (values: Float32Array, length: number): Float32Array =>
  Float32Array.from({ length: values.length / length }, (_, i) =>
    values.subarray(i * length, (i + 1) * length).reduce((a, b) => a + b, 0),
  );

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
  return { tau: perExample(tokenTau, sequenceLength), tokenTau, sequenceLength };
}
