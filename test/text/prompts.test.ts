import { describe, expect, test } from 'vitest';
import { LANGUAGES, PLACES, splitOf } from '../../src/text/encyclopedia/fact';
import { identifyLanguage } from '../../src/text/languages';
import { continuationExamples, rephraseExamples, runningText } from '../../src/text/prompts';
import { characterTokenizer } from '../../src/text/tokenizer';
import { keptDetails, vocabularyShare } from '../../src/text/vocabulary';
import { randomStream } from '../../src/tensor/random';

const corpus = LANGUAGES.map((language) => runningText(randomStream(1, language), 2000, language, { identifierRate: 0.2 })).join(
  ' ',
);
const tokenizer = characterTokenizer(corpus);
const { padId, bosId, sepId, eosId, decode } = tokenizer;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

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
