/**
 * Language identification of short texts with `eld` (n-grams, 60 languages). The package is an ES module with a database of 2 MB, so it
 * is loaded at the first call.
 */

/** What a text is written in. */
export interface IdentifiedLanguage {
  /** ISO 639-1 code, of any of eld's 60 languages; '' if there is nothing to go by. */
  readonly language: string;
  /** Whether eld itself trusts the answer. */
  readonly reliable: boolean;
  /** Scores from 0 to 1 by language, for the languages that score above 0. They do not add up to 1. */
  readonly scores: Readonly<Record<string, number>>;
}

/** Identifies the language of a text; eld reads its first 350 bytes or so. */
export async function identifyLanguage(text: string): Promise<IdentifiedLanguage> {
  const { eld } = await import('eld/medium');
  const result = eld.detect(text);
  return { language: result.language, reliable: result.isReliable(), scores: result.getScores() };
}
