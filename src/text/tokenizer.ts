/**
 * Tokenizers: a thin layer on `@huggingface/tokenizers`, and the character tokenizer of the small models.
 *
 * The character tokenizer numbers characters by frequency, so that the hidden-dimension × token patches of paper section 5 (tokens
 * 0 … 20) concern tokens that texts really use. It is an ordinary `tokenizer.json`, which Python's `tokenizers` reads as well.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { fit, readJson, readText } from '../files/json';
import { printable, shorten, shown } from '../files/printable';
import { endingTokenizer, type LibraryTokenizer } from './libraryTokenizer';

/** Text to token ids and back. */
export interface Tokenizer {
  readonly vocabSize: number;
  /**
   * Token ids of a text; nothing is added at the start or the end, and a control token that the text spells (`<|endoftext|>`) stays text.
   * @throws RangeError naming the first character outside the vocabulary and its position
   */
  readonly encode: (text: string) => number[];
  /** Token ids of a text whose control tokens are meant as such: what a chat template renders. @throws RangeError as {@link encode} */
  readonly encodeMarkup: (text: string) => number[];
  /**
   * The text of token ids; special tokens are left out.
   * @throws RangeError naming an id outside the vocabulary
   */
  readonly decode: (ids: ArrayLike<number>) => string;
  /** Whether an id stands for a token, which alone are written: vocabularies may have holes, and models are padded beyond theirs. */
  readonly isToken: (id: number) => boolean;
  /** Control tokens as they are spelled, e.g. `<|im_end|>`. */
  readonly controlTokens: readonly string[];
  /** What the model expects in front of every text: `<s>` for most Llamas, nothing for GPT-2. */
  readonly startIds: readonly number[];
  /** The id of a token, e.g. `<sep>`; undefined if there is none. */
  readonly idOf: (token: string) => number | undefined;
  readonly padId?: number;
  readonly bosId?: number;
  readonly sepId?: number;
  /** The token that a text ends with; sampling stops at it. */
  readonly eosId?: number;
  /** All tokens that end a text; Llama 3 has several. */
  readonly eosIds: readonly number[];
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
  readonly model: { readonly unk_token?: string | null; readonly unk_id?: number | null; readonly [key: string]: unknown };
  readonly added_tokens?: unknown;
  readonly [key: string]: unknown;
}

type SpecialToken = string | { readonly content: string } | null;
interface TokenizerConfig {
  readonly pad_token?: SpecialToken;
  readonly bos_token?: SpecialToken;
  readonly sep_token?: SpecialToken;
  readonly eos_token?: SpecialToken;
  readonly chat_template?: unknown;
  readonly add_bos_token?: boolean;
  readonly [key: string]: unknown;
}

/** Ids in `generation_config.json` or `config.json`: GPT-2 names its end of text nowhere else. */
interface ControlIds {
  readonly bos_token_id?: number | null;
  readonly eos_token_id?: number | readonly number[] | null;
}

/** The library would pull " ," and " n't" together by default: text must come back as it was. */
const EXACTLY = { skip_special_tokens: true, clean_up_tokenization_spaces: false };

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
  return tokenizerOf({ 'tokenizer.json': characterModel(vocabulary), 'tokenizer_config.json': SPECIAL_TOKEN_CONFIG });
}

/**
 * The tokenizer of a Hugging Face folder: `tokenizer.json` and, where there are such files, `tokenizer_config.json`, `chat_template.jinja`
 * and the ids of the control tokens in `generation_config.json` or `config.json`.
 * @throws Error naming the file that is missing or does not fit
 */
export function loadTokenizer(folder: string): Tokenizer {
  const template = join(folder, 'chat_template.jinja'); // newer folders have it in a file of its own
  const optional = <T>(name: string, schema: z.ZodType<T>): T =>
    existsSync(join(folder, name)) ? readFitting(join(folder, name), schema) : schema.parse({});
  const config = {
    ...optional('tokenizer_config.json', configSchema),
    ...(existsSync(template) && { chat_template: readText(template) }),
  };
  const path = join(folder, 'tokenizer.json');
  const files = { 'tokenizer.json': readFitting(path, tokenizerSchema), 'tokenizer_config.json': config };
  const [generation, model] = ['generation_config.json', 'config.json'].map((name) => optional(name, idsSchema));
  const controlIds = {
    bos_token_id: generation.bos_token_id ?? model.bos_token_id,
    eos_token_id: generation.eos_token_id ?? model.eos_token_id,
  };
  try {
    return tokenizerOf(files, controlIds);
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    throw new Error(`${path} cannot be used: ${printable(shorten(said, 200))}`, { cause: error });
  }
}

