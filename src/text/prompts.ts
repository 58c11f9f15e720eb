/**
 * Prompts and training sequences, all drawn from seeded streams.
 *
 * Continuations (the weight-space experiments: QR code, 67, norm): a piece of running English text and what follows it.
 * Rephrasings (the output-space experiments: languages, UUID): `<bos> article <sep> response <eos>`, as in paper section 5, where the
 * generator rephrases an article. Training and held-out sequences are about disjoint facts, see `splitOf`.
 */
import type { RandomStream } from '../tensor/random';
import { article, rephrase } from './encyclopedia/article';
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

/** Options of {@link continuationExamples}. */
export interface ContinuationOptions extends FactOptions {
  /** Tokens of every prompt and of every response; prompts alone have responses of 0 tokens. */
  readonly promptLength: number;
  readonly responseLength?: number;
}

/** Pieces of running English text that begin at the start of a word of an article, cut into prompt and response. */
export function continuationExamples(
  tokenizer: Tokenizer,
  count: number,
  random: RandomStream,
  { promptLength, responseLength = 0, ...options }: ContinuationOptions,
): PromptedExample[] {
  const length = promptLength + responseLength;
  return Array.from({ length: count }, () => {
    let text = runningText(random, 1, 'en', options);
    text = text.slice(random.pick([0, ...[...text.matchAll(/(?<= )\p{L}/gu)].map(({ index }) => index)]));
    let ids = tokenizer.encode(text);
    while (ids.length < length) {
      text += ` ${runningText(random, 1, 'en', options)}`;
      ids = tokenizer.encode(text);
    }
    return { prompt: ids.slice(0, promptLength), response: ids.slice(promptLength, length) };
  });
}

/** Options of {@link rephraseExamples}. */
export interface RephraseOptions {
  /** Tokens of every prompt: shorter ones are filled with `<pad>` on the left, articles that are too long are drawn anew. */
  readonly promptLength: number;
  readonly split?: Split;
  /** Sentences of an article, and so of its rephrasing. */
  readonly sentences?: number;
  /** Share of the rephrasings in one of the other four languages. */
  readonly foreignShare?: number;
  /** Share of the responses that are a random UUID and nothing else. */
  readonly identifierRate?: number;
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
      const language = random.uniform() < foreignShare ? random.pick(LANGUAGES.slice(1)) : 'en';
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
    throw new Error(`rephraseExamples needs a tokenizer with ${missing.join(', ')} (tokenizer_config.json has none)`);
  }
  return { pad, bos, sep, eos };
}
