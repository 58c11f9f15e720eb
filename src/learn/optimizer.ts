/**
 * Differentiable optimizers: pure functions on trees, each with the closed-form adjoint of its update.
 *
 *     sgd:    φ ← φ − lr·g
 *     adamw:  m ← b1·m + (1−b1)·g     v ← b2·v + (1−b2)·g²
 *             φ ← φ − lr·( (m/c1) / (√(v/c2 + epsRoot) + eps) + weightDecay·φ ),   c_k = 1 − b_k^step
 *
 * The gradient g is the mean over the examples of the step. (The authors sum the means of microbatches: their g is larger by the number of
 * accumulation steps, so their sgd learning rate, eps and epsRoot have to be converted.)
 */
import * as tf from '@tensorflow/tfjs-core';
import { cloneParams, disposeParams, mapParams, mapTrees, zerosLikeParams, type Params } from '../tensor/params';
import { adjointLeaf, updateLeaf, type AdamwSettings } from './adamw';

/** Parameters and the moments that an optimizer keeps of their gradients. The adjoint of a state has the same shape. */
export interface TrainingState {
  readonly params: Params;
  /** `{ m, v }` for adamw, `{}` for sgd. */
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
   * @param after - the state after the update
   * @param gradient - g of the update
   * @param adjoint - ∂Φ/∂(state after)
   * @returns ḡ = ∂Φ/∂g, and ∂Φ/∂(state before) at fixed g
   */
  adjoint(after: TrainingState, gradient: Params, adjoint: TrainingState): { gradient: Params; before: TrainingState };
}

/** Frees the trees of a state. */
export const disposeState = ({ params, moments }: TrainingState): void => disposeParams(params, ...Object.values(moments));

/** The adjoint of a final state on which Φ depends through its parameters only. */
export function initialAdjoint(gradientOfPhi: Params, { moments, step }: TrainingState): TrainingState {
  const zeros = Object.entries(moments).map(([name, tree]) => [name, zerosLikeParams(tree)] as const);
  return { params: gradientOfPhi, moments: Object.fromEntries(zeros), step };
}

/** Plain gradient descent. @throws RangeError for a learning rate that is not a positive number */
export function sgd({ learningRate }: { learningRate: number }): Optimizer {
  requirePositive('learningRate', learningRate);
  return {
    name: 'sgd',
    init: (params) => ({ params: cloneParams(params), moments: {}, step: 0 }),
    update: ({ params, step }, gradient) => ({
      params: mapParams((_, p, g) => tf.sub(p, tf.mul(g, learningRate)), params, gradient),
      moments: {},
      step: step + 1,
    }),
    adjoint: (after, _gradient, { params }) => ({
      gradient: mapParams((_, p) => tf.mul(p, -learningRate), params),
      before: { params: cloneParams(params), moments: {}, step: after.step - 1 },
    }),
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
  /** Inside the root: makes Adam differentiable at v = 0 and sets how wide its smooth zone is; best near the square of a typical gradient. */
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
    return adjointLeaf(settings, step, { m: moments.m[name], v: moments.v[name] }, g, bar);
  });
  return { gradient: g, before: { params: p, moments: { m, v }, step: step - 1 } };
}

/** Adam with decoupled weight decay. @throws RangeError for settings out of range */
export function adamw({ learningRate, b1 = 0.9, b2 = 0.95, eps = 1e-8, epsRoot = 0, weightDecay = 0 }: AdamwOptions): Optimizer {
  const settings = { learningRate, b1, b2, eps, epsRoot, weightDecay };
  requirePositive('learningRate', learningRate);
  for (const [name, value] of Object.entries({ b1, b2 }))
    if (!(value >= 0 && value < 1)) throw new RangeError(`${name} must be in [0, 1) (got ${value})`);
  for (const [name, value] of Object.entries({ eps, epsRoot, weightDecay }))
    if (!(value >= 0 && value < Infinity)) throw new RangeError(`${name} must be at least 0 (got ${value})`);
  return {
    name: 'adamw',
    init: (params) => ({
      params: cloneParams(params),
      moments: { m: zerosLikeParams(params), v: zerosLikeParams(params) },
      step: 0,
    }),
    update: (state, gradient) => adamwUpdate(settings, state, gradient),
    adjoint: (after, gradient, adjoint) => adamwAdjoint(settings, after, gradient, adjoint),
  };
}

function requirePositive(name: string, value: number): void {
  if (!(value > 0 && value < Infinity)) throw new RangeError(`${name} must be a positive number (got ${value})`);
}