/** The value of a JSON file as it stands there, keys in their order, if it fits. */
function readFitting<T>(path: string, schema: z.ZodType<T>): T {
  const value = readJson(path, z.unknown());
  fit(path, value, schema);
  return value as T;
}

/** No vocabulary has as many tokens; ids beyond it would ask for memory that nobody has. */
const MAX_TOKENS = 10_000_000;
const tokenId = z.int().min(0).max(MAX_TOKENS);

const tokenizerSchema: z.ZodType<TokenizerJson> = z.looseObject({
  model: z.looseObject({
    vocab: z.union([z.record(z.string(), tokenId), z.array(z.tuple([z.string(), z.number()])).max(MAX_TOKENS)]),
    unk_token: z.string().nullish(),
    unk_id: tokenId.nullish(),
  }),
  added_tokens: z.array(z.looseObject({ id: tokenId, content: z.string(), special: z.boolean().optional() })).nullish(),
});

const tokenSchema = z.union([z.string(), z.looseObject({ content: z.string() })]).nullish();
const configSchema: z.ZodType<TokenizerConfig> = z.looseObject({
  pad_token: tokenSchema,
  bos_token: tokenSchema,
  sep_token: tokenSchema,
  eos_token: tokenSchema,
  add_bos_token: z.boolean().optional(),
});
const idsSchema: z.ZodType<ControlIds> = z.looseObject({
  bos_token_id: z.number().nullish(),
  eos_token_id: z.union([z.number(), z.array(z.number())]).nullish(),
});

/** The tokenizer's files as text, by name: what belongs beside the weights in a Hugging Face folder. */
export const tokenizerFiles = (tokenizer: Tokenizer): Record<string, string> =>
  Object.fromEntries(
    Object.entries(tokenizer.toJSON()).map(([name, content]) => [name, `${JSON.stringify(content, null, 1)}\n`]),
  );

/**
 * The tokenizer that its two files describe.
 * @param controlIds - what counts where `tokenizer_config.json` names no such token; ids outside the vocabulary are ignored
 */
export function tokenizerOf(files: TokenizerFiles, controlIds: ControlIds = {}): Tokenizer {
  const config = files['tokenizer_config.json'];
  const json = withAddedTokens(files['tokenizer.json']);
  const controlTokens = json.added_tokens.filter(({ special }) => special).map(({ content }) => content);
  const inner = endingTokenizer(namingUnknown(json), config);
  const vocabSize = [...inner.get_vocab().values()].reduce((most, id) => Math.max(most, id), -1) + 1;
  const special = (token: SpecialToken | undefined): number | undefined =>
    token ? inner.token_to_id(typeof token === 'string' ? token : token.content) : undefined;
  const inVocabulary = (id: MaybeId): id is number => typeof id === 'number' && id >= 0 && id < vocabSize;
  const bosId = [special(config.bos_token), controlIds.bos_token_id].find(inVocabulary);
  const eosIds = [...new Set([special(config.eos_token), controlIds.eos_token_id].flat().filter(inVocabulary))];
  const isToken = (id: number): boolean => inner.id_to_token(id) !== undefined;
  const isControl = (id: MaybeId): boolean => typeof id === 'number' && controlTokens.includes(inner.id_to_token(id) ?? '');
  return {
    vocabSize,
    ...encoders(inner, json, config, isControl),
    decode(ids) {
      const list = Array.from(ids);
      const foreign = list.find((id) => !isToken(id));
      if (foreign !== undefined) throw new RangeError(`token ids go from 0 to ${vocabSize - 1} (got ${foreign})`);
      return list.length === 0 ? '' : inner.decode(list, EXACTLY);
    },
    isToken,
    controlTokens,
    startIds: startOf(inner, config, { isControl, bosId }),
    idOf: (token) => inner.token_to_id(token),
    padId: special(config.pad_token),
    bosId,
    sepId: special(config.sep_token),
    eosId: eosIds[0],
    eosIds,
    toJSON: () => files,
  };
}

/** What the library gives for a token; nothing where it has none. */
type MaybeId = number | null | undefined;

/** Both ways from text to ids. */
function encoders(
  inner: LibraryTokenizer,
  json: ReturnType<typeof withAddedTokens>,
  config: TokenizerConfig,
  isControl: (id: MaybeId) => boolean,
): Pick<Tokenizer, 'encode' | 'encodeMarkup'> {
  const controls = new Set(json.added_tokens.filter(({ special }) => special).map(({ content }) => content));
  const ofText = endingTokenizer(withoutControlTokens(json, controls), config);
  const unknown = json.model.unk_id ?? inner.token_to_id(json.model.unk_token ?? '');
  const idsOf = (text: string): MaybeId[] => ofText.encode(text, { add_special_tokens: false }).ids;
  const isKnown = (id: MaybeId): boolean => typeof id === 'number' && id !== unknown;
  const checked = (ids: MaybeId[], isFine: (id: MaybeId) => boolean, text: string): number[] => {
    if (!ids.every(isFine)) throw unknownCharacter(text, (character) => !idsOf(character).every(isKnown));
    return ids as number[];
  };
  return {
    encode: (text) => checked(idsOf(text), isKnown, text),
    encodeMarkup: (text) => {
      const { ids } = inner.encode(text, { add_special_tokens: false });
      return checked(ids, (id) => isKnown(id) || isControl(id), text);
    },
  };
}

