import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { fusedModel } from '../../src/model/fused';
import { evaluationBatch, evaluationIds, likelihoodObjective } from '../../src/objective/likelihood';
import { disposeParams, mapParams, type Params } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { characterTokenizer } from '../../src/text/tokenizer';
import { numericalGradient } from '../oracles/differences';
import { gpt2Loss, type NamedValues } from '../oracles/gpt2Float64';
import { useBackend } from '../support/backend';
import { flat, randomBatch, randomValues, toParams } from '../support/randomGpt2';

const config = { vocab_size: 5, n_positions: 5, n_embd: 4, n_layer: 1, n_head: 1, layer_norm_epsilon: 1e-5 };
const random = randomStream(1, 'likelihood');
const values = randomValues(config, random, 0.5);
const evaluation = randomBatch(config, random, 3, 5);
const objective = likelihoodObjective(fusedModel(config, { workers: 0 }), evaluation);
let params: Params;
beforeAll(async () => {
  await useBackend('cpu');
  params = toParams(config, values);
});

describe('the likelihood of an evaluation set', () => {
  it('is minus the mean example loss, with its derivative', async () => {
    const names = Object.keys(values).sort();
    const negative = (x: readonly Float64Array[]): number =>
      -gpt2Loss(Object.fromEntries(names.map((name, i) => [name, x[i]])) as NamedValues, config, evaluation);
    const before = tf.memory().numTensors;
    const { phi, gradient } = await objective.valueAndGradient(params);
    expect(phi).toBeCloseTo(-gpt2Loss(values, config, evaluation), 5);
    const expected = numericalGradient(
      negative,
      names.map((name) => values[name]),
    );
    expect(flat(gradient)).toBeAllClose(
      expected.flatMap((x) => [...x]),
      { rtol: 1e-4 },
    );
    disposeParams(gradient);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('refuses weights that are broken', async () => {
    const broken = mapParams((_, x) => tf.mul(x, NaN), params);
    await expect(objective.valueAndGradient(broken)).rejects.toThrow('the loss on the evaluation set is NaN');
  });
});

describe('Φ per token', () => {
  it('is minus the mean over all predicted tokens, with its derivative', async () => {
    const model = fusedModel(config, { workers: 0 });
    const { mask } = evaluation;
    const tokens = mask.reduce((a, b) => a + b);
    expect(tokens).toBeLessThan(mask.length); // some padding, else the two are the same
    const logProbs = await model.logProbs(params, evaluation);
    const perToken = await likelihoodObjective(model, evaluation, { per: 'token' }).valueAndGradient(params);
    expect(perToken.phi).toBeCloseTo(logProbs.reduce((a, b) => a + b) / tokens, 5);
    const perPosition = await objective.valueAndGradient(params);
    const ratio = mask.length / tokens;
    expect(flat(perToken.gradient)).toBeAllClose(
      flat(perPosition.gradient).map((x) => ratio * x),
      { rtol: 1e-5 },
    );
  });
});

describe('an evaluation set of texts', () => {
  const tokenizer = characterTokenizer('abc');
  const model = fusedModel({ ...config, vocab_size: tokenizer.vocabSize }, { workers: 0 });

  it('is a batch of their tokens, ended or not', () => {
    const [a, b, c] = tokenizer.encode('abc');
    expect(evaluationIds(tokenizer, ['ab', 'cba'])).toEqual([[a, b], [c, b, a]]); // prettier-ignore
    expect(evaluationIds(tokenizer, ['ab'], { ended: true })).toEqual([[a, b, tokenizer.eosId]]);
    const batch = evaluationBatch(model, evaluationIds(tokenizer, ['ab', 'cba']));
    expect([batch.size, batch.length, [...batch.mask]]).toEqual([2, 2, [1, 0, 1, 1]]);
  });

  it('names what is wrong with a text', () => {
    expect(() => evaluationIds(tokenizer, [])).toThrow('the evaluation set is empty');
    expect(() => evaluationIds(tokenizer, ['ab', 'a'])).toThrow('evaluation text 1: "a" is too short');
    expect(() => evaluationIds(tokenizer, ['ab', 'ca', 'abß'])).toThrow('evaluation text 2: "ß" (U+00DF) at position 2');
    expect(() => evaluationBatch(model, evaluationIds(tokenizer, ['abcabca']))).toThrow(
      '7 tokens, but the target only 5 positions',
    );
  });
});
