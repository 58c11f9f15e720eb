/** A model by hand: what it writes, and how likely it finds a text. */
import * as tf from '@tensorflow/tfjs-core';
import type { ObjectiveWithGradient } from '../learn/objective';
import { evaluationBatch, evaluationIds, likelihoodObjective } from '../objective/likelihood';
import { rollout, responsesOf } from '../policy/rollouts';
import { disposeParams, mapParams } from '../tensor/params';
import { randomStream } from '../tensor/random';
import { chatIds, isChat } from '../text/chatTemplate';
import type { Actor } from './experiment';
import { writableTokens } from './supportRule';

/** Options of {@link generate}. */
export interface GenerateOptions {
  /** Softmax temperature > 0; near 0 the likeliest token is taken. */
  readonly temperature?: number;
  readonly maxNewTokens?: number;
  readonly seed?: number;
}

/**
 * What a model answers to a message if it was tuned to chat, and otherwise how it goes on with a text.
 * @throws RangeError for a character that the model cannot read, an empty text, or more tokens than it has positions
 */
export async function generate(
  actor: Actor,
  text: string,
  { temperature = 1, maxNewTokens = 64, seed = 0 }: GenerateOptions = {},
): Promise<string> {
  const { model, params, tokenizer } = actor;
  const prompt = isChat(tokenizer) ? chatIds(tokenizer, text) : [...tokenizer.startIds, ...tokenizer.encode(text)];
  if (prompt.length === 0) throw new RangeError('the text is empty: this model needs at least one token to go on from');
  const random = randomStream(seed, 'generate');
  const { eosIds: endTokens } = tokenizer;
  const rule = { writable: writableTokens(actor) };
  const options = { group: 1, maxNewTokens, temperature, endTokens, rule, random };
  const rollouts = await rollout({ model, params, prompts: [prompt], ...options });
  return tokenizer.decode(responsesOf(rollouts)[0]);
}

/**
 * The mean loss of some texts on a target, nats per token, as Φ: "a model that is fine-tuned on the data is worse at these texts".
 * For the contrary see {@link likelihoodObjective}.
 * @throws RangeError for texts that the target cannot read, or that are too short or too long for it
 */
export function lossOf({ model, tokenizer }: Actor, texts: readonly string[]): ObjectiveWithGradient {
  const likelihood = likelihoodObjective(model, evaluationBatch(model, evaluationIds(tokenizer, texts)), { per: 'token' });
  return {
    async valueAndGradient(params) {
      const { phi, gradient } = await likelihood.valueAndGradient(params);
      const negative = mapParams((_, g) => tf.neg(g), gradient);
      disposeParams(gradient);
      return { phi: -phi, gradient: negative };
    },
  };
}
