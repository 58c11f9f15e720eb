/** Folders with the file shapes of the hub, random weights: loaded, compared with the float64 oracles, trained and trained on. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { load } from '../../src/dpg/models';
import { sixtySeven } from '../../src/experiments/sixtySeven';
import { startTraining, train } from '../../src/dpg/train';
import { padExamples } from '../../src/model/batch';
import { disposeParams } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { gpt2LogProbs, type NamedValues } from '../oracles/gpt2Float64';
import { decoderLogProbs } from '../oracles/decoderFloat64';
import { useBackend } from '../support/backend';
import { GPT2_FOLDER, LLAMA_FOLDER, writeGpt2Folder, writeLlamaFolder, type Weights } from '../support/pretrainedFolders';

const place = mkdtempSync(path.join(tmpdir(), 'pretrained-'));
const folders = { gpt2: path.join(place, 'gpt2'), llama: path.join(place, 'llama') };
const TEXT = 'The bridge of Oldham, "a 12th-century marvel", isn\'t  old .\nCafé 漢字 😀';
let weights: { gpt2: Weights; llama: Weights };

beforeAll(async () => {
  await useBackend('cpu');
  weights = { gpt2: writeGpt2Folder(folders.gpt2), llama: writeLlamaFolder(folders.llama) };
});
afterAll(() => rmSync(place, { recursive: true }));

/** The written numbers in float64, the head a copy of the embedding. */
function oracleValues(written: Weights, embedding: string): NamedValues {
  const values = Object.fromEntries(Object.entries(written).map(([name, { data }]) => [name, Float64Array.from(data)]));
  return { ...values, 'lm_head.weight': values[embedding] };
}

describe.each([
  ['gpt2', 'transformer.wte.weight', GPT2_FOLDER, [296]],
  ['llama', 'model.embed_tokens.weight', LLAMA_FOLDER, [301, 297, 300]],
] as const)('a folder of %s in BF16 shards', (name, embedding, config, ends) => {
  it('computes what the float64 oracle computes from the numbers that were written', async () => {
    const { model, params, tokenizer } = await load(folders[name], { workers: 1 });
    expect(model.config).toMatchObject(config);
    const ids = tokenizer.encode(TEXT);
    const batch = padExamples([ids.slice(0, 24), ids.slice(10, 40)], 30, config.vocab_size);
    const values = oracleValues(weights[name], embedding);
    const expected = name === 'gpt2' ? gpt2LogProbs(values, GPT2_FOLDER, batch) : decoderLogProbs(values, LLAMA_FOLDER, batch);
    const actual = await model.logProbs(params, batch);
    expect(actual).toBeAllClose(expected.chosen.map((x, i) => x * batch.mask[i]), { atol: 1e-3, rtol: 1e-4 }); // prettier-ignore
    expect(params['lm_head.weight'].dataSync()).toEqual(params[embedding].dataSync());
    expect(params['lm_head.weight'].dataId).not.toBe(params[embedding].dataId);
    disposeParams(params);
    model.dispose();
  });

  it('has a tokenizer that gives every text back, knows where texts end, and needs no padding token', async () => {
    const { tokenizer, params, model } = await load(folders[name], { workers: 1 });
    expect(tokenizer.decode(tokenizer.encode(TEXT))).toBe(TEXT);
    expect(tokenizer.encode(TEXT).length).toBeLessThan(new TextEncoder().encode(TEXT).length); // merges apply
    expect([tokenizer.vocabSize, tokenizer.eosIds, tokenizer.padId]).toEqual([config.vocab_size, ends, undefined]);
    disposeParams(params);
    model.dispose();
  });
});

describe('a Llama that chats writes for a GPT-2', () => {
  it('a whole step, from text to text', async () => {
    const sizes = {
      prompts: 2,
      groupSize: 2,
      promptLength: 260,
      maxNewTokens: 8,
      minibatch: 4,
      heldOutExamples: 2,
      credit: 'example',
    } as const;
    const names = { generator: folders.llama, target: folders.gpt2 };
    const experiment = await sixtySeven({ ...sizes, steps: 1, klCoef: 0, engine: 'auto', workers: 1 }, names);
    const { generator, target } = experiment;
    const state = startTraining(experiment);
    for await (const { row, rollouts, rewards } of train({ ...experiment, state })) {
      expect(generator.tokenizer.decode(rollouts.prompts[0])).toMatch(/Rephrase this .+assistant\n\n$/s);
      expect(rewards.every((r) => Number.isFinite(r) && r !== 0)).toBe(true);
      expect(row.truncated_responses).toBeGreaterThanOrEqual(0);
    }
    expect(state.step).toBe(1);
    generator.model.dispose();
    target.model.dispose();
  });

  it('or continues texts as a base model does, where it is told so; a base model cannot be told to chat', async () => {
    const config = { promptLength: 24, maxNewTokens: 8, credit: 'example', engine: 'auto', workers: 1 } as const;
    const names = { generator: folders.llama, target: folders.gpt2 };
    const { generator, target, prompts } = await sixtySeven({ ...config, promptStyle: 'continue' }, names);
    const [prompt] = prompts('heldOut', 1, randomStream(0, 'continue'));
    expect(prompt).toHaveLength(24);
    expect(prompt[0]).toBe(generator.tokenizer.bosId);
    expect(generator.tokenizer.decode(prompt)).toMatch(/[a-z ,]{8}/);
    expect(generator.tokenizer.decode(prompt)).not.toMatch(/rephrase|assistant/i);
    generator.model.dispose();
    target.model.dispose();
    const base = { generator: folders.gpt2, target: folders.gpt2 };
    await expect(sixtySeven({ ...config, promptStyle: 'chat' }, base)).rejects.toThrow(
      'promptStyle "chat" needs a generator with a chat template, and this one has none: take "continue"',
    );
  });
});
