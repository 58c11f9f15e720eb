/**
 * The support of a prediction: which tokens may stand at a position. The distribution there is the model's, renormalised over them.
 */

/** A bit a token: bit j mod 32 of word ⌊j / 32⌋ of a row says whether token j may be written. */
export interface Support {
  /** [rows, words]; one row counts for all positions. */
  readonly bits: Int32Array;
  /** Words of a row, {@link supportWords} of the vocabulary. */
  readonly words: number;
}

/** Words that hold a bit for every token. */
export const supportWords = (vocab: number): number => Math.ceil(vocab / 32);

/** Whether one row counts for all positions. */
export const isShared = ({ bits, words }: Support): boolean => bits.length === words;

/** One row for all positions: the ids of a vocabulary for which `allowed` holds. */
export function sharedSupport(vocab: number, allowed: (id: number) => boolean): Support {
  const words = supportWords(vocab);
  const bits = new Int32Array(words);
  for (let id = 0; id < vocab; id++) if (allowed(id)) bits[id >> 5] |= 1 << (id & 31);
  return { bits, words };
}

/** Whether a token may stand at a position. */
export function allows(support: Support, position: number, id: number): boolean {
  const row = isShared(support) ? 0 : position * support.words;
  return ((support.bits[row + (id >> 5)] >> (id & 31)) & 1) === 1;
}

/** The support of positions [from, to), copied. */
export const supportBetween = (support: Support, from: number, to: number): Support =>
  isShared(support) ? support : { ...support, bits: support.bits.slice(from * support.words, to * support.words) };
