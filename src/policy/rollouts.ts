/**
 * Rollouts: the generator's responses, in groups of one prompt each.
 */
import type { LanguageModel, TokenBatch } from '../model/types';
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
  readonly random: RandomStream;
}

/** Every prompt `group` times, as one id matrix. @throws RangeError if prompts differ in length or do not leave room for the response */
function repeatPrompts({ prompts, group, maxNewTokens, model }: RolloutOptions): {
  ids: Int32Array;
  size: number;
  length: number;
} {
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
  const { model, params, prompts, group, maxNewTokens, temperature, endTokens, random } = options;
  const repeated = repeatPrompts(options);
  const uniforms = random.uniforms(repeated.size * maxNewTokens);
  const samples = await model.sample(params, repeated, { maxNewTokens, temperature, uniforms, endTokens });
  return { prompts, group, size: repeated.size, maxNewTokens, ...samples };
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
  const { prompts, group, maxNewTokens } = rollouts;
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
  return { ...batch, mask: atResponses(rollouts, rollouts.mask, indices) };
}

/** Values per response token [size, maxNewTokens] of some rollouts, laid out as their {@link policyBatch}: 0 on the prompts. */
export function atResponses({ prompts, maxNewTokens }: Rollouts, values: Float32Array, indices: ArrayLike<number>): Float32Array {
  const offset = prompts[0].length - 1; // the last prompt position predicts the first response token
  const length = offset + maxNewTokens;
  const cells = new Float32Array(indices.length * length);
  for (let row = 0; row < indices.length; row++)
    cells.set(values.subarray(indices[row] * maxNewTokens, (indices[row] + 1) * maxNewTokens), row * length + offset);
  return cells;
}
