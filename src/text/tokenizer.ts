/**
 * Tokenizers: a thin layer on `@huggingface/tokenizers`, and the character tokenizer of the small models.
 *
 * The character tokenizer numbers characters by frequency, so that the hidden-dimension × token patches of paper section 5 (tokens
 * 0 … 20) concern tokens that texts really use. It is an ordinary `tokenizer.json`, which Python's `tokenizers` reads as well.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as library from '@huggingface/tokenizers';

/** Text to token ids and back. */
export interface Tokenizer {
  readonly vocabSize: number;
  /**
   * Token ids of a text; nothing is added at the start or the end.
   * @throws RangeError naming the first character outside the vocabulary and its position
   */
  readonly encode: (text: string) => number[];
  /**
   * The text of token ids; special tokens are left out.
   * @throws RangeError naming an id outside the vocabulary
   */
  readonly decode: (ids: ArrayLike<number>) => string;
  /** The id of a token, e.g. `<sep>`; undefined if there is none. */
  readonly idOf: (token: string) => number | undefined;
  readonly padId?: number;
  readonly bosId?: number;
  readonly sepId?: number;
  readonly eosId?: number;
  /** Contents of `tokenizer.json` and `tokenizer_config.json`. */
  readonly toJSON: () => TokenizerFiles;
}

/** The two files of a tokenizer in a Hugging Face folder. */
export interface TokenizerFiles {
  readonly 'tokenizer.json': TokenizerJson;
  readonly 'tokenizer_config.json': TokenizerConfig;
}

/** The parts of `tokenizer.json` that are read here; the rest is the library's. */
interface TokenizerJson {
  readonly model: { readonly unk_token?: string | null; readonly [key: string]: unknown };
  readonly [key: string]: unknown;
}

type SpecialToken = string | { readonly content: string } | null;
interface TokenizerConfig {
  readonly pad_token?: SpecialToken;
  readonly bos_token?: SpecialToken;
  readonly sep_token?: SpecialToken;
  readonly eos_token?: SpecialToken;
  readonly [key: string]: unknown;
}

/** What is used of the library: its own declarations lack the file endings that Node's module resolution asks for, so they are untyped. */
interface LibraryTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: (number | undefined)[] };
  decode(ids: number[], options: { skip_special_tokens: boolean }): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_vocab(): Map<string, number>;
}
const { Tokenizer: HuggingFaceTokenizer } = library as unknown as {
  Tokenizer: new (json: TokenizerJson, config: TokenizerConfig) => LibraryTokenizer;
};

/** Padding, start, the border between prompt and response, end: the last four tokens of a {@link characterTokenizer}. */
const SPECIAL_TOKENS = ['<pad>', '<bos>', '<sep>', '<eos>'] as const;

/**
 * One token a character of `corpus`, the most frequent first (ties by code point), then `<pad> <bos> <sep> <eos>`.
 * @throws RangeError for an empty corpus
 */
export function characterTokenizer(corpus: string): Tokenizer {
  const counts = new Map<string, number>();
  for (const character of corpus) counts.set(character, (counts.get(character) ?? 0) + 1);
  if (counts.size === 0)
    throw new RangeError('characterTokenizer needs a corpus with at least one character (got an empty string)');
  const byFrequency = [...counts]
    .sort(([a, n], [b, m]) => m - n || a.codePointAt(0)! - b.codePointAt(0)!)
    .map(([character]) => character);
  const vocabulary = [...byFrequency, ...SPECIAL_TOKENS];
  return tokenizerOf({ 'tokenizer.json': characterModel(vocabulary), 'tokenizer_config.json': CHARACTER_CONFIG });
}

/**
 * The tokenizer of a Hugging Face folder: `tokenizer.json` and, where there is one, `tokenizer_config.json`.
 * @throws Error naming the file that is missing or no JSON
 */
