import { describe, expect, it } from 'vitest';
import { isLlama3Chat, llama3Chat, llama3RephrasePrompts } from '../../src/text/chatTemplate';
import { runningText } from '../../src/text/prompts';
import { characterTokenizer, tokenizerOf } from '../../src/text/tokenizer';
import { randomStream } from '../../src/tensor/random';
import { gpt2Tokenizer, llama3Tokenizer } from '../support/byteLevelTokenizer';

const corpus = runningText(randomStream(1, 'chat'), 20);
const files = llama3Tokenizer(corpus);
const tokenizer = tokenizerOf(files);

describe('Llama 3’s chat format', () => {
  it('is what its template renders for one message', () => {
    expect(llama3Chat(' Hello? ')).toBe(
      '<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n' +
        '<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHello?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n',
    );
  });

  it('is spoken by tokenizers with its tokens and a template', () => {
    const { chat_template: _, ...base } = files['tokenizer_config.json'];
    expect(isLlama3Chat(tokenizer)).toBe(true);
    expect(isLlama3Chat(tokenizerOf({ ...files, 'tokenizer_config.json': base }))).toBe(false);
    expect(isLlama3Chat(tokenizerOf(gpt2Tokenizer(corpus)))).toBe(false);
    expect(isLlama3Chat(characterTokenizer(corpus))).toBe(false);
  });
});

describe('rephrase prompts', () => {
  const prompts = (promptLength: number, seed = 1) =>
    llama3RephrasePrompts(tokenizer, 6, randomStream(seed, 'prompts'), { promptLength, split: 'train' });

  it('have one length, control tokens as single tokens, and end where the answer begins', () => {
    const all = prompts(260);
    for (const ids of all) {
      expect(ids).toHaveLength(260);
      expect(ids[0]).toBe(tokenizer.idOf('<|begin_of_text|>'));
      const header = ['<|eot_id|>', '<|start_header_id|>'].map(
        (token) => ids.filter((id) => id === tokenizer.idOf(token)).length,
      );
      expect(header).toEqual([2, 3]);
      expect(tokenizer.decode(ids)).toMatch(/Rephrase this .+ only\.\n\n[A-Z].+assistant\n\n$/s);
    }
    expect(new Set(all.map((ids) => tokenizer.decode(ids))).size).toBe(6);
    expect(prompts(260)).toEqual(all);
  });

  it('that leave no room for an article are refused', () => {
    expect(() => prompts(100)).toThrow(
      /promptLength must be more than \d+, the tokens of the request around an article \(got 100\)/,
    );
  });
});
