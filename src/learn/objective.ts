/**
 * Φ: any differentiable scalar of the fine-tuned weights; higher is better (paper §3).
 */
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core/dist/tensor';
import { tidyGradient } from '../tensor/ops';
import { disposeParams, holding, largestIn, notFinite, requireFiniteParams, type Params } from '../tensor/params';

/**
 * The target of an experiment: a plain function of the parameters, written in tfjs ops. First derivatives are enough.
 *
 *     const objective = (params) => tf.neg(tf.norm(params['lm_head.weight']));
 */
export type TensorObjective = (params: Params) => Tensor;

/** A target that brings its own gradient, e.g. the likelihood of an evaluation set through the fused engine. */
export interface ObjectiveWithGradient {
  /** Φ and ∇Φ (named and shaped like the parameters; the caller disposes it). */
  valueAndGradient(params: Params): Promise<{ phi: number; gradient: Params }>;
}

export type Objective = TensorObjective | ObjectiveWithGradient;

/** The same record, which tells of every parameter that is read, and refuses names that do not exist. */
function observed(params: Params, onRead: (name: string) => void): Params {
  return new Proxy(params, {
    get(target, name) {
      if (typeof name === 'symbol') return Reflect.get(target, name) as unknown;
      if (!(name in target))
        throw new Error(
          `the objective reads "${name}", which is no parameter of this model; there are ${Object.keys(target).join(', ')}`,
        );
      onRead(name);
      return target[name];
    },
  });
}

/** Parameters that the objective reads. @throws Error if it reads none, or one that does not exist, or does not return one number */
function namesRead(objective: TensorObjective, params: Params): string[] {
  const names = new Set<string>();
  tf.tidy(() => void scalarValue(objective, params, (name) => names.add(name)));
  if (names.size === 0) throw new Error('the objective does not depend on the parameters: it reads none of them');
  return [...names];
}

/**
 * Evaluates an objective on parameters before anything is trained, so that a name that does not exist costs no fine-tuning.
 * @throws Error if it reads no parameter, or one that does not exist, or does not return one number; an objective with a gradient of its
 * own is not evaluated
 */
export function requireObjective(objective: Objective, params: Params): void {
  if (typeof objective === 'function') namesRead(objective, params);
}

/** Φ as a scalar tensor. @throws Error if it is not one number */
function scalarValue(objective: TensorObjective, params: Params, onRead: (name: string) => void): tf.Scalar {
  const value = objective(observed(params, onRead));
  if (!(value instanceof tf.Tensor) || value.size !== 1) {
    const got = value instanceof tf.Tensor ? `a tensor of shape [${value.shape.join(', ')}]` : typeof value;
    throw new Error(`the objective must return one number (got ${got})`);
  }
  return tf.reshape(value, []);
}

/** Weights beyond this are not of any training that went well. */
const HUGE = 1e6;

function requireFiniteValue(phi: number, params: Params): void {
  if (Number.isFinite(phi)) return;
  requireFiniteParams(params, 'the objective');
  const largest = largestIn(params);
  throw new Error(
    `the objective returned ${phi}; ` +
      (largest > HUGE
        ? `the fine-tuning has exploded, its largest weight is ${largest.toExponential(1)}: lower the inner learning rate`
        : 'check logarithms, divisions and square roots at 0'),
  );
}

/** ∇Φ with respect to the parameters that Φ reads, zero for all others. */
function gradientOf(objective: TensorObjective, params: Params, names: readonly string[]): { phi: number; gradient: Params } {
  let phi = NaN;
  const gradient = tidyGradient(() => {
    const leaves = names.map((name) => params[name]);
    const scalar = (): tf.Scalar => scalarValue(objective, params, () => undefined);
    const { value, grads } = tf.engine().gradients(scalar, leaves, undefined, true); // true: unused leaves give null
    phi = value.dataSync()[0];
    if (grads.every((g) => !g))
      throw new Error('the objective does not depend on the parameters: no gradient reaches any of them');
    const known: Record<string, tf.Tensor | null> = Object.fromEntries(names.map((name, i) => [name, grads[i]]));
    return Object.fromEntries(Object.entries(params).map(([name, p]) => [name, known[name] ?? tf.zerosLike(p)]));
  });
  return { phi, gradient };
}

/**
 * Φ and ∇Φ; parameters that Φ does not depend on have a zero gradient.
 * @returns `phi` and `gradient`, a tree that the caller disposes
 * @throws Error if Φ is not one finite number, does not depend on the parameters, or has a gradient that is not finite
 */
export function valueAndGradient(objective: Objective, params: Params): Promise<{ phi: number; gradient: Params }> {
  return holding(async (trees) => {
    const result =
      typeof objective === 'function'
        ? gradientOf(objective, params, namesRead(objective, params))
        : await objective.valueAndGradient(params);
    trees.hold(result.gradient);
    requireFiniteValue(result.phi, params);
    const broken = notFinite(result.gradient);
    if (broken)
      throw new Error(`the objective's derivatives with respect to ${broken}; check square roots, norms and divisions at 0`);
    return result;
  });
}

/** Φ alone. @throws Error as {@link valueAndGradient} */
export async function valueOf(objective: Objective, params: Params): Promise<number> {
  const { phi, gradient } = await valueAndGradient(objective, params);
  disposeParams(gradient);
  return phi;
}