export function loadTokenizer(folder: string): Tokenizer {
  const config = readJson<TokenizerConfig>(join(folder, 'tokenizer_config.json'), {});
  return tokenizerOf({
    'tokenizer.json': readJson<TokenizerJson>(join(folder, 'tokenizer.json')),
    'tokenizer_config.json': config,
  });
}

/** The tokenizer's files as text, by name: what belongs beside the weights in a Hugging Face folder. */
export const tokenizerFiles = (tokenizer: Tokenizer): Record<string, string> =>
  Object.fromEntries(
    Object.entries(tokenizer.toJSON()).map(([name, content]) => [name, `${JSON.stringify(content, null, 1)}\n`]),
  );

function tokenizerOf(files: TokenizerFiles): Tokenizer {
  const config = files['tokenizer_config.json'];
  const inner = new HuggingFaceTokenizer(files['tokenizer.json'], config);
  const vocabSize = [...inner.get_vocab().values()].reduce((most, id) => Math.max(most, id), -1) + 1;
  const unknown = inner.token_to_id(files['tokenizer.json'].model.unk_token ?? '');
  const idsOf = (text: string) => inner.encode(text, { add_special_tokens: false }).ids;
  const isKnown = (id: number | undefined): id is number => id !== undefined && id !== unknown;
  const special = (token: SpecialToken | undefined): number | undefined =>
    token ? inner.token_to_id(typeof token === 'string' ? token : token.content) : undefined;
  return {
    vocabSize,
    encode(text) {
      const ids = idsOf(text);
      if (!ids.every(isKnown)) throw unknownCharacter(text, (character) => !idsOf(character).every(isKnown));
      return ids;
    },
    decode(ids) {
      const list = Array.from(ids);
      const foreign = list.find((id) => inner.id_to_token(id) === undefined);
      if (foreign !== undefined) throw new RangeError(`token ids go from 0 to ${vocabSize - 1} (got ${foreign})`);
      return list.length === 0 ? '' : inner.decode(list, { skip_special_tokens: true });
    },
    idOf: (token) => inner.token_to_id(token),
    padId: special(config.pad_token),
    bosId: special(config.bos_token),
    sepId: special(config.sep_token),
    eosId: special(config.eos_token),
    toJSON: () => files,
  };
}

/** The error for a text with a character outside the vocabulary. */
function unknownCharacter(text: string, isUnknown: (character: string) => boolean): RangeError {
  let position = 0;
  for (const character of text) {
    if (isUnknown(character)) {
      const code = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0');
      const around = text.slice(Math.max(0, position - 15), position + 15);
      return new RangeError(
        `${JSON.stringify(character)} (U+${code}) at position ${position} is not in the tokenizer's vocabulary, in ${JSON.stringify(around)}`,
      );
    }
    position += character.length;
  }
  return new RangeError(`a part of ${JSON.stringify(text.slice(0, 60))} is not in the tokenizer's vocabulary`);
}

const CHARACTER_CONFIG: TokenizerConfig = {
  tokenizer_class: 'PreTrainedTokenizerFast',
  pad_token: '<pad>',
  bos_token: '<bos>',
  sep_token: '<sep>',
  eos_token: '<eos>',
  clean_up_tokenization_spaces: false,
};

/** `tokenizer.json` of single characters. The unknown token is none of the vocabulary, so that Python refuses unknown characters too. */
const characterModel = (vocabulary: readonly string[]): TokenizerJson => ({
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: SPECIAL_TOKENS.map((content) => ({
    id: vocabulary.indexOf(content),
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  })),
  normalizer: null,
  pre_tokenizer: { type: 'Split', pattern: { Regex: '[\\s\\S]' }, behavior: 'Isolated', invert: false },
  post_processor: null,
  decoder: { type: 'Fuse' },
  model: { type: 'WordLevel', vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])), unk_token: '<unk>' },
});

function readJson<T>(path: string, fallback?: T): T {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (fallback !== undefined) return fallback;
    throw new Error(`${path} cannot be read: a tokenizer folder needs tokenizer.json`, { cause: error });
  }
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    throw new Error(`${path} is not valid JSON: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}
