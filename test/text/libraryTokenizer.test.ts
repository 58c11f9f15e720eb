import { expect, test } from 'vitest';
import { endingTokenizer } from '../../src/text/libraryTokenizer';
import { tokenizerOf, type Tokenizer } from '../../src/text/tokenizer';

/** A tokenizer whose tokens are `vocabulary`: whole words (`merges` null), or what merges make of them. */
function tokenizer(pre_tokenizer: object, vocabulary: string[], merges: string[] | null = null): Tokenizer {
  const model = {
    type: 'BPE',
    unk_token: null,
    vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
    merges: merges ?? [],
    ignore_merges: merges === null,
  };
  const json = { version: '1.0', added_tokens: [], normalizer: null, post_processor: null, decoder: { type: 'Fuse' }, model };
  return tokenizerOf({
    'tokenizer.json': { ...json, pre_tokenizer },
    'tokenizer_config.json': { tokenizer_class: 'PreTrainedTokenizerFast' },
  });
}

test('digits are all that Unicode calls numbers, as in Python: each for itself, or in a row, never with a letter', () => {
  const vocabulary = ['a', '1', '2', '½', '²', '٣', '12', '½²', 'a½'];
  const tokens = (individual_digits: boolean, text: string): string[] => {
    const cut = { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits }] };
    const { encode } = tokenizer(cut, vocabulary, ['1 2', '½ ²', 'a ½']);
    return encode(text).map((id) => vocabulary[id]);
  };
  expect(tokens(true, 'a½²12٣')).toEqual(['a', '½', '²', '1', '2', '٣']);
  expect(tokens(false, 'a½²12')).toEqual(['a', '½²', '12']);
});

test.each([
  ['Whitespace', 'é\uFEFFb2\u0085!é_', ['é', '\uFEFF', 'b2', '!', 'é_']],
  ['Whitespace', "\n\n\uFEFF's a", ["\uFEFF'", 's', 'a']],
  ['WhitespaceSplit', 'é\uFEFFb2\u0085!é_', ['é\uFEFFb2', '!é_']],
  ['ByteLevel', "\n\n\uFEFF's a", ['Ċ', 'Ċ', "ï»¿'", 's', 'Ġa']],
  ['ByteLevel', 'é\uFEFFb2\u0085!é_', ['Ã©', 'ï»¿', 'b', '2', 'Âħ', '!', 'Ã©', '_']],
])('%s cuts %j where Python’s tokenizers do: U+FEFF is no white space, U+0085 is', (type, text, words) => {
  const vocabulary = [...new Set(words)];
  const { encode, encodeMarkup } = tokenizer({ type, add_prefix_space: false }, vocabulary);
  for (const ids of [encode(text), encodeMarkup(text)]) expect(ids.map((id) => vocabulary[id])).toEqual(words);
});

test('a decoder’s regular expression that backtracks for ever is ended; other decoders need no limit of time', () => {
  const model = { type: 'WordLevel', vocab: { ['a'.repeat(50) + '!']: 0 }, unk_token: null };
  const rest = { added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null };
  const decoded = (decoder: object) =>
    endingTokenizer({ ...rest, model, decoder }, {}, 0.1).decode([0], {
      skip_special_tokens: false,
      clean_up_tokenization_spaces: false,
    });
  const endless = { type: 'Replace', pattern: { Regex: '(a+)+$' }, content: '' };
  for (const decoder of [endless, { type: 'Sequence', decoders: [{ type: 'Fuse' }, endless] }])
    expect(() => decoded(decoder)).toThrow(/the tokenizer did not end in 0\.101 s/);
  expect(decoded({ type: 'Fuse' })).toBe('a'.repeat(50) + '!');
});
