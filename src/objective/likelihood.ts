/**
 * Φ = −(language-modelling loss) of the fine-tuned target on an evaluation set that the generator never sees (paper §4, "language" and
 * "UUID").
 */
import type { ObjectiveWithGradient } from '../learn/objective';
import { padExamples } from '../model/batch';
import type { LanguageModel, TokenBatch } from '../model/types';
import { mapParams, disposeParams } from '../tensor/params';
import type { Tokenizer } from '../text/tokenizer';
import * as tf from '@tensorflow/tfjs-core';

/** Options of {@link likelihoodObjective}. */
export interface LikelihoodOptions {
  /** What Φ is a mean over: predicted tokens, or positions, padding included (as in fine-tuning). */
  readonly per?: 'position' | 'token';
}

/**
 * Minus the mean loss on `evaluation`, nats per position or per token.
 * @param model - the target model, which computes loss and gradient
 */
export function likelihoodObjective(
  model: LanguageModel,
  evaluation: TokenBatch,
  { per = 'position' }: LikelihoodOptions = {},
): ObjectiveWithGradient {
  const scale = per === 'position' ? 1 : evaluation.mask.length / predictedTokens(evaluation);
  return {
    async valueAndGradient(params) {
      const { losses, gradient } = await model.gradient(params, evaluation);
      const phi = (-scale * losses.reduce((a, b) => a + b, 0)) / losses.length;
      const negative = Number.isFinite(phi) && mapParams((_, g) => tf.mul(g, -scale), gradient);
      disposeParams(gradient);
      if (!negative)
        throw new Error(`the loss on the evaluation set is ${-phi}; the fine-tuned weights are broken: lower the learning rate`);
      return { phi, gradient: negative };
    },
  };
}

/** Tokens of a batch whose prediction counts. */
export const predictedTokens = ({ mask }: TokenBatch): number => mask.reduce((a, b) => a + b, 0);

/**
 * Token ids of an evaluation set.
 * @param ended - texts end with the tokenizer's `<eos>`
 * @throws RangeError for an empty set, and naming the text for one of fewer than two tokens or with a character that the tokenizer lacks
 */
export function evaluationIds(tokenizer: Tokenizer, texts: readonly string[], { ended = false } = {}): number[][] {
  if (texts.length === 0) throw new RangeError('the evaluation set is empty: it needs at least one text');
  const end = ended && tokenizer.eosId !== undefined ? [tokenizer.eosId] : [];
  return texts.map((text, i) => {
    try {
      const ids = [...tokenizer.encode(text), ...end];
      if (ids.length < 2) throw new RangeError(`${JSON.stringify(text)} is too short: nothing in it can be predicted`);
      return ids;
    } catch (error) {
      throw new RangeError(`evaluation text ${i}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  });
}

/**
 * An evaluation set as one batch of a target's.
 * @throws RangeError for texts longer than the model's positions
 */
export function evaluationBatch({ config }: LanguageModel, ids: readonly (readonly number[])[]): TokenBatch {
  const longest = Math.max(...ids.map((text) => text.length));
  if (longest - 1 > config.n_positions)
    throw new RangeError(`an evaluation text has ${longest} tokens, but the target only ${config.n_positions} positions`);
  return padExamples(ids, longest - 1, config.vocab_size);
}
