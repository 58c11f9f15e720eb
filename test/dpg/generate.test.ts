import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { actorOf } from '../../src/dpg/experiment';
import { generate, lossOf } from '../../src/dpg/generate';
import { fusedModel } from '../../src/model/fused';
import { initializeGpt2 } from '../../src/model/families/gpt2';
import { padExamples } from '../../src/model/batch';
import { randomStream } from '../../src/tensor/random';
import { characterTokenizer } from '../../src/text/tokenizer';

const tokenizer = characterTokenizer('abc');
const config = { vocab_size: tokenizer.vocabSize, n_positions: 40, n_embd: 8, n_layer: 1, n_head: 2, layer_norm_epsilon: 1e-5 };
const model = fusedModel(config, { workers: 0 });
const actor = actorOf(model, initializeGpt2(config, randomStream(1, 'weights')), tokenizer);

describe('generate', () => {
  it('writes what the seed says, and ends with the text', async () => {
    const texts = await Promise.all([1, 2, 3, 4].map((seed) => generate(actor, 'ab', { seed, maxNewTokens: 30 })));
    expect(new Set(texts).size).toBe(4);
    expect(texts.every((text) => /^[abc]*$/.test(text))).toBe(true);
    expect(texts.some((text) => text.length < 15)).toBe(true); // one token in seven is the end
    expect(await generate(actor, 'ab', { seed: 2, maxNewTokens: 30 })).toBe(texts[1]);
    const cold = [1, 2].map((seed) => generate(actor, 'ab', { seed, temperature: 1e-6, maxNewTokens: 5 }));
    expect(await cold[0]).toBe(await cold[1]);
  });

  it('needs a text that the model can read', async () => {
    await expect(generate(actor, '')).rejects.toThrow('the text is empty');
    await expect(generate(actor, 'xyz')).rejects.toThrow('"x" (U+0078) at position 0');
  });
});

it('lossOf is minus the mean log-probability per token, and moves against it', async () => {
  const { phi, gradient } = await lossOf(actor, ['abca', 'cb']).valueAndGradient(actor.params);
  const logProbs = await model.logProbs(actor.params, padExamples([tokenizer.encode('abca'), tokenizer.encode('cb')], 3, 7));
  expect(phi).toBeCloseTo(-logProbs.reduce((a, b) => a + b) / 4, 6);
  const head = gradient['lm_head.weight'];
  const moved = { ...actor.params, 'lm_head.weight': tf.add(actor.params['lm_head.weight'], tf.mul(head, 0.01)) };
  const after = await lossOf(actor, ['abca', 'cb']).valueAndGradient(moved);
  const slope = tf.sum(tf.square(head)).dataSync()[0];
  expect((after.phi - phi) / (0.01 * slope)).toBeCloseTo(1, 1);
});
