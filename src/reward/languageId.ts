/**
 * The paper's language-identification baseline: how sure the identifier is that a response is in the target language.
 */
import type { Language } from '../text/encyclopedia/fact';
import { identifyLanguage } from '../text/languages';
import type { Tokenizer } from '../text/tokenizer';
import type { Score } from './scored';

/** eld's score of `language`, 0 to 1. */
export const languageScore =
  (tokenizer: Tokenizer, language: Language): Score =>
  async (responses) => {
    const identified = await Promise.all(responses.map((ids) => identifyLanguage(tokenizer.decode(ids))));
    return Float32Array.from(identified, ({ scores }) => scores[language] ?? 0);
  };
