/** Small random models and batches, as float64 for the oracle and as tensors for the engines. */
import * as tf from '@tensorflow/tfjs-core';
import { gpt2Shapes } from '../../src/model/families/gpt2';
import type { Gpt2Config, TokenBatch } from '../../src/model/types';
import type { Params } from '../../src/tensor/params';
import type { RandomStream } from '../../src/tensor/random';
import type { NamedValues } from '../oracles/gpt2Float64';

/** Float32-representable normal numbers under every parameter's name; layer norm weights around `center`. */
export function randomValues(config: Gpt2Config, random: RandomStream, scale: number, center = 1): NamedValues {
  return Object.fromEntries(
    Object.entries(gpt2Shapes(config)).map(([name, shape]) => {
      const offset = /ln_\w+\.weight$/.test(name) ? center : 0;
      const size = shape.reduce((a, b) => a * b);
      return [name, Float64Array.from({ length: size }, () => Math.fround(offset + scale * random.normal()))];
    }),
  );
}

export const toParams = (config: Gpt2Config, values: NamedValues): Params =>
  Object.fromEntries(
    Object.entries(gpt2Shapes(config)).map(([name, shape]) => [name, tf.tensor(Float32Array.from(values[name]), shape)]),
  );

/** Random tokens; about a quarter of the positions masked, one example wholly. */
export function randomBatch(config: Gpt2Config, random: RandomStream, size: number, length: number): TokenBatch {
  const ids = Int32Array.from({ length: size * (length + 1) }, () => random.integer(config.vocab_size));
  const mask = Float32Array.from({ length: size * length }, (_, i) => (i < length || random.integer(4) === 0 ? 0 : 1));
  return { ids, mask, size, length };
}

/** All tensors of a tree in one array, by name. */
export const flat = (tree: Params): number[] =>
  Object.keys(tree)
    .sort()
    .flatMap((name) => Array.from(tree[name].dataSync()));
