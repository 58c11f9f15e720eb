import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { valueAndGradient, type Objective } from '../../src/learn/objective';
import { disposeParams, type Params } from '../../src/tensor/params';
import { useBackend } from '../support/backend';

let params: Params;
beforeAll(async () => {
  await useBackend('cpu');
  params = { a: tf.tensor1d([1, -2, 3]), b: tf.scalar(2), c: tf.zeros([2, 2]) };
});

describe('an objective', () => {
  it('gives its value and its gradient, zero where it does not look', async () => {
    const before = tf.memory().numTensors;
    const { phi, gradient } = await valueAndGradient(({ a, b }) => tf.mul(b, tf.sum(tf.square(a))), params);
    expect(phi).toBe(28);
    expect(Object.keys(gradient)).toEqual(['a', 'b', 'c']);
    expect([...gradient.a.dataSync()]).toEqual([4, -8, 12]);
    expect([...gradient.b.dataSync()]).toEqual([14]);
    expect([...gradient.c.dataSync()]).toEqual([0, 0, 0, 0]);
    disposeParams(gradient);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('may read a parameter that its value does not depend on, and return one number of any shape', async () => {
    const { phi, gradient } = await valueAndGradient(({ a, c }) => tf.add(tf.sum(a, 0, true), tf.mul(0, c.shape[0])), params);
    expect(phi).toBe(2);
    expect([...gradient.c.dataSync()]).toEqual([0, 0, 0, 0]);
    disposeParams(gradient);
  });

  it.each<[string, Objective, string]>([
    ['is NaN', ({ a }) => tf.mean(tf.log(a)), 'the objective returned NaN; check logarithms'],
    ['is infinite', ({ a, b }) => tf.div(tf.sum(a), tf.sub(b, 2)), 'the objective returned Infinity'],
    ['is no scalar', ({ a }) => tf.square(a), 'must return one number (got a tensor of shape [3])'],
    ['is no tensor', (({ a }: Params) => a.size) as unknown as Objective, 'must return one number (got number)'],
    ['reads no parameter', () => tf.scalar(1), 'does not depend on the parameters: it reads none of them'],
    ['is cut off from them', ({ a }) => tf.scalar(a.dataSync()[0]), 'does not depend on the parameters: no gradient reaches'],
    [
      'reads an unknown one',
      (p) => tf.sum(p['lm_head.wieght']),
      'reads "lm_head.wieght", which is no parameter of this model; there are a, b, c',
    ],
    [
      'has no finite gradient',
      ({ a, c }) => tf.add(tf.sum(a), tf.sum(tf.sqrt(c))),
      'the objective\'s derivatives with respect to "c" hold Infinity (number 0 of 4)',
    ],
    [
      'computes NaN with its own gradient',
      { valueAndGradient: async () => ({ phi: NaN, gradient: {} }) },
      'the objective returned NaN',
    ],
    [
      'has no finite gradient of its own',
      { valueAndGradient: async () => ({ phi: 1, gradient: { a: tf.tensor1d([0, NaN, 0]) } }) },
      'the objective\'s derivatives with respect to "a" hold NaN (number 1 of 3)',
    ],
  ])('that %s is refused', async (_, objective, message) => {
    const before = tf.memory().numTensors;
    await expect(valueAndGradient(objective, params)).rejects.toThrow(message);
    expect(tf.memory().numTensors).toBeLessThanOrEqual(before); // fewer where a case made its own when it was listed
  });

  it.each([
    ['that are not finite', NaN, 'the objective: the weights "a" hold NaN (number 1 of 3)'],
    ['that exploded', 1e30, 'the fine-tuning has exploded, its largest weight is 1.0e+30: lower the inner learning rate'],
  ])('of weights %s says so, and not that its logarithms are wrong', async (_, value, message) => {
    const weights = { a: tf.tensor1d([1, value, 3]) };
    await expect(valueAndGradient(({ a }) => tf.sum(tf.square(a)), weights)).rejects.toThrow(message);
    disposeParams(weights);
  });
});
