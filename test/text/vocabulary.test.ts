import { describe, expect, test } from 'vitest';
import { LANGUAGES } from '../../src/text/encyclopedia/fact';
import { runningText } from '../../src/text/prompts';
import { keptDetails, vocabularyOf, vocabularyShare } from '../../src/text/vocabulary';
import { randomStream } from '../../src/tensor/random';

describe('vocabularyShare', () => {
  test.each(LANGUAGES)('%s: every word of its articles is known, few are in other languages', (language) => {
    const text = runningText(randomStream(1, language), 1500, language, { sentences: 4, identifierRate: 0.2, split: 'heldOut' });
    expect(vocabularyShare(text, [language])).toBe(1);
    for (const other of LANGUAGES.filter((name) => name !== language)) expect(vocabularyShare(text, [other])).toBeLessThan(0.35);
    expect(vocabularyOf(language).size).toBeGreaterThan(150);
  });

  test('words cut off at the edges, identifiers and initials do not count', () => {
    expect(vocabularyShare('idge of Velmar was xyzzy in the ol')).toBe(5 / 6);
    expect(vocabularyShare('. The tower 12345678-abcd-4abc-8abc-abcdefabcdef. K. Morvek was')).toBe(1);
    expect(vocabularyShare('. e b c K.Q zz ')).toBeLessThan(0.5);
    expect(vocabularyShare('12 34')).toBe(0);
  });
});

describe('keptDetails', () => {
  const prompt = 'In 1843, K. Morvek built the old bridge. From Ostrin to the bridge it is only 2.5 km.';

  test('counts names, numbers and years once each, in any language', () => {
    expect(keptDetails(prompt, 'En 1843, K. Morvek construyó el puente. Desde Ostrin hay 2,5 km.')).toBe(1);
    expect(keptDetails(prompt, 'K. Morvek, Morvek, Morvek 1843')).toBe(2 / 4);
    expect(keptDetails(prompt, 'In 184, K. Morve built 2.55 km 18433')).toBe(0);
  });

  test('the digits of an identifier are no numbers; without details everything is kept', () => {
    expect(keptDetails('Ostrin: 12345678-1234-4123-8123-123456789012.', 'Ostrin')).toBe(1);
    expect(keptDetails('Its walls are made of stone.', '')).toBe(1);
  });
});
