import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { meanLoss, pretrain } from '../../src/experiments/pretrain';
import { padExamples } from '../../src/model/batch';
import { fusedModel } from '../../src/model/fused';
import type { LanguageModel, TokenBatch } from '../../src/model/types';
import { disposeParams, mapParams, type Params } from '../../src/tensor/params';
import { randomStream, type RandomStream } from '../../src/tensor/random';
import { useBackend } from '../support/backend';
import { TINY, tinyParams, valuesOf } from '../support/tinyExperiment';

let params: Params;
let model: LanguageModel;
beforeAll(async () => {
  await useBackend('cpu');
  params = tinyParams(1, 1);
  model = fusedModel(TINY, { workers: 0 });
});

/** Cycles through 0 … 9 from anywhere: the next token follows from the last. */
const cycles = (random: RandomStream): TokenBatch => {
  const examples = Array.from({ length: 16 }, () => {
    const start = random.integer(10);
    return Array.from({ length: 2 + random.integer(7) }, (_, t) => (start + t) % 10);
  });
  return padExamples(examples, 8, TINY.vocab_size);
};

describe('pretraining', () => {
  it('learns text that can be learnt, on new batches, and tells of every step', async () => {
    const random = randomStream(1, 'cycles');
    const heldOut = [cycles(randomStream(2, 'cycles'))];
    const seen: [number, number][] = [];
    const before = tf.memory().numTensors;
    const initial = valuesOf(params);
    const trained = await pretrain({
      ...{ model, params, steps: 150, learningRate: 0.03, nextBatch: () => cycles(random) },
      onStep: (step, loss) => seen.push([step, loss]),
    });
    expect(await meanLoss(model, params, heldOut)).toBeGreaterThan(2.2); // ln 10 = 2.30
    expect(await meanLoss(model, trained, heldOut)).toBeLessThan(0.3);
    expect(seen.map(([step]) => step)).toEqual(Array.from({ length: 150 }, (_, i) => i + 1));
    expect(seen[149][1]).toBeLessThan(0.2 * seen[0][1]);
    disposeParams(trained);
    expect(tf.memory().numTensors).toBe(before);
    expect(valuesOf(params)).toEqual(initial);
  });

  it('begins with a fiftieth of the learning rate', async () => {
    const learningRate = 0.05;
    const setting = { model, params, steps: 1, learningRate, nextBatch: () => cycles(randomStream(1, 'cycles')) };
    const trained = await pretrain(setting);
    const [from, to] = [valuesOf(params), valuesOf(trained)];
    const moves = Object.keys(from).flatMap((name) => to[name].map((x, i) => Math.abs(x - from[name][i])));
    const largest = Math.max(...moves); // Adam's first step is the learning rate itself, but for weight decay
    expect(largest).toBeGreaterThan(0.99 * (learningRate / 50));
    expect(largest).toBeLessThan(1.05 * (learningRate / 50));
  });

  it('stops at a loss that is not finite and names the step', async () => {
    let step = 0;
    const broken = mapParams((_, x) => tf.mul(x, NaN), params);
    const failing: LanguageModel = { ...model, gradient: (at, batch) => model.gradient(++step === 3 ? broken : at, batch) };
    const setting = { model: failing, params, steps: 5, learningRate: 0.01, nextBatch: () => cycles(randomStream(1, 'cycles')) };
    await expect(pretrain(setting)).rejects.toThrow('pretraining step 3: the loss is NaN; lower the learning rate (0.01)');
  });
});

describe('the mean loss', () => {
  it('is per predicted token, whatever the padding and the batches', async () => {
    const texts = [[1, 2, 3, 4, 5, 6], [3, 4], [9, 9, 9]]; // prettier-ignore
    const nats: number[] = [];
    for (const text of texts) {
      const { losses } = await model.gradient(params, padExamples([text], text.length - 1, TINY.vocab_size));
      nats.push(losses[0] * (text.length - 1));
    }
    const batches = [padExamples(texts.slice(0, 2), 7, TINY.vocab_size), padExamples(texts.slice(2), 9, TINY.vocab_size)];
    expect(await meanLoss(model, params, batches)).toBeCloseTo(nats.reduce((a, b) => a + b) / 8, 5);
  });
});
