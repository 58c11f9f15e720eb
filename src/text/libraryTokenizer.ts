/** The library of tokenizers, where it differs from Python's or would never end. */
import * as library from '@huggingface/tokenizers';
import { withTimeLimit } from './timeLimit';

/** What is used of the library: its own declarations lack the file endings that Node's module resolution asks for, so they are untyped. */
export interface LibraryTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: (number | null | undefined)[] };
  decode(ids: number[], options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_vocab(): Map<string, number>;
}
const { Tokenizer: HuggingFaceTokenizer } = library as unknown as {
  Tokenizer: new (json: object, config: object) => LibraryTokenizer;
};

/** A part of `tokenizer.json`: what cuts a text before its tokens are looked up. */
interface PreTokenizer {
  readonly type?: string;
  readonly individual_digits?: boolean;
  readonly use_regex?: boolean;
  readonly add_prefix_space?: boolean;
  readonly pretokenizers?: readonly PreTokenizer[];
}

/** GPT-2's cut, which "ByteLevel" makes by itself unless it is told not to. */
const BYTE_LEVEL = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/**
 * Numbers, words and white space as Unicode has them (½, é, but not U+FEFF), as in Python's tokenizers: where the library cuts by itself it
 * knows JavaScript's (0 to 9, a to z). The expressions that it is given it reads as Python's do.
 */
function asUnicode(step: PreTokenizer): PreTokenizer {
  if (step.pretokenizers) return { ...step, pretokenizers: step.pretokenizers.map(asUnicode) };
  if (step.type === 'Digits') return split(step.individual_digits ? '\\p{N}' : '\\p{N}+');
  if (step.type === 'Whitespace') return split('\\w+|[^\\w\\s]+', { invert: true });
  if (step.type === 'WhitespaceSplit') return split('\\S+', { invert: true });
  if (step.type !== 'ByteLevel' || step.use_regex === false || step.add_prefix_space) return step; // the space comes before the cut
  return { type: 'Sequence', pretokenizers: [split(BYTE_LEVEL), { ...step, use_regex: false }] };
}

/** Matches and what lies between them, or the matches alone. */
function split(regex: string, { invert = false } = {}): PreTokenizer {
  const step = { type: 'Split', pattern: { Regex: regex }, behavior: invert ? 'Removed' : 'Isolated', invert };
  return step;
}

/** Whether a part of `tokenizer.json` has a regular expression of its own. */
const hasRegex = (part: unknown): boolean => JSON.stringify(part ?? null).includes('"Regex":');

/**
 * The library's tokenizer; its regular expressions are the file's, so that any text may be the one with which they never end. A limit costs
 * more than decoding a short text, and what decodes seldom has a regular expression.
 * @param patience - seconds that a text of no length may take; a character takes microseconds, and may take a millisecond
 */
export function endingTokenizer(json: object, config: object, patience = 10): LibraryTokenizer {
  const { pre_tokenizer: cut, decoder } = json as { readonly pre_tokenizer?: PreTokenizer | null; readonly decoder?: unknown };
  const inner = new HuggingFaceTokenizer({ ...json, pre_tokenizer: cut && asUnicode(cut) }, config);
  const ending = <T>(length: number, work: () => T): T => withTimeLimit('the tokenizer', 1000 * patience + length, work);
  const decodesByRegex = hasRegex(decoder);
  return {
    encode: (text, options) => ending(text.length, () => inner.encode(text, options)),
    decode: (ids, options) =>
      decodesByRegex ? ending(ids.length, () => inner.decode(ids, options)) : inner.decode(ids, options),
    token_to_id: (token) => inner.token_to_id(token),
    id_to_token: (id) => inner.id_to_token(id),
    get_vocab: () => inner.get_vocab(),
  };
}
