/**
 * adamw's formulas for one tensor, in tfjs ops; optimizer.ts maps them over trees.
 *
 * They are memory-bound chains of some fifteen ops. Where the backend has them as one kernel (`wasm`, see wasmBackend.ts), that is called
 * instead: the same numbers bit for bit, five times as fast on small tensors.
 */
import * as tf from '@tensorflow/tfjs-core';

/** Settings of adamw; see {@link AdamwOptions} for what they do. */
export interface AdamwSettings {
  readonly learningRate: number;
  readonly b1: number;
  readonly b2: number;
  readonly eps: number;
  readonly epsRoot: number;
  readonly weightDecay: number;
}

/** Numbers of one step that scale whole tensors; c1, c2: how much of the moments the zeros they started from do not take. */
function factorsOf({ learningRate, b1, b2, weightDecay }: AdamwSettings, step: number) {
  const [c1, c2] = [1 - b1 ** step, 1 - b2 ** step];
  return {
    rate: learningRate / c1,
    perC2: 1 / c2,
    half: learningRate / (2 * c1 * c2),
    keep: 1 - learningRate * weightDecay,
    cross: ((1 - b2) * b1) / (1 - b1),
  };
}

/** The backend's own kernel, if it has one. */
function kernel(name: string, inputs: tf.NamedTensorMap, attributes: object): tf.Tensor[] | undefined {
  if (!tf.getKernel(name, tf.getBackend())) return undefined;
  return tf.engine().runKernel(name, inputs, attributes as tf.NamedAttrMap) as tf.Tensor[];
}

/** Parameter and moments of one tensor, or their adjoints. */
export interface AdamwLeaf {
  readonly p: tf.Tensor;
  readonly m: tf.Tensor;
  readonly v: tf.Tensor;
}

/** The update; `step` counts from 1. */
export function updateLeaf(settings: AdamwSettings, step: number, { p, m, v }: AdamwLeaf, g: tf.Tensor): AdamwLeaf {
  const { b1, b2, eps, epsRoot } = settings;
  const { rate, perC2, keep } = factorsOf(settings, step);
  const fused = kernel('AdamwUpdate', { p, m, v, g }, { b1, b2, eps, epsRoot, rate, perC2, keep });
  if (fused) return { p: fused[0], m: fused[1], v: fused[2] };
  const mean = tf.add(tf.mul(m, b1), tf.mul(g, 1 - b1));
  const square = tf.add(tf.mul(v, b2), tf.mul(tf.square(g), 1 - b2));
  const denominator = tf.add(tf.sqrt(tf.add(tf.mul(square, perC2), epsRoot)), eps);
  return { p: tf.sub(tf.mul(p, keep), tf.mul(tf.divNoNan(mean, denominator), rate)), m: mean, v: square };
}

/**
 * The adjoint of the update at fixed g, and ḡ. With m₀, v₀ before the update, m, v after it, s = √(v/c2 + epsRoot) and D = s + eps:
 *
 *     m̃ = m̄ − lr·φ̄ / (c1·D)                m̄ ← b1·m̃
 *     ṽ = v̄ + lr·φ̄·(m/c1) / (D²·2s·c2)     v̄ ← b2·ṽ
 *     ḡ = (1−b1)·m̃ + 2(1−b2)·g·ṽ           φ̄ ← φ̄·(1 − lr·weightDecay)
 *
 * In ḡ the two terms with φ̄ cancel but for a share of epsRoot/g² (at the first step an update is as large as its gradient's sign says),
 * which float32 cannot hold. So they are not subtracted here but put together, the g² in them left out by algebra:
 *
 *     ḡ = (1−b1)·m̄ + 2(1−b2)·g·v̄ − (1−b1)·lr·φ̄/c1 · ( (b2·v₀ − (1−b2)·b1/(1−b1)·g·m₀)/c2 + epsRoot + eps·s ) / (D²·s)
 *
 * A quotient by 0 counts as 0. With epsRoot = 0 that is the limit at v = 0, where m and g are 0 as well (a weight that no gradient has
 * reached: a token that does not occur, a key's bias).
 *
 * @param before - moments before the update
 * @param bar - adjoint of parameter and moments after the update
 */
export function adjointLeaf(
  settings: AdamwSettings,
  step: number,
  before: Omit<AdamwLeaf, 'p'>,
  g: tf.Tensor,
  bar: AdamwLeaf,
): AdamwLeaf & { readonly g: tf.Tensor } {
  const { b1, b2, eps, epsRoot } = settings;
  const { rate, perC2, keep, half, cross } = factorsOf(settings, step);
  const inputs = { m: before.m, v: before.v, g, pBar: bar.p, mBar: bar.m, vBar: bar.v };
  const fused = kernel('AdamwAdjoint', inputs, { b1, b2, eps, epsRoot, rate, perC2, keep, half, cross });
  if (fused) return { g: fused[0], p: fused[1], m: fused[2], v: fused[3] };
  const m = tf.add(tf.mul(before.m, b1), tf.mul(g, 1 - b1));
  const kept = tf.mul(before.v, b2);
  const v = tf.add(kept, tf.mul(tf.square(g), 1 - b2));
  const s = tf.sqrt(tf.add(tf.mul(v, perC2), epsRoot));
  const divisor = tf.add(s, eps);
  const root = tf.mul(divisor, s);
  const mean = tf.sub(bar.m, tf.divNoNan(tf.mul(bar.p, rate), divisor));
  const square = tf.add(bar.v, tf.divNoNan(tf.mul(tf.mul(bar.p, m), half), tf.mul(root, divisor)));
  const rest = tf.add(tf.mul(tf.sub(kept, tf.mul(tf.mul(g, before.m), cross)), perC2), epsRoot);
  const slope = tf.divNoNan(tf.add(tf.divNoNan(rest, root), tf.divNoNan(tf.fill(g.shape, eps), divisor)), divisor);
  const direct = tf.add(tf.mul(bar.m, 1 - b1), tf.mul(tf.mul(g, bar.v), 2 * (1 - b2)));
  return {
    g: tf.sub(direct, tf.mul(tf.mul(bar.p, rate * (1 - b1)), slope)),
    p: tf.mul(bar.p, keep),
    m: tf.mul(mean, b1),
    v: tf.mul(square, b2),
  };
}
