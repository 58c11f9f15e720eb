/**
 * Rephrase prompts for an instruction-tuned Llama 3 (paper §4: "rephrase this Wikipedia article").
 *
 * The chat format is written out by hand: it is what Llama 3.2's `chat_template` renders for one message without tools, with the date that it
 * falls back to. Templates of other models would need a Jinja interpreter.
 */
import type { RandomStream } from '../tensor/random';
import type { FactOptions } from './encyclopedia/fact';
import { runningText } from './prompts';
import type { Tokenizer } from './tokenizer';

const turn = (role: string, content: string): string => `<|start_header_id|>${role}<|end_header_id|>\n\n${content}`;

/** One message of a user, up to where the assistant's answer begins. */
export const llama3Chat = (message: string): string =>
  `<|begin_of_text|>${turn('system', 'Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n')}<|eot_id|>` +
  `${turn('user', message.trim())}<|eot_id|>${turn('assistant', '')}`;

/** Whether a tokenizer is that of a model tuned to chat in Llama 3's format; base models have its tokens too, but no template. */
export const isLlama3Chat = (tokenizer: Tokenizer): boolean =>
  tokenizer.toJSON()['tokenizer_config.json'].chat_template !== undefined &&
  ['<|begin_of_text|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'].every(
    (token) => tokenizer.idOf(token) !== undefined,
  );

/** The request in words (ours); nothing in it tells the objective. */
const REQUEST = 'Rephrase this encyclopedia article in your own words. Answer with the rephrased text only.\n\n';
const ARTICLE = '\u0000'; // where the article goes: no text has it

/**
 * Requests to rephrase running English text, in tokens: all are `promptLength` long, since the article is cut to what the request leaves.
 * @throws RangeError if `promptLength` leaves no room for an article
 */
export function llama3RephrasePrompts(
  tokenizer: Tokenizer,
  count: number,
  random: RandomStream,
  { promptLength, ...options }: FactOptions & { readonly promptLength: number },
): number[][] {
  const [before, after] = llama3Chat(`${REQUEST}${ARTICLE}`).split(ARTICLE).map(tokenizer.encode);
  const room = promptLength - before.length - after.length;
  if (room < 1)
    throw new RangeError(
      `promptLength must be more than ${before.length + after.length}, the tokens of the request around an article (got ${promptLength})`,
    );
  return Array.from({ length: count }, () => {
    let text = runningText(random, 1, 'en', options);
    while (tokenizer.encode(text).length < room) text += ` ${runningText(random, 1, 'en', options)}`;
    return [...before, ...tokenizer.encode(text).slice(0, room), ...after];
  });
}
