import { describe, expect, it } from 'vitest';
import { languageScore } from '../../src/reward/languageId';
import { randomStream } from '../../src/tensor/random';
import { LANGUAGES } from '../../src/text/encyclopedia/fact';
import { runningText } from '../../src/text/prompts';
import { characterTokenizer } from '../../src/text/tokenizer';

const texts = LANGUAGES.map((language) => runningText(randomStream(1, language), 3, language));
const tokenizer = characterTokenizer(texts.join(''));

describe('the language reward', () => {
  it.each(LANGUAGES.slice(1))('is above 0 for text in %s alone, and 0 where there is nothing to go by', async (language) => {
    const score = languageScore(tokenizer, language);
    const values = [...(await score([...texts.map(tokenizer.encode), []]))];
    const own = LANGUAGES.indexOf(language);
    expect(values[own]).toBeGreaterThan(0.02);
    for (const [i, value] of values.slice(0, LANGUAGES.length).entries()) if (i !== own) expect(value).toBeLessThan(-0.02);
    expect(values[LANGUAGES.length]).toBe(0);
  });
});
