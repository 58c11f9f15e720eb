import { describe, expect, it } from 'vitest';
import { runningText } from '../../src/text/prompts';
import { characterTokenizer, tokenizerOf } from '../../src/text/tokenizer';
import { isSameTokenizer, transcriber } from '../../src/text/transcription';
import { randomStream } from '../../src/tensor/random';
import { gpt2Tokenizer, llama3Tokenizer } from '../support/byteLevelTokenizer';
import { permutedTokenizer } from '../support/permutedVocabulary';

const corpus = runningText(randomStream(1, 'transcription'), 40);
const characters = characterTokenizer(corpus);
const end = 296;
const controlIds = { eos_token_id: end };
const bytes = tokenizerOf(gpt2Tokenizer(corpus), controlIds);
const text = corpus.slice(0, 90);

describe('a transcript', () => {
  it('is the same text in the other’s tokens, response by response', () => {
    const pieces = [text.slice(0, 30), text.slice(30, 31), text.slice(31)];
    const { responses, metrics } = transcriber(characters, bytes, 100)(pieces.map(characters.encode));
    expect(responses.map(bytes.decode)).toEqual(pieces);
    expect(responses).toEqual(pieces.map(bytes.encode));
    expect(responses[0].length).toBeLessThan(30); // merges
    expect(metrics).toEqual({ empty_responses: 0, truncated_responses: 0 });
  });

  it('keeps every response in its place, also those without text, and counts what is empty and what is cut off', () => {
    const { eosId, padId } = characters;
    const responses = [characters.encode(text), [], [eosId!], characters.encode('a'), [padId!, padId!]];
    const read = transcriber(characters, bytes, 8)(responses);
    expect(read.responses).toEqual([bytes.encode(text).slice(0, 8), [], [end], bytes.encode('a'), []]);
    expect(read.metrics).toEqual({ empty_responses: 3 / 5, truncated_responses: 1 / 5 });
  });

  it('ends where the response ends, with the other’s end token; what the model wrote after another end token is left out', () => {
    const llama = tokenizerOf(llama3Tokenizer(corpus), { eos_token_id: [297, 300, 301] });
    expect([llama.eosId, ...llama.eosIds]).toEqual([301, 301, 297, 300]);
    const ids = llama.encodeMarkup('The end.<|eom_id|> no more');
    const { responses } = transcriber(
      llama,
      bytes,
      50,
    )([ids, llama.encodeMarkup('The end.<|eot_id|>'), llama.encode('The end.')]);
    expect(responses).toEqual([[...bytes.encode('The end.'), end], [...bytes.encode('The end.'), end], bytes.encode('The end.')]);
    const endless = tokenizerOf(gpt2Tokenizer(corpus));
    expect(transcriber(llama, endless, 50)([ids]).responses).toEqual([bytes.encode('The end.')]);
  });

  it('keeps half a character at the end as the replacement character', () => {
    const ids = bytes.encode('é');
    expect(ids).toHaveLength(2);
    const other = permutedTokenizer(
      bytes,
      Array.from({ length: 297 }, (_, i) => 296 - i),
    );
    expect(other.decode(transcriber(bytes, other, 9)([[...bytes.encode('caf'), ids[0]]]).responses[0])).toBe('caf\ufffd');
  });

  it('is refused from the start if there is a character that the target cannot read', () => {
    expect(() => transcriber(characterTokenizer('abc€'), characterTokenizer('cab'), 9)).toThrow(
      'the generator can write "€" (U+20AC), which the target\'s tokenizer cannot read',
    );
    expect(() => transcriber(bytes, characters, 9)).toThrow(
      /the generator can write .+ which the target's tokenizer cannot read/,
    );
    transcriber(characterTokenizer('abc'), characterTokenizer('cab€'), 9);
  });
});

describe('the same tokenizer', () => {
  it('is one whose ids mean the same text', () => {
    expect(isSameTokenizer(characters, characterTokenizer(corpus))).toBe(true);
    expect(isSameTokenizer(bytes, tokenizerOf(gpt2Tokenizer(corpus)))).toBe(true);
    expect(isSameTokenizer(bytes, characters)).toBe(false);
    const order = Array.from({ length: characters.vocabSize }, (_, i) => (i < 2 ? 1 - i : i));
    expect(isSameTokenizer(characters, permutedTokenizer(characters, order))).toBe(false);
  });
});
