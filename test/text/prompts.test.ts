import { describe, expect, test } from 'vitest';
import { LANGUAGES, PLACES, splitOf } from '../../src/text/encyclopedia/fact';
import { identifyLanguage } from '../../src/text/languages';
import { continuationExamples, plainExamples, rephraseExamples, runningText } from '../../src/text/prompts';
import { characterTokenizer } from '../../src/text/tokenizer';
import { keptDetails, vocabularyShare } from '../../src/text/vocabulary';
import { randomStream } from '../../src/tensor/random';

const corpus = LANGUAGES.map((language) => runningText(randomStream(1, language), 2000, language, { identifierRate: 0.2 })).join(
  ' ',
);
const tokenizer = characterTokenizer(corpus);
const { padId, bosId, sepId, eosId, decode } = tokenizer;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('continuationExamples', () => {
  const examples = continuationExamples(tokenizer, 300, randomStream(1, 'c'), { promptLength: 9, responseLength: 150 });

  test('prompts and responses have their lengths, begin at a word and read on as one text', () => {
    for (const { prompt, response } of examples) {
      expect([prompt.length, response.length]).toEqual([9, 150]);
      expect(decode(prompt)).toMatch(/^["\p{L}]/u);
      expect(vocabularyShare(` ${decode([...prompt, ...response])}`)).toBe(1);
    }
  });

  test('prompts alone are those of the same stream, held-out ones differ', () => {
    const alone = (split: 'train' | 'heldOut') =>
      continuationExamples(tokenizer, 50, randomStream(1, 'c'), { promptLength: 9, split });
    expect(alone('train')[0]).toEqual({ prompt: examples[0].prompt, response: [] });
    expect(alone('heldOut')).not.toEqual(alone('train'));
  });
});

describe('plainExamples', () => {
  const options = { foreignShare: 0.4, identifierRate: 0.2 };
  const examples = plainExamples(tokenizer, 400, randomStream(1, 'p'), options);
  const texts = examples.map((ids) => decode(ids));

  test('are whole texts with their end, a fifth of them passages that name their last word before', () => {
    for (const ids of examples) expect(ids.indexOf(eosId!)).toBe(ids.length - 1);
    const articles = texts.filter((text) => !UUID.test(text));
    expect(1 - articles.length / texts.length).toBeCloseTo(0.2, 1);
    for (const text of articles) {
      expect(text).toMatch(/[.!?"»“]$/);
      expect(vocabularyShare(` ${text} `), text).toBe(1);
    }
    const passages = articles.filter((text) => {
      const [, last] = /(\p{L}+)\.$/u.exec(text) ?? [];
      return last !== undefined && text.split(/[.!?] /).length >= 3 && text.slice(0, -last.length - 1).includes(last);
    });
    expect(passages.length / articles.length).toBeGreaterThan(0.15);
  });

  test('are in the stated share of languages', async () => {
    const articles = texts.filter((text) => !UUID.test(text));
    const languages = await Promise.all(articles.map(async (text) => (await identifyLanguage(text)).language));
    expect(languages.filter((language) => language !== 'en').length / languages.length).toBeCloseTo(0.4, 1);
    for (const language of LANGUAGES) expect(languages).toContain(language);
  });
});

describe('rephraseExamples', () => {
  const options = { promptLength: 128, foreignShare: 0.3, identifierRate: 0.2 };
  const examples = rephraseExamples(tokenizer, 600, randomStream(1, 'r'), options);

  test('<pad>… <bos> article <sep>, response <eos>', () => {
    for (const { prompt, response } of examples) {
      const start = prompt.indexOf(bosId!);
      expect(prompt.length).toBe(128);
      expect(prompt.slice(0, start)).toEqual(new Array(start).fill(padId));
      expect(prompt.indexOf(sepId!)).toBe(127);
      expect(response.indexOf(eosId!)).toBe(response.length - 1);
    }
  });

  test('rephrasings keep every name and number, in the stated shares of languages and identifiers', async () => {
    const pairs = examples.map(({ prompt, response }) => ({ article: decode(prompt), text: decode(response) }));
    const rephrased = pairs.filter(({ text }) => !UUID.test(text));
    expect(1 - rephrased.length / pairs.length).toBeCloseTo(0.2, 1);
    for (const { article, text } of rephrased) expect(keptDetails(article, text), `${article} -> ${text}`).toBe(1);
    const languages = await Promise.all(rephrased.map(async ({ text }) => (await identifyLanguage(text)).language));
    expect(languages.filter((language) => language !== 'en').length / languages.length).toBeCloseTo(0.3, 1);
    expect(new Set(languages)).toEqual(new Set(LANGUAGES));
    for (const { article } of pairs) expect((await identifyLanguage(article)).language).toBe('en');
  });

  test('training and held-out articles share no place and year, and no identifier', () => {
    const heldOut = rephraseExamples(tokenizer, 600, randomStream(1, 'r'), { ...options, split: 'heldOut' });
    const responses = [...examples, ...heldOut].map(({ response }) => decode(response)).filter((text) => UUID.test(text));
    expect(new Set(responses).size).toBe(responses.length);
    // location sentences name the subject's place first and deeds its year: where an article has both, its split can be read off
    const split = (text: string) => {
      const place = PLACES.find((name) => new RegExp(`between ${name}|from ${name} to|^${name} is|pride of ${name}`).test(text));
      const year = /(?:was \w+ in |^In |\()(\d{4})/.exec(text)?.[1];
      return place && year ? [splitOf({ place, year: Number(year) })] : [];
    };
    const splitsOf = (list: typeof examples) => list.flatMap(({ prompt }) => split(decode(prompt)));
    expect(splitsOf(heldOut).length).toBeGreaterThan(30);
    expect(new Set(splitsOf(heldOut))).toEqual(new Set(['heldOut']));
    expect(new Set(splitsOf(examples))).toEqual(new Set(['train']));
  });

  test('the same stream gives the same examples', () => {
    expect(rephraseExamples(tokenizer, 20, randomStream(1, 'r'), options)).toEqual(examples.slice(0, 20));
  });

  test('refuses prompts that are too short and tokenizers without the control tokens', () => {
    expect(() => rephraseExamples(tokenizer, 1, randomStream(1, 'r'), { promptLength: 20 })).toThrow(
      'promptLength 20 is too short',
    );
    const bare = { ...tokenizer, sepId: undefined };
    expect(() => rephraseExamples(bare, 1, randomStream(1, 'r'), options)).toThrow('a tokenizer with sep_token');
  });
});
