import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Experiment, PromptSource } from '../../src/dpg/experiment';
import { innerTraining } from '../../src/dpg/inner';
import { validate } from '../../src/dpg/validate';
import { valueAndGradient } from '../../src/learn/objective';
import type { LanguageModel, TokenBatch } from '../../src/model/types';
import { cloneParams, disposeParams, type Params } from '../../src/tensor/params';
import { useBackend } from '../support/backend';
import { tinyExperiment, tinyParams, valuesOf } from '../support/tinyExperiment';

beforeAll(() => useBackend('cpu'));

/** What the validation shows, without the tensors. */
async function result(experiment: Experiment, ...rest: [seed?: number]) {
  const { tuned, ...shown } = await validate(experiment, undefined, ...rest);
  disposeParams(tuned);
  return shown;
}

describe('validation', () => {
  it('asks for held-out prompts only, one response each', async () => {
    const asked: [string, number][] = [];
    const experiment = tinyExperiment();
    const prompts: PromptSource = (split, count, random) => (
      asked.push([split, count]),
      experiment.prompts(split, count, random)
    );
    const { examples } = await result({ ...experiment, prompts });
    expect(asked).toEqual([['heldOut', 12]]);
    expect(examples).toHaveLength(12);
    for (const { prompt, response } of examples) {
      expect(prompt).toMatch(/^[etaoins]{3}$/);
      expect(response).toMatch(/^[etaoins]{0,5}$/);
    }
    expect(new Set(examples.map(({ response }) => response)).size).toBeGreaterThan(6);
  });

  it('fine-tunes a fresh target on what was written, every response once, and reads Φ and the picture off it', async () => {
    const experiment = tinyExperiment({ innerSteps: 3 });
    const { model, params, tokenizer } = experiment.target;
    const calls: { at: Params; batch: TokenBatch }[] = [];
    const spy: LanguageModel = {
      ...model,
      gradient: (at, batch) => (calls.push({ at: cloneParams(at), batch }), model.gradient(at, batch)),
    };
    const target = { ...experiment.target, model: spy };
    const { tuned, phi, metrics, image, examples } = await validate({ ...experiment, target });
    expect(calls.map(({ batch }) => [batch.size, batch.length])).toEqual([[4, 4], [4, 4], [4, 4]]); // prettier-ignore
    expect(valuesOf(calls[0].at)).toEqual(valuesOf(params));
    const learnt = calls.flatMap(({ batch: { ids, mask, size, length } }) =>
      Array.from({ length: size }, (_, i) => {
        const tokens = mask.slice(i * length, (i + 1) * length).reduce((a, b) => a + b, 1);
        return tokenizer.decode(ids.slice(i * (length + 1), i * (length + 1) + tokens));
      }),
    );
    expect(learnt.sort()).toEqual(examples.map(({ response }) => response).sort());
    expect(phi).toBe((await valueAndGradient(innerTraining(experiment).objective, tuned)).phi);
    expect({ metrics, image }).toMatchObject(await experiment.observe({ tuned, examples, phi }));
  });

  it('compares runs on the same prompts, whatever their seed; another validation seed draws others', async () => {
    const [first, second] = [await result(tinyExperiment({ seed: 1 })), await result(tinyExperiment({ seed: 2 }))];
    expect(second).toEqual(first);
    const other = await result(tinyExperiment(), 7);
    expect(other.examples).not.toEqual(first.examples);
    expect(other.phi).not.toBe(first.phi);
  });

  it('depends on the generator', async () => {
    const experiment = tinyExperiment();
    const { phi, tuned, step } = await validate(experiment, { step: 3, training: { params: tinyParams(3) } });
    disposeParams(tuned);
    expect(step).toBe(3);
    expect(phi).not.toBe((await result(experiment)).phi);
  });

  it('leaves no tensor but the fine-tuned target', async () => {
    const experiment = tinyExperiment({ innerSteps: 3 });
    const before = tf.memory().numTensors;
    await result(experiment);
    expect(tf.memory().numTensors).toBe(before);
  });
});
