/**
 * Φ: any differentiable scalar of the fine-tuned weights; higher is better (paper §3).
 */
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core/dist/tensor';
import { disposeParams, type Params } from '../tensor/params';

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

/** Parameters that the objective reads. */
function namesRead(objective: TensorObjective, params: Params): string[] {
  const names = new Set<string>();
  tf.tidy(() => void objective(observed(params, (name) => names.add(name))));
  return [...names];
}

/** Φ as a scalar tensor. @throws Error if it is not one finite number */
function scalarValue(objective: TensorObjective, params: Params): tf.Scalar {
  const value = objective(observed(params, () => undefined));
  if (!(value instanceof tf.Tensor) || value.size !== 1) {
    const got = value instanceof tf.Tensor ? `a tensor of shape [${value.shape.join(', ')}]` : typeof value;
    throw new Error(`the objective must return one number (got ${got})`);
  }
  requireFiniteValue(value.dataSync()[0]);
  return tf.reshape(value, []);
}

function requireFiniteValue(phi: number): void {
  if (!Number.isFinite(phi)) throw new Error(`the objective returned ${phi}; check logarithms, divisions and square roots at 0`);
}

/** ∇Φ with respect to the parameters that Φ reads, zero for all others. */
function gradientOf(objective: TensorObjective, params: Params, names: readonly string[]): { phi: number; gradient: Params } {
  let phi = NaN;
  const gradient = tf.tidy(() => {
    const leaves = names.map((name) => params[name]);
    const { value, grads } = tf.engine().gradients(() => scalarValue(objective, params), leaves, undefined, true); // true: unused leaves give null
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
export async function valueAndGradient(objective: Objective, params: Params): Promise<{ phi: number; gradient: Params }> {
  if (typeof objective !== 'function') {
    const own = await objective.valueAndGradient(params);
    requireFiniteValue(own.phi);
    return own;
  }
  const names = namesRead(objective, params);
  if (names.length === 0) throw new Error('the objective does not depend on the parameters: it reads none of them');
  const result = gradientOf(objective, params, names);
  for (const name of names) requireFinite(name, result.gradient[name]);
  return result;
}

/** Φ alone. @throws Error as {@link valueAndGradient} */
export async function valueOf(objective: Objective, params: Params): Promise<number> {
  const { phi, gradient } = await valueAndGradient(objective, params);
  disposeParams(gradient);
  return phi;
}

function requireFinite(name: string, gradient: tf.Tensor): void {
  const finite = tf.tidy(() => tf.all(tf.isFinite(gradient)).dataSync()[0]);
  if (!finite)
    throw new Error(
      `the objective's gradient with respect to ${name} is not finite; check square roots, norms and divisions at 0`,
    );
}