const withAddedTokens = (json: TokenizerJson) => ({
  ...json,
  added_tokens: (json.added_tokens ?? []) as readonly { readonly content: string; readonly special?: boolean }[],
});

/** In front of what no text holds, half of a pair: the library drops characters without a token, and here they are an error. */
const NO_TEXT = '\u{D800}';

/** The same tokenizer, for which what has no token becomes one that is none of the vocabulary. */
function namingUnknown<T extends TokenizerJson>(json: T): T {
  if (Array.isArray(json.model.vocab)) return json; // Unigram has an id for it
  return { ...json, model: { ...json.model, unk_token: json.model.unk_token ?? `${NO_TEXT}unknown` } };
}

/**
 * The same tokenizer for text alone: it finds no control tokens in it.
 * A Unigram model would put a control token together from its piece, so the pieces get names that no text has.
 */
function withoutControlTokens(json: ReturnType<typeof withAddedTokens>, controls: ReadonlySet<string>): TokenizerJson {
  const { model, added_tokens } = namingUnknown(json);
  const hidden = (token: string): string => (controls.has(token) && token !== model.unk_token ? `${NO_TEXT}${token}` : token);
  const isUnigram = Array.isArray(model.vocab);
  const entries = isUnigram ? (model.vocab as [string, number][]) : Object.entries(model.vocab as Record<string, number>);
  const renamed = entries.map(([token, number]) => [hidden(token), number] as const); // a score in Unigram, else an id
  return {
    ...json,
    added_tokens: added_tokens.filter(({ content }) => !controls.has(content)),
    post_processor: null,
    model: { ...model, vocab: isUnigram ? renamed : Object.fromEntries(renamed) },
  };
}

/** The control tokens that the tokenizer puts in front of a text; older folders say in the config that there is one. */
function startOf(
  inner: LibraryTokenizer,
  { add_bos_token }: TokenizerConfig,
  { isControl, bosId }: { isControl: (id: MaybeId) => boolean; bosId?: number },
): number[] {
  if (add_bos_token === false) return [];
  const { ids } = inner.encode('a', { add_special_tokens: true });
  const text = ids.findIndex((id) => !isControl(id));
  const start = ids.slice(0, Math.max(0, text)) as number[];
  return start.length === 0 && add_bos_token && bosId !== undefined ? [bosId] : start;
}

/** The error for a text with a character outside the vocabulary. */
function unknownCharacter(text: string, isUnknown: (character: string) => boolean): RangeError {
  let position = 0;
  for (const character of text) {
    if (isUnknown(character)) {
      const code = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0');
      const around = text.slice(Math.max(0, position - 15), position + 15);
      return new RangeError(
        `${JSON.stringify(character)} (U+${code}) at position ${position} is not in the tokenizer's vocabulary, in ${shown(around)}`,
      );
    }
    position += character.length;
  }
  return new RangeError(`a part of ${shown(text.slice(0, 60))} is not in the tokenizer's vocabulary`);
}

/** `tokenizer_config.json` of a tokenizer that ends with {@link specialTokens}. */
export const SPECIAL_TOKEN_CONFIG: TokenizerConfig = {
  tokenizer_class: 'PreTrainedTokenizerFast',
  pad_token: '<pad>',
  bos_token: '<bos>',
  sep_token: '<sep>',
  eos_token: '<eos>',
  clean_up_tokenization_spaces: false,
};

/** `<pad> <bos> <sep> <eos>` as `tokenizer.json` lists them, with ids from `first` on. */
export const specialTokens = (first: number) =>
  SPECIAL_TOKENS.map((content, i) => ({
    id: first + i,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));

/** `tokenizer.json` of single characters. The unknown token is none of the vocabulary, so that Python refuses unknown characters too. */
const characterModel = (vocabulary: readonly string[]): TokenizerJson => ({
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: specialTokens(vocabulary.length - SPECIAL_TOKENS.length),
  normalizer: null,
  pre_tokenizer: { type: 'Split', pattern: { Regex: '[\\s\\S]' }, behavior: 'Isolated', invert: false },
  post_processor: null,
  decoder: { type: 'Fuse' },
  model: { type: 'WordLevel', vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])), unk_token: '<unk>' },
});
