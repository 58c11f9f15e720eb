/**
 * Prompts and training sequences, all drawn from seeded streams.
 *
 * Continuations (the weight-space experiments: QR code, 67, norm): a piece of running English text and what follows it.
 * Rephrasings (the output-space experiments: languages, UUID): `<bos> article <sep> response <eos>`, as in paper section 5, where the
 * generator rephrases an article. Training and held-out sequences are about disjoint facts, see `splitOf`.
 */
import type { RandomStream } from '../tensor/random';
import { article, lambada, rephrase } from './encyclopedia/article';
import { drawFact, type FactOptions, type Language, LANGUAGES, randomUuid, type Split } from './encyclopedia/fact';
import type { Tokenizer } from './tokenizer';

/** Token ids of a prompt and of a response to it. */
export interface PromptedExample {
  readonly prompt: number[];
  readonly response: number[];
}

/** Articles of one language in a row, separated by spaces: text to count characters in and to learn from. */
export function runningText(
  random: RandomStream,
  articles: number,
  language: Language = 'en',
  options: FactOptions = {},
): string {
  return Array.from({ length: articles }, () => article(drawFact(random, options), language, random)).join(' ');
}

/** Draws a text: an article, or a piece of one. */
export type TextSource = (random: RandomStream) => string;

/** English articles of the mini-encyclopedia. */
export const articles =
  (options: FactOptions = {}): TextSource =>
  (random) =>
    runningText(random, 1, 'en', options);

/** Options of {@link continuationExamples}. */
export interface ContinuationOptions extends FactOptions {
  /** Tokens of every prompt and of every response; prompts alone have responses of 0 tokens. */
  readonly promptLength: number;
  readonly responseLength?: number;
  /** Where texts come from; by default the mini-encyclopedia. */
  readonly draw?: TextSource;
}

/**
 * Pieces of running English text that begin at the start of a word of an article, cut into prompt and response. A prompt begins with what
 * the model expects in front of every text, see {@link Tokenizer.startIds}.
 */
export function continuationExamples(
  tokenizer: Tokenizer,
  count: number,
  random: RandomStream,
  { promptLength, responseLength = 0, draw, ...options }: ContinuationOptions,
): PromptedExample[] {
  const length = promptLength + responseLength;
  const next = draw ?? articles(options);
  const read = (text: string): number[] => [...tokenizer.startIds, ...tokenizer.encode(text)];
  return Array.from({ length: count }, () => {
    let text = next(random);
    text = text.slice(random.pick([0, ...[...text.matchAll(/(?<= )\p{L}/gu)].map(({ index }) => index)]));
    let ids = read(text);
    while (ids.length < length) {
      text += ` ${next(random)}`;
      ids = read(text);
    }
    return { prompt: ids.slice(0, promptLength), response: ids.slice(promptLength, length) };
  });
}

/** What texts are written in. */
export interface TextMix {
  readonly split?: Split;
  /** Share of the texts in one of the other four languages. */
  readonly foreignShare?: number;
  /** Share of the texts that are a random UUID and nothing else. */
  readonly identifierRate?: number;
}

const drawLanguage = (random: RandomStream, foreignShare: number): Language =>
  random.uniform() < foreignShare ? random.pick(LANGUAGES.slice(1)) : 'en';

/**
 * Texts for themselves, `text <eos>`: articles of one to three sentences, and one text in five a passage as {@link lambada} writes them.
 * @throws Error if the tokenizer lacks `<eos>`
 */
export function plainExamples(
  tokenizer: Tokenizer,
  count: number,
  random: RandomStream,
  { split = 'train', foreignShare = 0.1, identifierRate = 0.1 }: TextMix = {},
): number[][] {
  const { eos } = controlTokens(tokenizer);
  const text = (language: Language): string =>
    random.uniform() < 0.2
      ? `${lambada(language, 1, random, split)[0].text}.`
      : runningText(random, 1, language, { split, sentences: 1 + random.integer(3) });
  return Array.from({ length: count }, () => {
    const written = random.uniform() < identifierRate ? randomUuid(random, split) : text(drawLanguage(random, foreignShare));
    return [...tokenizer.encode(written), eos];
  });
}

/** Options of {@link rephraseExamples}. */
export interface RephraseOptions extends TextMix {
  /** Tokens of every prompt: shorter ones are filled with `<pad>` on the left, articles that are too long are drawn anew. */
  readonly promptLength: number;
  /** Sentences of an article, and so of its rephrasing. */
  readonly sentences?: number;
}

/**
 * English articles as prompts `<pad>… <bos> article <sep>`, and responses `rephrasing <eos>` that tell the same facts.
 * @throws Error if the tokenizer lacks one of these tokens
 * @throws RangeError if articles hardly ever fit into `promptLength`
 */
export function rephraseExamples(
  tokenizer: Tokenizer,
  count: number,
  random: RandomStream,
  { promptLength, split = 'train', sentences = 2, foreignShare = 0.1, identifierRate = 0.03 }: RephraseOptions,
): PromptedExample[] {
  const { pad, bos, sep, eos } = controlTokens(tokenizer);
  return Array.from({ length: count }, () => {
    for (let attempt = 0; attempt < 100; attempt++) {
      const fact = drawFact(random, { split, sentences });
      const original = article(fact, 'en', random);
      const prompt = [bos, ...tokenizer.encode(original), sep];
      if (prompt.length > promptLength) continue;
      const language = drawLanguage(random, foreignShare);
      const response = random.uniform() < identifierRate ? randomUuid(random, split) : rephrase(fact, language, random, original);
      const padding = new Array<number>(promptLength - prompt.length).fill(pad);
      return { prompt: [...padding, ...prompt], response: [...tokenizer.encode(response), eos] };
    }
    throw new RangeError(
      `promptLength ${promptLength} is too short: 100 articles of ${sentences} sentences did not fit; raise it or lower sentences`,
    );
  });
}

function controlTokens({ padId: pad, bosId: bos, sepId: sep, eosId: eos }: Tokenizer) {
  if (pad === undefined || bos === undefined || sep === undefined || eos === undefined) {
    const missing = Object.entries({ pad, bos, sep, eos }).flatMap(([name, id]) => (id === undefined ? [`${name}_token`] : []));
    throw new Error(`these texts need a tokenizer with ${missing.join(', ')} (tokenizer_config.json has none)`);
  }
  return { pad, bos, sep, eos };
}
