/**
 * A tokenizer of word pieces for small models: the frequent words of a corpus and all its characters (ours; the paper's models bring their
 * own tokenizers).
 *
 * It is an ordinary `tokenizer.json` with a Unigram model (Kudo 2018), which Python's `tokenizers` reads as well, but nothing is trained:
 * a piece's score is the logarithm of its frequency. A word's piece begins with the space before it, and every text gets a space in front,
 * so that a word has one piece wherever it stands. Digits are pieces of their own, and so are all characters of a UUID: a word that could
 * be a part of one, such as `de`, has a piece only together with its space, and the space before a UUID is cut off.
 */
import { SPECIAL_TOKEN_CONFIG, specialTokens, tokenizerOf, type Tokenizer } from './tokenizer';

/** A word or punctuation with the space before it, a digit, or a space before a digit. */
const PIECES = / ?\p{L}+| ?[^\p{L}\d ]+|\d| /gu;
/** What may occur inside a UUID. */
const HEXADECIMAL = /^[0-9a-f-]+$/;
/** Every character costs as much as a word that is seen once in e^CHARACTER_COST. */
const CHARACTER_SCORE = -20;

/**
 * The `size` most useful pieces of `corpus`, the most frequent first, then `<pad> <bos> <sep> <eos>`.
 * @param size - pieces without the special tokens; every character of the corpus is one of them
 * @throws RangeError if `size` is smaller than the number of characters
 */
export function wordPieceTokenizer(corpus: string, size: number): Tokenizer {
  const characters = [...new Set(` ${corpus}`)].sort();
  if (size < characters.length)
    throw new RangeError(`size must be at least ${characters.length}, the number of characters in the corpus (got ${size})`);
  const counts = new Map<string, number>();
  for (const [piece] of ` ${corpus}`.matchAll(PIECES)) counts.set(piece, (counts.get(piece) ?? 0) + 1);
  const words = [...counts]
    .filter(([piece]) => [...piece].length > 1 && !HEXADECIMAL.test(piece))
    .sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
    .slice(0, size - characters.length);
  const total = words.reduce((sum, [, n]) => sum + n, 0);
  const scored = [
    ...words.map(([piece, n]): [string, number] => [piece, Math.log(n / total)]),
    ...characters.map((character): [string, number] => [character, CHARACTER_SCORE]),
  ];
  return tokenizerOf({ 'tokenizer.json': unigramModel(scored), 'tokenizer_config.json': SPECIAL_TOKEN_CONFIG });
}

/** `tokenizer.json`; there is no unknown token, so that Python refuses unknown characters too. */
function unigramModel(scored: readonly (readonly [string, number])[]) {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens(scored.length),
    normalizer: { type: 'Prepend', prepend: ' ' },
    pre_tokenizer: {
      type: 'Split',
      pattern: { Regex: ' (?=[0-9a-f]{8}-[0-9a-f]{4}-)' },
      behavior: 'Isolated',
      invert: false,
    },
    post_processor: null,
    decoder: { type: 'Sequence', decoders: [{ type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }] },
    model: { type: 'Unigram', unk_id: null, vocab: scored, byte_fallback: false },
  };
}
