/**
 * What a family of models is: how its `config.json` reads, what its parameters are called, and its forward pass. Each family is one file
 * beside this one and a line in `index.ts`; nothing else in the house asks which family a model is of.
 */
import type * as tf from '@tensorflow/tfjs-core';
import type { Params } from '../../tensor/params';
import type { RandomStream } from '../../tensor/random';
import type { Layers } from './layers';
import type { KvCache, ModelShape, Shapes, Trace } from './transformer';

export type { ModelShape } from './transformer';

/** A config, and whether the LM head is stored as the embedding. */
export interface ParsedConfig<C> {
  readonly config: C;
  readonly tied: boolean;
}

/** How the tensors of a family's files are called. */
export interface TensorNames {
  /** What the names of files of the base model (without LM head) may lack. */
  readonly prefix: string;
  /** Tables that are looked up, not multiplied; the first is the tokens', the one a tied head shares. */
  readonly embeddings: readonly [string, ...string[]];
  /** Constants that older versions stored beside the parameters. */
  readonly constants: RegExp;
}

/** A family of models with configs `C`. */
export interface Family<C extends ModelShape> {
  /** What people call it. */
  readonly title: string;
  /**
   * The config in the content of a `config.json`.
   * @throws RangeError in one line: every key that cannot be run, with its value
   */
  parse(json: unknown): ParsedConfig<C>;
  /** The content of a `config.json`, as transformers reads it. */
  toJson(config: C): object;
  /** Names and shapes of all parameters, in the order of the network; the LM head, `lm_head.weight`, is always one of them. */
  shapes(config: C): Shapes;
  readonly names: TensorNames;
  /** Random initial parameters. */
  initialize(config: C, random: RandomStream): Params;
  /**
   * Hidden states at every position, ready for the LM head, [batch · length, n_embd], in twice-differentiable ops.
   * @param ids - token ids, [batch, length]
   * @param cache - keys and values of earlier positions (sampling only); replaced by those including `ids`
   * @param trace - gets what every layer shows
   */
  hidden(params: Params, config: C, ids: Int32Array, batch: number, cache?: KvCache, trace?: Trace): tf.Tensor2D;
  /**
   * What the fused engine composes it of; without it the tape computes it.
   * @throws RangeError for sizes that do not fit each other
   */
  fused?(this: void, config: C): Layers;
}

/** @throws RangeError unless `divisor` divides `n` */
export function requireDivides([name, divisor]: [string, number], [what, n]: [string, number]): void {
  if (n % divisor !== 0) throw new RangeError(`${name} must divide ${what} (got ${divisor} and ${n})`);
}
