/** Which columns of the LM head carry a picture, with a vocabulary that begins with control tokens and bytes as those of real Llamas do. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { parseConfig } from '../../src/dpg/config';
import { actorOf } from '../../src/dpg/experiment';
import { patchTokens } from '../../src/experiments/patchTokens';
import { patternKeys, type PatternConfig } from '../../src/experiments/pattern';
import { sixtySeven } from '../../src/experiments/sixtySeven';
import { valueAndGradient, type TensorObjective } from '../../src/learn/objective';
import { fusedModel } from '../../src/model/fused';
import { initializeGpt2 } from '../../src/model/families/gpt2';
import { randomStream } from '../../src/tensor/random';
import { tokenizerOf } from '../../src/text/tokenizer';
import { useBackend } from '../support/backend';
import { saveTinyModels, TINY_CONFIG } from '../support/tinyModels';

const CONTROL = ['<unk>', '<s>', '</s>', ...Array.from({ length: 9 }, (_, i) => `<0x0${i}>`)];
const LETTERS = [...'etaoinshrd'];
const VOCAB = CONTROL.length + LETTERS.length;
const vocab = Object.fromEntries([...CONTROL, ...LETTERS].map((token, id) => [token, id]));
const steps = { added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: { type: 'Fuse' } };
const tokenizer = tokenizerOf({
  'tokenizer.json': { ...steps, model: { type: 'BPE', vocab, merges: [] } },
  'tokenizer_config.json': {},
});
const config = { vocab_size: VOCAB, n_positions: 32, n_embd: 8, n_layer: 1, n_head: 2, layer_norm_epsilon: 1e-5 };
/** How much likelier than the one before it a letter is: the tenth letter is the most frequent. */
const STEP = 0.4;

/** A generator that writes letters alone, the last ones most. */
function setting(input: Partial<PatternConfig> = {}) {
  const start = initializeGpt2(config, randomStream(1, 'weights'));
  const logit = (id: number): number => (id < CONTROL.length ? -30 : STEP * (id - CONTROL.length));
  const head = tf.tensor2d(Array.from({ length: VOCAB }, (_, id) => [logit(id), 0, 0, 0, 0, 0, 0, 0]));
  const norm = { 'transformer.ln_f.weight': tf.zeros([8]), 'transformer.ln_f.bias': tf.tensor1d([1, 0, 0, 0, 0, 0, 0, 0]) };
  const model = fusedModel(config, { workers: 0 });
  const generator = actorOf(model, { ...start, ...norm, 'lm_head.weight': head }, tokenizer);
  const prompts = (_: string, count: number) => Array.from({ length: count }, () => [CONTROL.length, CONTROL.length + 1]);
  return { config: parseConfig({ keys: patternKeys }, input), generator, target: { ...generator, params: start }, prompts };
}

beforeAll(() => useBackend('cpu'));
afterEach(() => void vi.restoreAllMocks());

describe('the columns of a picture', () => {
  const warnings = () => vi.spyOn(console, 'warn').mockImplementation(() => undefined).mock.calls;

  it('are the first tokens, with a word where these are hardly ever written', async () => {
    const said = warnings();
    expect(await patchTokens(7, setting())).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(said).toHaveLength(1);
    expect(said[0][0]).toMatch(
      /^the picture’s columns are 7 tokens of which .* 7 not once in 1536 \(ids 0, 1, .*patchTokens frequent$/,
    );
  });

  it('are the most frequent tokens of the untrained generator, the most frequent first, the same for every seed', async () => {
    const said = warnings();
    const found = await patchTokens(4, setting({ patchTokens: 'frequent' }));
    expect(found).toEqual([21, 20, 19, 18]); // probabilities 0.34, 0.23, 0.15, 0.1
    expect(await patchTokens(4, setting({ patchTokens: 'frequent', seed: 7 }))).toEqual(found);
    expect(said).toEqual([]);
  });

  it('are those of a list, by number or by name', async () => {
    const said = warnings();
    expect(await patchTokens(3, setting({ patchTokens: '13,e,s' }))).toEqual([13, 12, 18]);
    expect(said).toEqual([]);
    await expect(patchTokens(2, setting({ patchTokens: 'e,ing' }))).rejects.toThrow('the target has no token "ing"');
    expect(() => setting({ patchTokens: 'e,,t' })).toThrow('patchTokens must be');
  });
});

it('the picture is drawn and read at these columns', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'dpg-patch-'));
  try {
    const models = await saveTinyModels(folder);
    const make = (patchTokens: string) => sixtySeven({ ...TINY_CONFIG, patchTokens }, models);
    const experiment = await make('9,3,20,4,11,0,7');
    const objective = (experiment.objective as { at: (step: number, steps: number) => TensorObjective }).at(0, 1);
    const { params } = experiment.target;
    const { gradient } = await valueAndGradient(objective, params);
    const rows = (gradient['lm_head.weight'].arraySync() as number[][]).flatMap((row, id) =>
      row.some((x) => x !== 0) ? id : [],
    );
    expect(rows).toEqual([0, 3, 4, 7, 9, 11, 20]);
    const tuned = { ...params, 'lm_head.weight': tf.add(params['lm_head.weight'], gradient['lm_head.weight']) };
    expect(experiment.read(tuned).accuracy).toBe(1);
    await expect(make('1,2,3')).rejects.toThrow('needs 7 different tokens from 0');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
