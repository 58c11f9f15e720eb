/**
 * From a generator to a target with another tokenizer: text goes between them, not ids (as between the paper's Llama and GPT-2).
 *
 * Response i stays example i, whatever becomes of it: a response without text is an example that predicts nothing (its loss, and so its
 * metagradient, is exactly 0), one that needs more tokens of the target than there is room for is cut off.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Tokenizer } from './tokenizer';

/** Responses as the target reads them. */
export interface Transcript {
  /** Token ids of the target, one list per response, in their order. */
  readonly responses: readonly (readonly number[])[];
  /** Shares of the responses without any text (`empty_responses`) and of those that were cut off (`truncated_responses`). */
  readonly metrics: Readonly<Record<string, number>>;
}

/** Whether the ids of two tokenizers mean the same text. */
export function isSameTokenizer(a: Tokenizer, b: Tokenizer): boolean {
  if (a === b) return true;
  const meaning = (tokenizer: Tokenizer): unknown => {
    const { model, added_tokens, decoder } = tokenizer.toJSON()['tokenizer.json'];
    return { vocab: model.vocab, added_tokens, decoder };
  };
  return isDeepStrictEqual(meaning(a), meaning(b));
}

/**
 * Rewrites responses of `from` for `to`. What follows an end token is left out; a response that has ended ends for the target as well,
 * where it has an end token.
 * @param limit - most tokens of an example for the target
 * @throws RangeError naming a character that `from` can write and `to` cannot read: a run would stop when it is first drawn
 */
export function transcriber(from: Tokenizer, to: Tokenizer, limit: number): (responses: Transcript['responses']) => Transcript {
  requireReadable(from, to);
  const end = to.eosId === undefined ? [] : [to.eosId];
  const transcribe = (ids: readonly number[]): { empty: boolean; tokens: number[] } => {
    const ending = ids.findIndex((id) => from.eosIds.includes(id));
    const text = from.decode(ending < 0 ? ids : ids.slice(0, ending));
    return { empty: text === '', tokens: [...to.encode(text), ...(ending < 0 ? [] : end)] };
  };
  return (responses) => {
    const all = responses.map(transcribe);
    const share = (holds: (each: (typeof all)[number]) => boolean): number => all.filter(holds).length / all.length;
    return {
      responses: all.map(({ tokens }) => tokens.slice(0, limit)),
      metrics: {
        empty_responses: share(({ empty }) => empty),
        truncated_responses: share(({ tokens }) => tokens.length > limit),
      },
    };
  };
}

/** @throws RangeError unless `to` can read every character that occurs in a token of `from` */
function requireReadable(from: Tokenizer, to: Tokenizer): void {
  const characters = new Set<string>();
  for (let id = 0; id < from.vocabSize; id++) {
    const twice = from.isToken(id) ? from.decode([id, id]) : ''; // a space at the start may be lost
    for (const character of twice) characters.add(character);
  }
  for (const character of characters) {
    try {
      to.encode(character);
    } catch (error) {
      const code = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0');
      throw new RangeError(
        `the generator can write ${JSON.stringify(character)} (U+${code}), which the target's tokenizer cannot read: take a target whose ` +
          'vocabulary has all of the generator’s characters',
        { cause: error },
      );
    }
  }
}
