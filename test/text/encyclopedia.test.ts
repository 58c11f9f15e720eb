import { describe, expect, test } from 'vitest';
import { article, GRAMMARS, lambada, rephrase } from '../../src/text/encyclopedia/article';
import {
  drawFact,
  type Fact,
  type Language,
  LANGUAGES,
  type Noun,
  NOUNS,
  PLACES,
  randomUuid,
  splitOf,
  SURNAMES,
  TOPICS,
} from '../../src/text/encyclopedia/fact';
import { identifyLanguage } from '../../src/text/languages';
import { randomStream } from '../../src/tensor/random';

const facts = (count: number, name: string, options = {}): Fact[] => {
  const random = randomStream(7, name);
  return Array.from({ length: count }, () => drawFact(random, options));
};
/** Numbers, places and family names of a text, sorted: what has to be the same in every language. */
const invariants = (text: string): string[] =>
  (text.match(/\d+(?:[.,:]\d+)?|\p{L}{4,}/gu) ?? [])
    .map((piece) => piece.replace(',', '.'))
    .filter((piece) => /\d/.test(piece) || PLACES.includes(piece) || SURNAMES.includes(piece))
    .sort();
const say = (language: Language, topic: Fact['topics'][number], wording: number, changes: Partial<Fact>): string =>
  GRAMMARS[language].statements[topic][wording]({ ...facts(1, 'base')[0], ...changes });

describe('parallel languages', () => {
  test('every wording of every topic says the same names and numbers in all languages', () => {
    for (const fact of facts(60, 'parallel', { identifierRate: 1 })) {
      for (const topic of TOPICS) {
        GRAMMARS.en.statements[topic].forEach((english, i) => {
          const expected = invariants(english(fact));
          for (const language of LANGUAGES) {
            const sentence = GRAMMARS[language].statements[topic][i](fact);
            expect(invariants(sentence), sentence).toEqual(expected);
            expect(sentence).not.toMatch(/undefined|\bNaN\b| {2}|\bnull\b/);
            expect(sentence).toMatch(/^[^\p{Ll}]*\p{Lu}.*[.!]$/u);
          }
        });
      }
    }
  });

  test('topics have equally many wordings, at least twelve sentences in all', () => {
    for (const topic of TOPICS) {
      const counts = LANGUAGES.map((language) => GRAMMARS[language].statements[topic].length);
      expect(new Set(counts).size, topic).toBe(1);
      expect(counts[0]).toBeGreaterThan(1);
    }
  });

  test.each(LANGUAGES)('eld recognises %s', async (language) => {
    const random = randomStream(11, language);
    let right = 0;
    for (let i = 0; i < 300; i++)
      right += Number((await identifyLanguage(article(drawFact(random), language, random))).language === language);
    expect(right / 300).toBeGreaterThanOrEqual(0.98);
  });

  test('a rephrasing tells the same in other words; the same stream tells it again', () => {
    const random = randomStream(3, 'rephrase');
    for (const fact of facts(200, 'rephrase', { sentences: 3 })) {
      const original = article(fact, 'en', random);
      const again = rephrase(fact, 'en', random, original);
      expect(invariants(again).filter((piece) => !invariants(original).includes(piece))).toEqual([]);
      expect(
        original.split(/(?<=[.!]) (?=\p{Lu})/u).filter((sentence) => sentence.length > 20 && again.includes(sentence)),
      ).toEqual([]);
    }
    const [fact] = facts(1, 'same');
    expect(article(fact, 'it', randomStream(1, 'x'))).toBe(article(fact, 'it', randomStream(1, 'x')));
  });
});

