/**
 * Whether texts still look like texts: perplexity, and how much a set of texts repeats itself (ours; the paper shows examples alone).
 *
 * Repetition is measured between responses, so it depends on how many there are: compare sets of one size.
 */

/** exp of the mean surprise, −log p a token; NaN for no tokens. */
export const perplexity = (logProbs: ArrayLike<number>): number =>
  Math.exp(-Array.from(logProbs).reduce((sum, logProb) => sum + logProb, 0) / logProbs.length);

/** Words, numbers and marks of a text; those cut off at its ends count as they stand. */
export const wordsOf = (text: string): string[] => text.match(/\p{L}+|\p{N}+|[^\s\p{L}\p{N}]/gu) ?? [];

/** Runs of `n` words, as texts. */
const grams = (words: readonly string[], n: number): string[] =>
  words.slice(0, Math.max(0, words.length - n + 1)).map((_, i) => words.slice(i, i + n).join(' '));

/** How often each value occurs. */
function counts(values: readonly string[]): Map<string, number> {
  const found = new Map<string, number>();
  for (const value of values) found.set(value, (found.get(value) ?? 0) + 1);
  return found;
}

/**
 * distinct-n (Li et al. 2016): different runs of `n` words among all runs of `n` words of some texts; 1 if there are none, since nothing is
 * repeated.
 */
export function distinctShare(texts: readonly string[], n = 2): number {
  const all = texts.flatMap((text) => grams(wordsOf(text), n));
  return all.length ? new Set(all).size / all.length : 1;
}

/**
 * self-BLEU (Zhu et al. 2018, Texygen): mean BLEU of every text with all others as its references, near 1 where all say the same. Runs of
 * up to `n` words, without smoothing; a text of fewer words is judged by the runs it has, one without words scores 0.
 * @throws RangeError for fewer than two texts
 */
export function selfBleu(texts: readonly string[], n = 2): number {
  if (texts.length < 2)
    throw new RangeError(`self-BLEU compares texts with each other: it needs at least two (got ${texts.length})`);
  const words = texts.map(wordsOf);
  const orders = Array.from({ length: n }, (_, i) => words.map((each) => counts(grams(each, i + 1))));
  const most = orders.map(twoLargest);
  const lengths = words.map((each) => each.length);
  const scores = words.map((own, i) => {
    const precisions = orders.slice(0, own.length).map((texts, order) => precision(texts[i], most[order]));
    const mean = precisions.reduce((sum, p) => sum + Math.log(p), 0) / precisions.length;
    return own.length ? brevityPenalty(i, lengths) * Math.exp(mean) : 0;
  });
  return scores.reduce((a, b) => a + b, 0) / scores.length;
}

/** For each run of words, the two largest counts in a text: the largest of all *other* texts is one of them, so that the pass is linear. */
function twoLargest(texts: readonly ReadonlyMap<string, number>[]): Map<string, [number, number]> {
  const most = new Map<string, [number, number]>();
  for (const text of texts)
    for (const [gram, count] of text) {
      const [first, second] = most.get(gram) ?? [0, 0];
      most.set(gram, count > first ? [count, first] : [first, Math.max(second, count)]);
    }
  return most;
}

/** Share of a text's runs of words that occur in another text, each as often at most as where it is most frequent. */
function precision(own: ReadonlyMap<string, number>, most: ReadonlyMap<string, [number, number]>): number {
  let [found, all] = [0, 0];
  for (const [gram, count] of own) {
    const [first, second] = most.get(gram)!;
    found += Math.min(count, count === first ? second : first);
    all += count;
  }
  return found / all;
}

/** BLEU's penalty for a text shorter than the reference nearest to it in length (the shorter of two that are as near). */
function brevityPenalty(i: number, lengths: readonly number[]): number {
  const own = lengths[i];
  const others = lengths.filter((_, k) => k !== i);
  const nearest = others.reduce((best, length) => {
    const [before, now] = [Math.abs(best - own), Math.abs(length - own)];
    return now < before || (now === before && length < best) ? length : best;
  });
  return own >= nearest ? 1 : Math.exp(1 - nearest / own);
}
