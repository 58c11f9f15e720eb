import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { LANGUAGES } from '../../src/text/encyclopedia/fact';
import { runningText } from '../../src/text/prompts';
import { characterTokenizer, loadTokenizer, tokenizerFiles, tokenizerOf } from '../../src/text/tokenizer';
import { randomStream } from '../../src/tensor/random';
import { llama3Tokenizer } from '../support/byteLevelTokenizer';

const corpus = LANGUAGES.map((language) => runningText(randomStream(1, language), 2000, language, { identifierRate: 0.2 })).join(
  ' ',
);
const tokenizer = characterTokenizer(corpus);
const folder = mkdtempSync(join(tmpdir(), 'tokenizer-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('characterTokenizer', () => {
  test('round trip over texts of every language that it was not made from', () => {
    for (const language of LANGUAGES) {
      const text = runningText(randomStream(2, language), 500, language, { identifierRate: 0.2, split: 'heldOut', sentences: 4 });
      const ids = tokenizer.encode(text);
      expect(ids.length).toBe([...text].length);
      expect(tokenizer.decode(ids)).toBe(text);
    }
  });

  test('spaces, quotes, newlines, surrogate pairs and clean-up traps come back as they were', () => {
    const text = "  a b . \"c\" , 'd' n't \n\n\t e\u00a0€ 😀 ? ! -";
    const own = characterTokenizer(text);
    expect(own.decode(own.encode(text))).toBe(text);
    expect(own.encode('😀').length).toBe(1);
  });

  test('ids are ranks by frequency, ties by code point, then the special tokens', () => {
    const { encode, vocabSize, padId, bosId, sepId, eosId, idOf } = characterTokenizer('bbb aaa  zc7');
    expect(encode('ab 7cz')).toEqual([1, 2, 0, 3, 4, 5]);
    expect([vocabSize, padId, bosId, sepId, eosId]).toEqual([10, 6, 7, 8, 9]);
    expect(idOf('<sep>')).toBe(8);
    expect(idOf('x')).toBeUndefined();
    const counts = new Map<number, number>();
    for (const id of tokenizer.encode(corpus)) counts.set(id, (counts.get(id) ?? 0) + 1);
    const byId = Array.from({ length: tokenizer.vocabSize - 4 }, (_, id) => counts.get(id) ?? 0);
    expect(byId).toEqual([...byId].sort((a, b) => b - a));
    expect(tokenizer.decode([0])).toBe(' ');
    expect(tokenizer.vocabSize).toBeGreaterThan(80);
    expect(tokenizer.vocabSize).toBeLessThan(115);
  });

  test('control tokens stand for themselves in markup alone, and are left out when decoded', () => {
    const { bosId, eosId } = tokenizer;
    expect(tokenizer.encodeMarkup('<bos>a<eos>')).toEqual([bosId, ...tokenizer.encode('a'), eosId]);
    expect(tokenizer.decode(tokenizer.encodeMarkup('<bos>The end.<eos>'))).toBe('The end.');
    expect(() => tokenizer.encode('The end.<eos>')).toThrow('"<" (U+003C) at position 8'); // as text it needs characters
    const own = characterTokenizer('a < eos > b');
    expect(own.decode(own.encode('<eos>a<bos>').slice(0, 6))).toBe('<eos>a');
    expect(tokenizer.decode([])).toBe('');
  });

  test('characters and ids outside the vocabulary are named', () => {
    expect(() => tokenizer.encode('The bridge of 漢 is old')).toThrow('"漢" (U+6F22) at position 14');
    expect(() => tokenizer.encode('😀')).toThrow('U+1F600');
    expect(() => tokenizer.decode([0, tokenizer.vocabSize])).toThrow(`(got ${tokenizer.vocabSize})`);
    expect(() => characterTokenizer('')).toThrow('empty');
  });
});