describe('grammar', () => {
  const german: [Noun, string, string, string][] = [
    ['tower', 'Der alte Turm', 'den alten Turm', 'zum Turm'],
    ['bridge', 'Die alte Brücke', 'die alte Brücke', 'zur Brücke'],
    ['castle', 'Das alte Schloss', 'das alte Schloss', 'zum Schloss'],
  ];
  test.each(german)('German %s: gender in nominative, accusative and dative', (noun, nominative, accusative, dative) => {
    expect(say('de', 'fame', 1, { noun, adjective: 'old' })).toContain(`${nominative} ist der Stolz`);
    expect(say('de', 'deed', 1, { noun, adjective: 'old' })).toContain(` ${accusative}.`);
    expect(say('de', 'location', 1, { noun })).toContain(` führt ${dative}.`);
  });

  const neighbours: [Noun, string, string][] = [
    ['tower', 'sich ein Turm.', 'einen Turm.'],
    ['mill', 'sich eine Mühle.', 'eine Mühle.'],
    ['museum', 'sich ein Museum.', 'ein Museum.'],
  ];
  test.each(neighbours)('German indefinite article of %s', (neighbour, nominative, accusative) => {
    expect(say('de', 'neighbour', 0, { neighbour })).toContain(nominative);
    expect(say('de', 'neighbour', 1, { neighbour })).toContain(`auch ${accusative}`);
  });

  const french: [Noun, string, string, string][] = [
    ['church', "L'église", "à l'église", 'sa vieille église'],
    ['hospital', "L'hôpital", "à l'hôpital", 'son vieil hôpital'],
    ['bridge', 'Le pont', 'au pont', 'son vieux pont'],
    ['tower', 'La tour', 'à la tour', 'sa vieille tour'],
  ];
  test.each(french)('French %s: elision and contraction', (noun, definite, to, own) => {
    expect(say('fr', 'since', 1, { noun })).toMatch(new RegExp(`^${definite} est ouverte? `));
    expect(say('fr', 'location', 1, { noun })).toContain(` mène ${to}.`);
    expect(say('fr', 'fame', 0, { noun, adjective: 'old' })).toContain(own);
    expect(say('fr', 'fame', 1, { place: 'Ostrin' })).toContain("d'Ostrin");
  });
  test('French son before a feminine noun with a vowel, de haut without elision', () => {
    expect(say('fr', 'fame', 0, { noun: 'school', adjective: 'white' })).toContain('son école blanche');
    expect(say('fr', 'size', 0, { noun: 'tower' })).toContain(' m de haut ');
  });

  const italian: [Noun, string, string, string][] = [
    ['stadium', 'Lo stadio', 'allo stadio', 'uno stadio'],
    ['observatory', "L'osservatorio", "all'osservatorio", 'un osservatorio'],
    ['bridge', 'Il ponte', 'al ponte', 'un ponte'],
    ['station', 'La stazione', 'alla stazione', 'una stazione'],
  ];
  test.each(italian)('Italian %s: il, lo, la, l and their contractions', (noun, definite, to, indefinite) => {
    expect(say('it', 'since', 1, { noun })).toMatch(new RegExp(`^${definite} è apert[oa] `));
    expect(say('it', 'location', 1, { noun })).toContain(` porta ${to}.`);
    expect(say('it', 'neighbour', 0, { neighbour: noun })).toContain(indefinite);
  });
  test("Italian: il vecchio stadio, l'8 maggio, ad Aldesk", () => {
    expect(say('it', 'fame', 1, { noun: 'stadium', adjective: 'old' })).toMatch(/^Il vecchio stadio /);
    expect(say('it', 'fair', 1, { day: 8, month: 4 })).toMatch(/^L'8 maggio /);
    expect(say('it', 'fair', 1, { day: 18, month: 4 })).toMatch(/^Il 18 maggio /);
    expect(say('it', 'visitors', 1, { town: 'Aldesk' })).toContain('ad Aldesk');
  });

  test('Spanish agreement, del and al, y before i', () => {
    expect(say('es', 'deed', 0, { noun: 'tower', adjective: 'red', deed: 'built' })).toMatch(/^La torre roja fue construida /);
    expect(say('es', 'deed', 0, { noun: 'bridge', adjective: 'red', deed: 'built' })).toMatch(/^El puente rojo fue construido /);
    expect(say('es', 'location', 1, { noun: 'bridge' })).toContain(' lleva al puente.');
    expect(say('es', 'fair', 1, { noun: 'bridge' })).toContain(' cerca del puente.');
    expect(say('es', 'location', 0, { town: 'Ivarna' })).toContain(' e Ivarna.');
  });

  test('English a and an', () => {
    expect(say('en', 'neighbour', 0, { neighbour: 'aqueduct' })).toContain('an aqueduct');
    expect(say('en', 'quote', 1, { adjective: 'old', noun: 'mill' })).toContain('"What an old mill!"');
  });
});

describe('facts', () => {
  test('splits share no pair of place and year, and together have every place, noun and number ending', () => {
    const train = facts(3000, 'train');
    const heldOut = facts(1000, 'heldOut', { split: 'heldOut' });
    const keys = new Set(train.map(({ place, year }) => `${place} ${year}`));
    expect(heldOut.filter(({ place, year }) => keys.has(`${place} ${year}`))).toEqual([]);
    expect(new Set(heldOut.map(splitOf))).toEqual(new Set(['heldOut']));
    for (const split of [train, heldOut]) {
      expect(new Set(split.map(({ place }) => place)).size).toBe(PLACES.length);
      expect(new Set(split.map(({ noun }) => noun)).size).toBe(Object.keys(NOUNS).length);
      expect(new Set(split.map(({ year }) => year % 10)).size).toBe(10);
    }
  });

  test('two different subjects and places, and as many topics as asked for', () => {
    for (const fact of facts(500, 'distinct', { sentences: 5 })) {
      expect(fact.noun).not.toBe(fact.neighbour);
      expect(fact.place).not.toBe(fact.town);
      expect(new Set(fact.topics).size).toBe(5);
    }
    expect(() => drawFact(randomStream(1, 'x'), { sentences: 0 })).toThrow(
      'sentences must be a whole number from 1 to 16 (got 0)',
    );
  });

  test('identifiers: of any version, at the stated rate, none twice between the splits', () => {
    const drawn = (['train', 'heldOut'] as const).flatMap((split) => facts(2000, split, { identifierRate: 0.3, split }));
    const identifiers = drawn.flatMap(({ identifier }) => identifier ?? []);
    expect(identifiers.length / 4000).toBeCloseTo(0.3, 1);
    expect(new Set(identifiers).size).toBe(identifiers.length);
    for (const identifier of identifiers)
      expect(identifier).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(randomUuid(randomStream(1, 'u'))).not.toBe(randomUuid(randomStream(2, 'u')));
    const named = drawn.find(({ identifier }) => identifier !== undefined)!;
    expect(article(named, 'es', randomStream(1, 'x'))).toContain(named.identifier);
  });
});

describe('lambada', () => {
  test.each(LANGUAGES)('%s: the last word ends the passage and is named before', (language) => {
    const passages = lambada(language, 300, randomStream(5, language));
    for (const { text, lastWord } of passages) {
      const words = text.match(/\p{L}+/gu) ?? [];
      expect(words.at(-1)).toBe(lastWord);
      expect(
        words.slice(0, -1).map((word) => word.toLowerCase()),
        text,
      ).toContain(lastWord.toLowerCase());
      expect(text.endsWith(lastWord)).toBe(true);
    }
    expect(new Set(passages.map(({ lastWord }) => lastWord)).size).toBeGreaterThan(50);
  });
});
