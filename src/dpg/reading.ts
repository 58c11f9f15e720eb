/**
 * The generator's responses as others read them: the target as its own token ids, people as text.
 */
import { responsesOf, type Rollouts } from '../policy/rollouts';
import { isSameTokenizer, transcriber, type Transcript } from '../text/transcription';
import type { Actor, Experiment, WrittenExample } from './experiment';

/**
 * How the target reads the generator's responses: as their ids where both have one tokenizer, else through text.
 * @throws RangeError for token-level credit between different tokenizers, and for a character that the target cannot read
 */
export function reading({
  config,
  generator,
  target,
}: Pick<Experiment, 'config' | 'generator' | 'target'>): (responses: Transcript['responses']) => Transcript {
  if (isSameTokenizer(generator.tokenizer, target.tokenizer)) return (responses) => ({ responses, metrics: {} });
  if (config.credit !== 'example')
    throw new RangeError(
      `config: credit '${config.credit}' needs one tokenizer for generator and target (a token of one is none of the ` +
        `other's); take 'example'`,
    );
  return transcriber(generator.tokenizer, target.tokenizer, config.maxNewTokens);
}

/**
 * A text as the target reads a response: with its end, and cut off at `maxNewTokens`.
 * @throws RangeError for a character that the target cannot read
 */
export function textResponse({ config, target }: Pick<Experiment, 'config' | 'target'>, text: string): number[] {
  const { eosId, encode } = target.tokenizer;
  return [...encode(text), ...(eosId === undefined ? [] : [eosId])].slice(0, config.maxNewTokens);
}

/** Rollouts as text. */
export function writtenExamples({ tokenizer }: Actor, rollouts: Rollouts): WrittenExample[] {
  const prompts = rollouts.prompts.map((ids) => tokenizer.decode(ids));
  return responsesOf(rollouts).map((ids, i) => ({
    prompt: prompts[Math.floor(i / rollouts.group)],
    response: tokenizer.decode(ids),
  }));
}