describe('loadTokenizer', () => {
  test('reads what tokenizerFiles wrote', () => {
    for (const [name, text] of Object.entries(tokenizerFiles(tokenizer))) writeFileSync(join(folder, name), text);
    const loaded = loadTokenizer(folder);
    const text = runningText(randomStream(3, 'x'), 50, 'fr');
    expect(loaded.encode(text)).toEqual(tokenizer.encode(text));
    expect(loaded).toMatchObject({ vocabSize: tokenizer.vocabSize, padId: tokenizer.padId, eosId: tokenizer.eosId });
  });

  test('byte-pair encoding with an unknown token: merges apply, unknown characters are refused', () => {
    const vocab = { '<unk>': 0, a: 1, b: 2, ab: 3, '</s>': 4 };
    const model = { type: 'BPE', vocab, merges: [['a', 'b']], unk_token: '<unk>' };
    const added = [{ id: 4, content: '</s>', special: true }];
    const json = {
      added_tokens: added,
      normalizer: null,
      pre_tokenizer: null,
      post_processor: null,
      decoder: { type: 'Fuse' },
      model,
    };
    writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(json));
    writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify({ eos_token: { content: '</s>' } }));
    const loaded = loadTokenizer(folder);
    expect(loaded.encode('abba')).toEqual([3, 2, 1]);
    expect([loaded.eosId, loaded.padId]).toEqual([4, undefined]);
    expect(() => loaded.encode('abc')).toThrow('"c" (U+0063) at position 2');
  });

  const model = (json: object) => {
    const shape = { added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: { type: 'Fuse' } };
    return tokenizerOf({
      'tokenizer.json': { ...shape, ...(json as { model: Record<string, unknown> }) },
      'tokenizer_config.json': {},
    });
  };
  const end = { id: 3, content: '</s>', special: true };

  test('no model drops a character silently: with and without an unknown token, with one by id', () => {
    const vocab = { a: 0, b: 1, '<unk>': 2, '</s>': 3 };
    const scored = [['a', -1], ['b', -2], ['<unk>', 0], ['</s>', 0]]; // prettier-ignore
    const models = [
      { type: 'BPE', vocab, merges: [], unk_token: null },
      { type: 'BPE', vocab, merges: [], unk_token: '<unk>' },
      { type: 'WordPiece', vocab: { ...vocab, '##a': 4, '##b': 5 }, continuing_subword_prefix: '##', unk_token: '<unk>' },
      { type: 'Unigram', vocab: scored, unk_id: 2 },
      { type: 'Unigram', vocab: scored, unk_id: null },
    ];
    for (const each of models) {
      const { encode, encodeMarkup, decode } = model({ model: each, added_tokens: [end] });
      for (const ids of [encode('a'), encodeMarkup('a</s>')]) expect(decode(ids)).toBe('a');
      for (const text of ['aéb😀a', 'aé', 'é'])
        for (const each of [encode, encodeMarkup]) expect(() => each(text)).toThrow('"é" (U+00E9) at position');
    }
  });

  test('a text that spells a control token keeps it as text, whatever the model', () => {
    const letters = [...'a</s>b'].map((letter, id) => [letter, id] as const);
    const added = [{ ...end, id: 9 }];
    const byModel = [
      { type: 'BPE', vocab: { ...Object.fromEntries(letters), '</s>': 9 }, merges: [], ignore_merges: true },
      {
        type: 'Unigram',
        vocab: [...letters.map(([letter]) => [letter, -3]), ...'678'.split('').map((d) => [d, -5]), ['</s>', 0]],
        unk_id: null,
      },
    ];
    for (const each of byModel) {
      const { encode, encodeMarkup, decode, idOf } = model({ model: each, added_tokens: added });
      expect(encode('a</s>')).toHaveLength(5);
      expect(decode(encode('a</s>b'))).toBe('a</s>b');
      expect(encodeMarkup('a</s>b')).toEqual([...encode('a'), idOf('</s>'), ...encode('b')]);
    }
  });

  test('what stands in front of a text: from the post-processor, or from the config; never where the config says no', () => {
    const files = llama3Tokenizer(corpus.slice(0, 4000));
    const start = (config: object, json: object = files['tokenizer.json']) =>
      tokenizerOf({ 'tokenizer.json': json as never, 'tokenizer_config.json': { ...files['tokenizer_config.json'], ...config } })
        .startIds;
    expect(start({})).toEqual([296]);
    expect(start({ add_bos_token: false })).toEqual([]);
    const silent = { ...files['tokenizer.json'], post_processor: null };
    expect([start({}, silent), start({ add_bos_token: true }, silent)]).toEqual([[], [296]]);
    expect(tokenizer.startIds).toEqual([]);
  });

  test('ids in a hole of the vocabulary and beyond it are no tokens', () => {
    const vocab = { a: 0, b: 1, '<unk>': 2 };
    const holed = model({ model: { type: 'BPE', vocab, merges: [] }, added_tokens: [{ ...end, id: 5 }] });
    expect(holed.vocabSize).toBe(6);
    expect([0, 1, 2, 3, 4, 5, 6].map(holed.isToken)).toEqual([true, true, true, false, false, true, false]);
  });

  test('control tokens: the token’s name first, then the ids of generation_config.json, then those of config.json; nothing outside', () => {
    const place = join(folder, 'control');
    mkdirSync(place);
    const write = (name: string, content: object) => writeFileSync(join(place, name), JSON.stringify(content));
    const files = llama3Tokenizer(corpus.slice(0, 4000));
    write('tokenizer.json', files['tokenizer.json']);
    const ends = () => loadTokenizer(place).eosIds;
    expect([ends(), loadTokenizer(place).eosId]).toEqual([[], undefined]);
    write('config.json', { eos_token_id: 297, bos_token_id: 296 });
    expect([ends(), loadTokenizer(place).bosId]).toEqual([[297], 296]);
    write('generation_config.json', { eos_token_id: [297, 300, 50256] });
    expect([ends(), loadTokenizer(place).bosId]).toEqual([[297, 300], 296]);
    write('tokenizer_config.json', { eos_token: '<|eot_id|>', bos_token: { content: '<|end_of_text|>' } });
    expect([ends(), loadTokenizer(place).eosId, loadTokenizer(place).bosId]).toEqual([[301, 297, 300], 301, 297]);
    writeFileSync(join(place, 'chat_template.jinja'), '{{ bos_token }}');
    expect(loadTokenizer(place).toJSON()['tokenizer_config.json'].chat_template).toBe('{{ bos_token }}');
  });

  test('names the file that is missing or broken', () => {
    expect(() => loadTokenizer(join(folder, 'nowhere'))).toThrow(join(folder, 'nowhere', 'tokenizer.json'));
    writeFileSync(join(folder, 'tokenizer.json'), '{');
    expect(() => loadTokenizer(folder)).toThrow('tokenizer.json is no JSON');
  });

  describe('absurd files are refused by name, in a sentence', () => {
    const refusal = (change: (json: Record<string, unknown> & { model: Record<string, unknown> }) => void): string => {
      const json = structuredClone(llama3Tokenizer(corpus.slice(0, 4000))['tokenizer.json']) as never;
      change(json);
      writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(json));
      try {
        loadTokenizer(folder).encode(`${'a'.repeat(50)}!`);
        return 'no error';
      } catch (error) {
        return (error as Error).message;
      }
    };
    test('ids of a billion', () => {
      expect(refusal((json) => (json.model.vocab = { a: 1e9 }))).toMatch(
        /tokenizer\.json does not have .+\(got 1000000000\)|model\.vocab/,
      );
      expect(refusal((json) => (json.added_tokens = [{ id: 1e9, content: 'x' }]))).toMatch(/added_tokens\.0\.id: .+1000000000/);
    });
    test('a regular expression that backtracks for ever', () => {
      const message = refusal((json) => {
        json.pre_tokenizer = { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated', invert: false };
      });
      expect(message).toMatch(/the tokenizer did not end in 10\.\d+ s: a regular expression or template in it goes on for ever/);
    });
    test('a string of 10 MB, a pointer of Git LFS, a byte order mark', () => {
      const long = refusal((json) => (json.model = 'x'.repeat(1e7) as never));
      expect(long).toMatch(/model: expected object \(got "xxx/);
      expect(long.length).toBeLessThan(500);
      const load = (text: string) => () => {
        writeFileSync(join(folder, 'tokenizer.json'), text);
        loadTokenizer(folder);
      };
      expect(load('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n')).toThrow(
        /tokenizer\.json: this is a Git LFS pointer/,
      );
      expect(load('\ufeff{}')).toThrow(/tokenizer\.json begins with a UTF-8 byte order mark/);
    });
  });
});
