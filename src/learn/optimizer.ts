/**
 * Differentiable optimizers: pure functions on trees, each with the closed-form adjoint of its update.
 *
 *     sgd:    m ← momentum·m + g          φ ← φ − lr·m          (without momentum φ ← φ − lr·g, and no m)
 *     adamw:  m ← b1·m + (1−b1)·g     v ← b2·v + (1−b2)·g²
 *             φ ← φ − lr·( (m/c1) / (√(v/c2 + epsRoot) + eps) + weightDecay·φ ),   c_k = 1 − b_k^step
 *     lion:   c = b1·m + (1−b1)·g         φ ← φ − lr·( c/√(c² + epsRoot) + weightDecay·φ )         m ← b2·m + (1−b2)·g
 *
 * The gradient g is the mean over the examples of the step. (The authors sum the means of microbatches: their g is larger by the number of
 * accumulation steps, so their sgd learning rate, eps and epsRoot have to be converted.)
 */
import * as tf from '@tensorflow/tfjs-core';
import { cloneParams, disposeParams, mapParams, mapTrees, zerosLikeParams, type Holding, type Params } from '../tensor/params';
import { requireNotNegative, requirePositive } from '../tensor/numbers';
import { adjointLeaf, updateLeaf, type AdamwSettings } from './adamw';

/** Default of epsRoot: large enough for float32 to carry the derivative, small beside the square of most gradients. */
export const EPS_ROOT = 1e-6;

/** Parameters and the moments that an optimizer keeps of their gradients. The adjoint of a state has the same shape. */
export interface TrainingState {
  readonly params: Params;
  /** `{ m, v }` for adamw, `{ m }` for lion and sgd with momentum, `{}` for sgd without. */
  readonly moments: Readonly<Record<string, Params>>;
  /** Updates done so far. */
  readonly step: number;
}

/** An optimizer and its reverse. Every returned tree is new and belongs to the caller. */
export interface Optimizer {
  readonly name: string;
  /** The state before the first update; `params` are shared, not copied. */
  init(params: Params): TrainingState;
  update(state: TrainingState, gradient: Params): TrainingState;
  /**
   * Pulls the adjoint of the state after an update back through it, leaving out the path through the gradient's own dependence on φ.
   * @param before - the state before the update
   * @param after - the state after it
   * @param gradient - g of the update
   * @param adjoint - ∂Φ/∂(state after)
   * @returns ḡ = ∂Φ/∂g, and ∂Φ/∂(state before) at fixed g
   */
  adjoint(
    before: TrainingState,
    after: TrainingState,
    gradient: Params,
    adjoint: TrainingState,
  ): { gradient: Params; before: TrainingState };
}

/** The trees of a state. */
export const treesOf = ({ params, moments }: TrainingState): Params[] => [params, ...Object.values(moments)];

/** Frees the trees of a state. */
export const disposeState = (state: TrainingState): void => disposeParams(...treesOf(state));

/** The state after an update, held; what an optimizer leaves behind on the way is freed. */
export function updated(optimizer: Optimizer, trees: Holding, before: TrainingState, gradient: Params): TrainingState {
  const after = tf.tidy(() => optimizer.update(before, gradient) as unknown as tf.TensorContainer) as unknown as TrainingState;
  trees.hold(...treesOf(after));
  return after;
}

/** The adjoint of a final state on which Φ depends through its parameters only. */
export function initialAdjoint(gradientOfPhi: Params, { moments, step }: TrainingState): TrainingState {
  const zeros = Object.entries(moments).map(([name, tree]) => [name, zerosLikeParams(tree)] as const);
  return { params: gradientOfPhi, moments: Object.fromEntries(zeros), step };
}

/** Settings of {@link sgd}. */
export interface SgdOptions {
  learningRate: number;
  /** Share of the last direction that is kept, in [0, 1); heavy-ball momentum as PyTorch has it. */
  momentum?: number;
}

