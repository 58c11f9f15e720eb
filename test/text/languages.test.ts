import { expect, test } from 'vitest';
import { identifyLanguage } from '../../src/text/languages';

// Sentences that are none of the encyclopedia's: the identifier itself is asked here.
test.each([
  ['en', 'We were told that the weather would be better tomorrow.'],
  ['es', 'Ayer por la noche llovió mucho y no pudimos salir de casa.'],
  ['fr', 'Nous ne savons pas encore quand nos amis vont arriver.'],
  ['de', 'Gestern haben wir leider den letzten Zug nach Hause verpasst.'],
  ['it', 'Domani mattina andremo tutti insieme al mare con gli amici.'],
  ['pt', 'Não sabemos ainda quando os nossos amigos vão chegar amanhã.'],
])('%s', async (language, text) => {
  const identified = await identifyLanguage(text);
  expect(identified.language).toBe(language);
  expect(identified.reliable).toBe(true);
  expect(Math.max(...Object.values(identified.scores))).toBe(identified.scores[language]);
});

test('nothing to go by', async () => {
  expect(await identifyLanguage('1843')).toEqual({ language: '', reliable: false, scores: {} });
});
