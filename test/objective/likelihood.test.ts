import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { fusedGpt2 } from '../../src/model/fused';
import { likelihoodObjective } from '../../src/objective/likelihood';
import { disposeParams, mapParams, type Params } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { numericalGradient } from '../oracles/differences';
import { gpt2Loss, type NamedValues } from '../oracles/gpt2Float64';
import { useBackend } from '../support/backend';
import { flat, randomBatch, randomValues, toParams } from '../support/randomGpt2';

const config = { vocab_size: 5, n_positions: 5, n_embd: 4, n_layer: 1, n_head: 1, layer_norm_epsilon: 1e-5 };
const random = randomStream(1, 'likelihood');
const values = randomValues(config, random, 0.5);
const evaluation = randomBatch(config, random, 3, 5);
const objective = likelihoodObjective(fusedGpt2(config, { workers: 0 }), evaluation);
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
