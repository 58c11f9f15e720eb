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
  readonly pretokenizers?: readonly PreTokenizer[];
}

/** "Digits" are all that Unicode calls numbers (½, ², ٣), as in Python's tokenizers; the library knows 0 to 9 alone. */
function withAllDigits(step: PreTokenizer): PreTokenizer {
  if (step.pretokenizers) return { ...step, pretokenizers: step.pretokenizers.map(withAllDigits) };
  if (step.type !== 'Digits') return step;
  const pattern = { Regex: step.individual_digits ? '\\p{N}' : '\\p{N}+' };
  const split = { type: 'Split', pattern, behavior: 'Isolated', invert: false };
  return split;
}

/** The library's tokenizer; its regular expressions are the file's, so that any text may be the one with which they never end. */
export function endingTokenizer(json: object, config: object): LibraryTokenizer {
  const { pre_tokenizer: cut } = json as { readonly pre_tokenizer?: PreTokenizer | null };
  const inner = new HuggingFaceTokenizer({ ...json, pre_tokenizer: cut && withAllDigits(cut) }, config);
  const patience = (length: number): number => 10_000 + length; // milliseconds; a character takes microseconds
  return {
    encode: (text, options) => withTimeLimit('the tokenizer', patience(text.length), () => inner.encode(text, options)),
    decode: (ids, options) => withTimeLimit('the tokenizer', patience(ids.length), () => inner.decode(ids, options)),
    token_to_id: (token) => inner.token_to_id(token),
    id_to_token: (id) => inner.id_to_token(id),
    get_vocab: () => inner.get_vocab(),
  };
}
