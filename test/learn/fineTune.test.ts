import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { batchesOf, fineTune } from '../../src/learn/fineTune';
import { metagradient } from '../../src/learn/metagradient';
import { adamw, sgd } from '../../src/learn/optimizer';
import { padExamples } from '../../src/model/batch';
import { fusedModel } from '../../src/model/fused';
import { tapeGpt2 } from '../../src/model/tape/tape';
import type { LanguageModel } from '../../src/model/types';
import { negativeNorm } from '../../src/objective/norm';
import { disposeParams, mapParams, type Params } from '../../src/tensor/params';
import { useBackend } from '../support/backend';
import { flat } from '../support/randomGpt2';
import { TINY, tinyParams, valuesOf } from '../support/tinyExperiment';

const examples = [
  [1, 2, 3, 4],
  [5, 6],
  [0, 0, 1],
  [3, 4, 5, 6],
  [2, 1, 0],
  [6, 5, 4, 3],
];
const optimizer = sgd({ learningRate: 0.5 });
let params: Params;
let model: LanguageModel;
beforeAll(async () => {
  await useBackend('cpu');
  params = tinyParams(1);
  model = fusedModel(TINY, { workers: 0 });
});
afterAll(() => disposeParams(params));

describe('the batches', () => {
  it('take every example once, in order, padded to the longest or to sequenceLength', () => {
    const cut = batchesOf(model, { examples, batchSize: 2 });
    expect(cut).toEqual([0, 2, 4].map((from) => padExamples(examples.slice(from, from + 2), 3, TINY.vocab_size)));
    const uneven = batchesOf(model, { examples, batchSize: [1, 5], sequenceLength: 6 });
    expect(uneven.map(({ size, length }) => [size, length])).toEqual([[1, 6], [5, 6]]); // prettier-ignore
  });

  it.each([
    [{ batchSize: 4 }, 'batchSize must be a positive whole number that divides the 6 examples (got 4)'],
    [{ batchSize: 0 }, '(got 0)'],
    [{ batchSize: 1.5 }, '(got 1.5)'],
    [{ batchSize: [] }, 'batchSize must give the size of at least one batch (got [])'],
    [{ batchSize: [1.5, 4.5] }, 'batchSize[0] must be a whole number from 1 on (got 1.5)'],
    [{ batchSize: [6, 0] }, 'batchSize[1] must be a whole number from 1 on (got 0)'],
    [{ batchSize: 2, sequenceLength: 4.5 }, 'sequenceLength must be a whole number from 1 on (got 4.5)'],
    [{ batchSize: 2, sequenceLength: 0 }, 'sequenceLength must be a whole number from 1 on (got 0)'],
    [{ examples: [[1], []], batchSize: 2 }, 'an example needs two tokens to be learnt from (the longest has 1)'],
    [{ batchSize: [2, 2] }, 'the batches hold 4 examples, but there are 6'],
    [{ examples: [], batchSize: 1 }, 'divides the 0 examples'],
    [{ batchSize: 2, sequenceLength: 13 }, "sequenceLength 13 exceeds the model's 12 positions; shorten the examples"],
    [{ batchSize: 2, sequenceLength: 2 }, 'example 0 has 4 tokens; sequenceLength 2 allows 3'],
    [{ examples: [[1, 2], [3, 11]], batchSize: 2 }, 'token 1 of example 1 is outside the vocabulary of 11 (got 11)'], // prettier-ignore
  ])('are refused for %o', (more, message) => {
    expect(() => batchesOf(model, { examples, ...more })).toThrow(message);
  });
});

