/**
 * Parameters: a plain record of tensors under Hugging Face names. Pure functions on such trees; whoever calls owns the result.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core/dist/tensor'; // the type alone: notebooks need not check all of tfjs's declarations

/** Parameters, gradients, tangents and optimizer moments: one tensor per name, e.g. `transformer.h.0.attn.c_attn.weight`. */
export type Params = Record<string, Tensor>;

/** A new tree f(a, b, …), leaf by leaf; intermediate tensors are disposed. */
export function mapParams(f: (name: string, ...leaves: Tensor[]) => Tensor, first: Params, ...rest: Params[]): Params {
  return tf.tidy(() =>
    Object.fromEntries(Object.keys(first).map((name) => [name, f(name, first[name], ...rest.map((tree) => tree[name]))])),
  );
}

/** Several trees at once, those that f(name, leaf) gives a leaf of; intermediate tensors are disposed leaf by leaf. */
export function mapTrees<Tree extends string>(
  params: Params,
  f: (name: string, leaf: Tensor) => Readonly<Record<Tree, Tensor>>,
): Record<Tree, Params> {
  return tf.tidy(() => {
    const trees: Record<string, Params> = {};
    for (const [name, leaf] of Object.entries(params))
      for (const [tree, result] of Object.entries(tf.tidy(() => f(name, leaf)))) (trees[tree] ??= {})[name] = result as Tensor;
    return trees as Record<Tree, Params>;
  });
}

/** A copy with its own lifetime (tfjs shares the data until one of them is disposed). */
export const cloneParams = (params: Params): Params => mapParams((_, x) => x.clone(), params);

/** Zeros shaped like `params`. */
export const zerosLikeParams = (params: Params): Params => mapParams((_, x) => tf.zerosLike(x), params);

/** Frees every tensor of the given trees; null and undefined are skipped. */
export function disposeParams(...trees: (Params | null | undefined)[]): void {
  for (const tree of trees) if (tree) Object.values(tree).forEach((x) => x.dispose());
}

/** Trees that a piece of work has made, and neither freed nor given away. */
export interface Holding {
  /** Takes over trees. */
  readonly hold: (...trees: Params[]) => void;
  readonly free: (...trees: Params[]) => void;
}

/** Runs `work`; where it throws, the trees that it holds by then are freed. What it returns belongs to the caller. */
export async function holding<R>(work: (trees: Holding) => Promise<R>): Promise<R> {
  const held = new Set<Params>();
  const free = (...trees: Params[]): void => {
    disposeParams(...trees);
    for (const tree of trees) held.delete(tree);
  };
  try {
    return await work({ hold: (...trees) => trees.forEach((tree) => held.add(tree)), free });
  } catch (error) {
    free(...held);
    throw error;
  }
}

/** Number of scalars in the tree. */
export const countParams = (params: Params): number => Object.values(params).reduce((n, x) => n + x.size, 0);

/** Names of tensors whose sum is not finite: all those with NaN or infinity among their numbers, and perhaps some with huge ones. */
function suspects(params: Params): string[] {
  const names = Object.keys(params);
  if (names.length === 0) return [];
  const sums = tf.tidy(() => tf.stack(names.map((name) => tf.sum(params[name]))).dataSync()); // one read for all
  return names.filter((_, i) => !Number.isFinite(sums[i]));
}

/** The first tensor with NaN or infinity, in words: its name, the number and where. */
export function notFinite(params: Params): string | undefined {
  for (const name of suspects(params)) {
    const found = notFiniteAmong(name, params[name].dataSync<'float32'>());
    if (found) return found;
  }
  return undefined;
}

/** The first NaN or infinity among numbers, in words. */
export function notFiniteAmong(name: string, values: Float32Array): string | undefined {
  let at = 0;
  while (at < values.length && Number.isFinite(values[at])) at++; // four times as fast as findIndex
  return at === values.length ? undefined : `"${name}" hold ${values[at]} (number ${at} of ${values.length})`;
}

/**
 * @param doing - what needs the numbers, to begin the message with
 * @throws Error naming the first tensor that holds NaN or infinity, its value and where
 */
export function requireFiniteParams(params: Params, doing: string): void {
  const found = notFinite(params);
  if (found) throw new Error(`${doing}: the weights ${found}; load whole weights, or lower the learning rate that broke them`);
}

/**
 * {@link requireFiniteParams} of a tensor that a file holds, before it is one of the backend.
 * @param file - whose tensor it is, as `PATH: `, where the caller does not say so
 */
export function requireFiniteStored(name: string, values: Float32Array, file = ''): void {
  const found = notFiniteAmong(name, values);
  if (found) throw new Error(`${file}the weights ${found}: take a whole file, or a checkpoint from before the training diverged`);
}

/** The largest |number| of a tree. */
export const largestIn = (params: Params): number =>
  tf.tidy(() => Math.max(...Object.values(params).map((x) => tf.max(tf.abs(x)).dataSync()[0])));

/** √Σ x² over the whole tree. */
export function globalNorm(params: Params): number {
  return tf.tidy(() => {
    const squares = Object.values(params).map((x) => tf.sum(tf.square(x)));
    return Math.sqrt(squares.reduce((total, x) => total + x.dataSync()[0], 0));
  });
}
