import { expect, test } from 'vitest';
import { tokenizerOf } from '../../src/text/tokenizer';

const VOCABULARY = ['a', '1', '2', '½', '²', '٣', '12', '½²', 'a½'];
const tokens = (individual_digits: boolean, text: string): string[] => {
  const digits = { type: 'Digits', individual_digits };
  const model = {
    type: 'BPE',
    unk_token: null,
    vocab: Object.fromEntries(VOCABULARY.map((token, id) => [token, id])),
    merges: ['1 2', '½ ²', 'a ½'],
  };
  const json = { version: '1.0', added_tokens: [], normalizer: null, post_processor: null, decoder: { type: 'Fuse' }, model };
  const tokenizer = tokenizerOf({
    'tokenizer.json': { ...json, pre_tokenizer: { type: 'Sequence', pretokenizers: [digits] } },
    'tokenizer_config.json': { tokenizer_class: 'PreTrainedTokenizerFast' },
  });
  return tokenizer.encode(text).map((id) => VOCABULARY[id]);
};

test('digits are all that Unicode calls numbers, as in Python: each for itself, or in a row, never with a letter', () => {
  expect(tokens(true, 'a½²12٣')).toEqual(['a', '½', '²', '1', '2', '٣']);
  expect(tokens(false, 'a½²12')).toEqual(['a', '½²', '12']);
});
