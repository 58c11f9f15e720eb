/**
 * Rollouts: the generator's responses, in groups of one prompt each.
 */
import { requireWhole } from '../tensor/numbers';
import { isShared } from '../model/tokenSupport';
import type { LanguageModel, Support, SupportRule, TokenBatch } from '../model/types';
import type { Params } from '../tensor/params';
import type { RandomStream } from '../tensor/random';

/** Responses of one step. Rollout i answers prompt ⌊i / group⌋. */
export interface Rollouts {
  readonly prompts: readonly (readonly number[])[];
  /** Rollouts per prompt. */
  readonly group: number;
  /** Number of rollouts, prompts × group. */
  readonly size: number;
  /** Longest response. */
  readonly maxNewTokens: number;
  /** Response tokens, [size, maxNewTokens]. */
  readonly ids: Int32Array;
  /** 1 on response tokens, 0 after the end of text, [size, maxNewTokens]. */
  readonly mask: Float32Array;
  /** log π of every response token when it was drawn, [size, maxNewTokens]. */
  readonly logProbs: Float32Array;
  /** The tokens that might have been drawn, a row for every response token or one for all; all tokens where there is none. */
  readonly support?: Support;
}

/** Arguments of {@link rollout}. */
export interface RolloutOptions {
  readonly model: LanguageModel;
  readonly params: Params;
  /** Token ids of prompts, all of one length. */
  readonly prompts: readonly (readonly number[])[];
  /** Rollouts per prompt. */
  readonly group: number;
  readonly maxNewTokens: number;
  readonly temperature: number;
  /** Any of them ends a response. */
  readonly endTokens?: readonly number[];
  /** The tokens that may be drawn; by default all. */
  readonly rule?: SupportRule;
  readonly random: RandomStream;
}

/** Every prompt `group` times, as one id matrix. @throws RangeError if prompts differ in length or do not leave room for the response */
function repeatPrompts({ prompts, group, maxNewTokens, model }: RolloutOptions): {
  ids: Int32Array;
  size: number;
  length: number;
} {
  requireWhole('group', group);
  if (prompts.length === 0) throw new RangeError('a rollout needs at least one prompt (got 0)');
  const length = prompts[0].length;
  const odd = prompts.findIndex((prompt) => prompt.length !== length);
  if (odd >= 0)
    throw new RangeError(`prompts must have one length: prompt 0 has ${length} tokens, prompt ${odd} has ${prompts[odd].length}`);
  if (length + maxNewTokens > model.config.n_positions)
    throw new RangeError(
      `prompt (${length}) and response (${maxNewTokens} tokens) exceed the generator's ${model.config.n_positions} positions`,
    );
  const size = prompts.length * group;
  const ids = new Int32Array(size * length);
  for (let i = 0; i < size; i++) ids.set(prompts[Math.floor(i / group)], i * length);
  return { ids, size, length };
}

/** Samples `group` responses to every prompt. */
export async function rollout(options: RolloutOptions): Promise<Rollouts> {
  const { model, params, prompts, group, maxNewTokens, temperature, endTokens, rule, random } = options;
  const repeated = repeatPrompts(options);
  const uniforms = random.uniforms(repeated.size * maxNewTokens);
  const samples = await model.sample(params, repeated, { ...rule, maxNewTokens, temperature, uniforms, endTokens });
  return { prompts, group, size: repeated.size, maxNewTokens, ...samples, support: samples.support ?? rule?.writable };
}

/** The first `count` of rollouts that stand one to a prompt. */
export function firstOf({ prompts, ids, mask, logProbs, support, ...rest }: Rollouts, count: number): Rollouts {
  const cells = count * rest.maxNewTokens;
  return {
    ...rest,
    prompts: prompts.slice(0, count),
    size: count,
    ids: ids.subarray(0, cells),
    mask: mask.subarray(0, cells),
    logProbs: logProbs.subarray(0, cells),
    support: support && (isShared(support) ? support : { ...support, bits: support.bits.subarray(0, cells * support.words) }),
  };
}

/** The tokens of every response, the end of text included. */
export function responsesOf({ size, maxNewTokens, ids, mask }: Rollouts): number[][] {
  return Array.from({ length: size }, (_, i) => {
    const from = i * maxNewTokens;
    const length = mask.subarray(from, from + maxNewTokens).reduce((a, b) => a + b, 0);
    return [...ids.subarray(from, from + length)];
  });
}

/** Prompts and responses of some rollouts as one batch whose mask selects the response tokens; see {@link atResponses}. */
export function policyBatch(rollouts: Rollouts, indices: ArrayLike<number>): TokenBatch {
  const { prompts, group, maxNewTokens, support } = rollouts;
  const promptLength = prompts[0].length;
  const width = promptLength + maxNewTokens;
  const batch = { ids: new Int32Array(indices.length * width), size: indices.length, length: width - 1 };
  for (let row = 0; row < indices.length; row++) {
    batch.ids.set(prompts[Math.floor(indices[row] / group)], row * width);
    batch.ids.set(
      rollouts.ids.subarray(indices[row] * maxNewTokens, (indices[row] + 1) * maxNewTokens),
      row * width + promptLength,
    );
  }
  return {
    ...batch,
    mask: atResponses(rollouts, rollouts.mask, indices),
    support: support && supportAtResponses(rollouts, support, indices),
  };
}

/** Values per response token [size, maxNewTokens] of some rollouts, laid out as their {@link policyBatch}: 0 on the prompts. */
export function atResponses({ prompts, maxNewTokens }: Rollouts, values: Float32Array, indices: ArrayLike<number>): Float32Array {
  const length = prompts[0].length - 1 + maxNewTokens;
  const cells = new Float32Array(indices.length * length);
  layOut(values, cells, indices, maxNewTokens, length);
  return cells;
}

/** The same of a support, which allows nothing on the prompts; where it is one for all, it stays that. */
function supportAtResponses({ prompts, maxNewTokens }: Rollouts, support: Support, indices: ArrayLike<number>): Support {
  if (isShared(support)) return support;
  const length = (prompts[0].length - 1 + maxNewTokens) * support.words;
  const bits = new Int32Array(indices.length * length);
  layOut(support.bits, bits, indices, maxNewTokens * support.words, length);
  return { ...support, bits };
}

/** Copies rows of `width` numbers to the ends of rows of `length`: the last prompt position predicts the first response token. */
function layOut<A extends Float32Array | Int32Array>(
  from: A,
  to: A,
  indices: ArrayLike<number>,
  width: number,
  length: number,
): void {
  for (let row = 0; row < indices.length; row++)
    to.set(from.subarray(indices[row] * width, (indices[row] + 1) * width), (row + 1) * length - width);
}