/** Gradient descent. @throws RangeError for a learning rate that is not a positive number, or a momentum outside [0, 1) */
export function sgd({ learningRate, momentum = 0 }: SgdOptions): Optimizer {
  requirePositive('learningRate', learningRate);
  requireShares({ momentum });
  return momentum > 0 ? heavyBall(learningRate, momentum) : plainDescent(learningRate);
}

function plainDescent(learningRate: number): Optimizer {
  return {
    name: 'sgd',
    init: (params) => ({ params: cloneParams(params), moments: {}, step: 0 }),
    update: ({ params, step }, gradient) => ({
      params: mapParams((_, p, g) => tf.sub(p, tf.mul(g, learningRate)), params, gradient),
      moments: {},
      step: step + 1,
    }),
    adjoint: (_before, after, _gradient, { params }) => ({
      gradient: mapParams((_, p) => tf.mul(p, -learningRate), params),
      before: { params: cloneParams(params), moments: {}, step: after.step - 1 },
    }),
  };
}

/** With m̃ = m̄ − lr·φ̄: ḡ = m̃, m̄ ← momentum·m̃, φ̄ stays. */
function heavyBall(learningRate: number, momentum: number): Optimizer {
  return {
    name: 'sgd',
    init: (params) => ({ params: cloneParams(params), moments: { m: zerosLikeParams(params) }, step: 0 }),
    update({ params, moments, step }, gradient) {
      const m = mapParams((_, m, g) => tf.add(tf.mul(m, momentum), g), moments.m, gradient);
      return { params: mapParams((_, p, m) => tf.sub(p, tf.mul(m, learningRate)), params, m), moments: { m }, step: step + 1 };
    },
    adjoint(before, _after, _gradient, { params, moments }) {
      const gradient = mapParams((_, m, p) => tf.sub(m, tf.mul(p, learningRate)), moments.m, params);
      const m = mapParams((_, x) => tf.mul(x, momentum), gradient);
      return { gradient, before: { params: cloneParams(params), moments: { m }, step: before.step } };
    },
  };
}

/** Settings of {@link lion}; defaults are those of its paper (Chen et al. 2023), except `epsRoot`, which is ours. */
export interface LionOptions {
  learningRate: number;
  /** Share of the momentum in the direction of the step. */
  b1?: number;
  /** Decay of the momentum. */
  b2?: number;
  /** Rounds off the sign, which has no derivative: c/√(c² + epsRoot). Best near the square of a typical gradient. */
  epsRoot?: number;
  /** Decoupled weight decay, times the learning rate. */
  weightDecay?: number;
}

/** Lion with its sign rounded off, so that it can be differentiated. @throws RangeError for settings out of range */
export function lion({ learningRate, b1 = 0.9, b2 = 0.99, epsRoot = EPS_ROOT, weightDecay = 0 }: LionOptions): Optimizer {
  requirePositive('learningRate', learningRate);
  requirePositive('epsRoot', epsRoot);
  requireShares({ b1, b2 });
  requireNotNegative({ weightDecay });
  const keep = 1 - learningRate * weightDecay;
  const blend = (share: number, m: tf.Tensor, g: tf.Tensor) => tf.add(tf.mul(m, share), tf.mul(g, 1 - share));
  return {
    name: 'lion',
    init: (params) => ({ params: cloneParams(params), moments: { m: zerosLikeParams(params) }, step: 0 }),
    update({ params, moments, step }, gradient) {
      const next = mapTrees(params, (name, p) => {
        const [m, g] = [moments.m[name], gradient[name]];
        const c = blend(b1, m, g);
        const direction = tf.div(c, tf.sqrt(tf.add(tf.square(c), epsRoot)));
        return { p: tf.sub(tf.mul(p, keep), tf.mul(direction, learningRate)), m: blend(b2, m, g) };
      });
      return { params: next.p, moments: { m: next.m }, step: step + 1 };
    },
    adjoint(before, _after, gradient, { params, moments }) {
      const pulled = mapTrees(gradient, (name, g) => {
        const [pBar, mBar] = [params[name], moments.m[name]];
        const root = tf.sqrt(tf.add(tf.square(blend(b1, before.moments.m[name], g)), epsRoot));
        const cBar = tf.div(tf.mul(pBar, -learningRate * epsRoot), tf.mul(tf.square(root), root)); // d(c/root)/dc = epsRoot/root³
        return {
          g: tf.add(tf.mul(cBar, 1 - b1), tf.mul(mBar, 1 - b2)),
          m: tf.add(tf.mul(cBar, b1), tf.mul(mBar, b2)),
          p: tf.mul(pBar, keep),
        };
      });
      return { gradient: pulled.g, before: { params: pulled.p, moments: { m: pulled.m }, step: before.step } };
    },
  };
}