describe('fine-tuning', () => {
  it('takes one optimizer step a batch and leaves the initial parameters and no other tensor', async () => {
    const [initial, before] = [valuesOf(params), tf.memory().numTensors];
    const tuned = await fineTune({ model, params, optimizer, examples, batchSize: 3 });
    let expected = params;
    const losses: number[] = [];
    for (const batch of batchesOf(model, { examples, batchSize: 3 })) {
      const step = await tapeGpt2(TINY).gradient(expected, batch);
      losses.push(step.losses.reduce((a, b) => a + b) / 3);
      expected = mapParams((_, p, g) => tf.sub(p, tf.mul(0.5, g)), expected, step.gradient);
      disposeParams(step.gradient);
    }
    expect(flat(tuned.params)).toBeAllClose(flat(expected), { rtol: 1e-5 });
    expect(tuned.trainLosses).toBeAllClose(losses, { rtol: 1e-5 });
    expect(tuned.trainLosses).toHaveLength(2);
    disposeParams(tuned.params);
    expect(valuesOf(params)).toEqual(initial);
    const perTree = Object.keys(params).length;
    expect(tf.memory().numTensors).toBe(before + 2 * perTree); // the two trees of `expected`
    disposeParams(expected);
  });

  it('learns', async () => {
    const many = Array.from({ length: 20 }, () => [1, 2, 3, 4]);
    const { trainLosses } = await fineTune({
      model,
      params,
      optimizer: adamw({ learningRate: 0.02 }),
      examples: many,
      batchSize: 1,
    });
    expect(trainLosses[19]).toBeLessThan(0.2 * trainLosses[0]);
  });

  it('stops at a loss that is not finite and names step and example', async () => {
    let calls = 0;
    const breaking: LanguageModel = {
      ...model,
      async gradient(...call) {
        const { losses, gradient } = await model.gradient(...call);
        return { losses: ++calls === 2 ? losses.fill(NaN, 1, 2) : losses, gradient };
      },
    };
    await expect(fineTune({ model: breaking, params, optimizer, examples, batchSize: 3 })).rejects.toThrow(
      'fine-tuning step 2: the loss of example 1 of its batch is NaN; lower the inner learning rate',
    );
  });

  it('stops at weights that are not finite, names them and the step', async () => {
    const table = params['transformer.wte.weight'];
    const row = tf.tensor2d(
      table.dataSync().map((x, i) => (Math.floor(i / TINY.n_embd) === 7 ? NaN : x)),
      [11, 8],
    ); // token 7
    const broken = { ...params, 'transformer.wte.weight': row };
    const message = 'fine-tuning step 1: the weights "transformer.wte.weight" hold NaN (number 56 of 88)';
    const setting = { model, params: broken, optimizer, examples, batchSize: 3 }; // none of which has token 7
    await expect(fineTune(setting)).rejects.toThrow(message);
    await expect(metagradient({ ...setting, objective: negativeNorm })).rejects.toThrow(message);
  });

  it.each([
    [sgd({ learningRate: 0.5 }), 'is not finite; lower the inner learning rate'],
    [adamw({ learningRate: 0.01 }), 'is not finite; raise epsRoot or lower the inner learning rate'],
  ])('that cannot be differentiated is refused by the metagradient, with the way out of its optimizer', async (own, message) => {
    const hessianVectorProduct: LanguageModel['hessianVectorProduct'] = async (...call) => {
      const result = await model.hessianVectorProduct(...call);
      return { ...result, tokenTangents: result.tokenTangents.fill(Infinity, 0, 1) };
    };
    const broken = { ...model, hessianVectorProduct };
    const setting = { model: broken, params, optimizer: own, examples, batchSize: 3, objective: negativeNorm };
    await expect(metagradient(setting)).rejects.toThrow(`fine-tuning step 2 ${message}`);
  });

  it('with epsRoot 0 is differentiated although tokens that do not occur have v = 0', async () => {
    const unsmooth = adamw({ learningRate: 0.01, epsRoot: 0 });
    const setting = { model, params, optimizer: unsmooth, examples, batchSize: 3, objective: negativeNorm };
    const { tau, finalParams } = await metagradient(setting);
    expect([...tau].every((x) => Number.isFinite(x) && x !== 0)).toBe(true);
    disposeParams(finalParams);
  });
});
