/**
 * The paper's language-identification baseline: how sure the identifier is that a response is in the target language.
 */
import type { Language } from '../text/encyclopedia/fact';
import { identifyLanguage } from '../text/languages';
import type { Tokenizer } from '../text/tokenizer';
import type { Score } from './scored';

/**
 * eld's score of `language` minus its best score of any other, −1 to 1: above 0 where the text is taken for the language. The paper has a
 * probability; eld's scores are none, and junk of short words scores high in twenty languages at once.
 */
export const languageScore =
  (tokenizer: Tokenizer, language: Language): Score =>
  async (responses) => {
    const identified = await Promise.all(responses.map((ids) => identifyLanguage(tokenizer.decode(ids))));
    return Float32Array.from(
      identified,
      ({ scores: { [language]: own = 0, ...others } }) => own - Math.max(0, ...Object.values(others)),
    );
  };