/** Settings of {@link adamw}; defaults are the paper's, except `epsRoot` and the learning rate, which depend on the gradient's scale. */
export interface AdamwOptions {
  learningRate: number;
  /** Decay of the first moment. */
  b1?: number;
  /** Decay of the second moment. */
  b2?: number;
  /** Outside the root, against division by zero. */
  eps?: number;
  /**
   * Inside the root: makes Adam differentiable at v = 0 and sets how wide its smooth zone is; best near the square of a typical gradient.
   * In float32, τ was seen to agree with float64 to 3e-3 or better from 1e-8 on; at 1e-12 it need not even have the right sign, which
   * `checkRounding` of `metagradient` tells. 0 is allowed.
   */
  epsRoot?: number;
  /** Decoupled weight decay, times the learning rate. */
  weightDecay?: number;
}

function adamwUpdate(settings: AdamwSettings, { params, moments, step }: TrainingState, gradient: Params): TrainingState {
  const { p, m, v } = mapTrees(params, (name, p) =>
    updateLeaf(settings, step + 1, { p, m: moments.m[name], v: moments.v[name] }, gradient[name]),
  );
  return { params: p, moments: { m, v }, step: step + 1 };
}

function adamwAdjoint(
  settings: AdamwSettings,
  { moments, step }: TrainingState,
  gradient: Params,
  adjoint: TrainingState,
): ReturnType<Optimizer['adjoint']> {
  const { g, p, m, v } = mapTrees(gradient, (name, g) => {
    const bar = { p: adjoint.params[name], m: adjoint.moments.m[name], v: adjoint.moments.v[name] };
    return adjointLeaf(settings, step + 1, { m: moments.m[name], v: moments.v[name] }, g, bar);
  });
  return { gradient: g, before: { params: p, moments: { m, v }, step } };
}

/** Adam with decoupled weight decay. @throws RangeError for settings out of range */
export function adamw({
  learningRate,
  b1 = 0.9,
  b2 = 0.95,
  eps = 1e-8,
  epsRoot = EPS_ROOT,
  weightDecay = 0,
}: AdamwOptions): Optimizer {
  const settings = { learningRate, b1, b2, eps, epsRoot, weightDecay };
  requirePositive('learningRate', learningRate);
  requireShares({ b1, b2 });
  requireNotNegative({ eps, epsRoot, weightDecay });
  return {
    name: 'adamw',
    init: (params) => ({
      params: cloneParams(params),
      moments: { m: zerosLikeParams(params), v: zerosLikeParams(params) },
      step: 0,
    }),
    update: (state, gradient) => adamwUpdate(settings, state, gradient),
    adjoint: (before, _after, gradient, adjoint) => adamwAdjoint(settings, before, gradient, adjoint),
  };
}

function requireShares(settings: Record<string, number>): void {
  for (const [name, value] of Object.entries(settings))
    if (!(value >= 0 && value < 1)) throw new RangeError(`${name} must be in [0, 1) (got ${value})`);
}
