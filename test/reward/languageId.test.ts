import { describe, expect, it } from 'vitest';
import { languageScore } from '../../src/reward/languageId';
import { randomStream } from '../../src/tensor/random';
import { LANGUAGES } from '../../src/text/encyclopedia/fact';
import { runningText } from '../../src/text/prompts';
import { characterTokenizer } from '../../src/text/tokenizer';

const texts = LANGUAGES.map((language) => runningText(randomStream(1, language), 3, language));
const tokenizer = characterTokenizer(texts.join(''));

describe('the language reward', () => {
  it.each(LANGUAGES.slice(1))('is highest for text in %s, and 0 where there is nothing to go by', async (language) => {
    const score = languageScore(tokenizer, language);
    const values = [...(await score([...texts.map(tokenizer.encode), []]))];
    const own = LANGUAGES.indexOf(language);
    expect(values[own]).toBeGreaterThan(0.3);
    expect(Math.max(...values.filter((_, i) => i !== own))).toBeLessThan(values[own]);
    expect(values[LANGUAGES.length]).toBe(0);
  });
});
