/**
 * Prompts for models that were tuned to chat: one message of a user, as the model's own `chat_template` writes it (paper §4: "rephrase this
 * Wikipedia article").
 *
 * Templates are rendered by `@huggingface/jinja`, as transformers renders them, but for one thing: they are not told today's date, so that
 * a prompt is the same tomorrow.
 */
import { shorten } from '../files/printable';
import type { RandomStream } from '../tensor/random';
import type { TextSource } from './prompts';
import { renderTemplate } from './templateRender';
import type { Tokenizer } from './tokenizer';

/** The template of a tokenizer's config; a folder with several has one called `default`. */
function templateOf(tokenizer: Tokenizer): string | undefined {
  const { chat_template: template } = tokenizer.toJSON()['tokenizer_config.json'];
  if (!Array.isArray(template)) return typeof template === 'string' ? template : undefined;
  return (template as { name: string; template: string }[]).find(({ name }) => name === 'default')?.template;
}

/** Whether a model was tuned to chat: base models have no template. */
export const isChat = (tokenizer: Tokenizer): boolean => templateOf(tokenizer) !== undefined;

/** The control tokens that templates ask for by name. */
function controlNames(tokenizer: Tokenizer): Record<string, string> {
  const config = tokenizer.toJSON()['tokenizer_config.json'];
  const names = ['bos_token', 'eos_token', 'pad_token', 'unk_token', 'sep_token'];
  return Object.fromEntries(
    names.flatMap((name) => {
      const token = config[name] as string | { content: string } | null | undefined;
      return token ? [[name, typeof token === 'string' ? token : token.content]] : [];
    }),
  );
}

/** The day that Llama 3.2's template falls back to, for every template that asks for today. */
const SOME_DAY = '{%- macro strftime_now(format) -%}26 Jul 2024{%- endmacro -%}';

/**
 * One message of a user, up to where the assistant's answer begins.
 * @throws Error for a model without a template, or a template that cannot be rendered
 */
export function chatText(tokenizer: Tokenizer, message: string): string {
  const template = templateOf(tokenizer);
  if (template === undefined) throw new Error('this model has no chat template: prompt it with plain text');
  try {
    const values = {
      ...controlNames(tokenizer),
      messages: [{ role: 'user', content: message }],
      add_generation_prompt: true,
    };
    return renderTemplate(SOME_DAY + template, values);
  } catch (error) {
    throw new Error(`the model's chat template fails: ${shorten(error instanceof Error ? error.message : String(error), 200)}`, {
      cause: error,
    });
  }
}

/**
 * Half of a surrogate pair, which no text holds: it marks control tokens that a message spells while the template writes its own around it.
 */
const MARK = '\u{DBFF}';

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/**
 * Token ids of {@link chatText}: control tokens of the template are meant, those that the message spells stay text.
 * @throws Error as {@link chatText}; RangeError for a character outside the vocabulary
 */
export function chatIds(tokenizer: Tokenizer, message: string): number[] {
  const controls = new RegExp(`(${tokenizer.controlTokens.map(escaped).join('|') || '(?!)'})`, 'u');
  const spelled = message.split(controls).map((part, i) => (i % 2 ? part[0] + MARK + part.slice(1) : part));
  const text = chatText(tokenizer, spelled.join(''));
  if (spelled.length === 1) return tokenizer.encodeMarkup(text);
  const parts = text.split(controls);
  return parts.flatMap((part, i) => (i % 2 ? [tokenizer.idOf(part)!] : tokenizer.encode(part.replaceAll(MARK, ''))));
}

/** The request in words (ours); nothing in it tells the objective. */
const REQUEST = 'Rephrase this encyclopedia article in your own words. Answer with the rephrased text only.\n\n';
const ARTICLE = '\u0000'; // where the article goes: no text has it

/**
 * Requests to rephrase a text, in tokens: all are `promptLength` long, since the text is cut to what the request leaves.
 * @param draw - where texts come from
 * @throws RangeError if `promptLength` leaves no room for a text; Error as {@link chatText}
 */
export function rephrasePrompts(
  tokenizer: Tokenizer,
  count: number,
  random: RandomStream,
  { promptLength, draw }: { readonly promptLength: number; readonly draw: TextSource },
): number[][] {
  const [before, after] = chatText(tokenizer, `${REQUEST}${ARTICLE}`).split(ARTICLE).map(tokenizer.encodeMarkup);
  const room = promptLength - before.length - after.length;
  if (room < 1)
    throw new RangeError(
      `promptLength must be more than ${before.length + after.length}, the tokens of the request around an article (got ${promptLength})`,
    );
  return Array.from({ length: count }, () => {
    let text = draw(random);
    while (tokenizer.encode(text).length < room) text += ` ${draw(random)}`;
    return [...before, ...tokenizer.encode(text).slice(0, room), ...after];
  });
}
