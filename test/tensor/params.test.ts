import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  cloneParams,
  countParams,
  disposeParams,
  globalNorm,
  mapParams,
  zerosLikeParams,
  type Params,
} from '../../src/tensor/params';
import { useBackend } from '../support/backend';
import { valuesOf } from '../support/tinyExperiment';

let params: Params;
let before: number;
beforeAll(() => useBackend('cpu'));
beforeEach(() => {
  params = { a: tf.tensor2d([1, 2, 3, 4], [2, 2]), b: tf.tensor1d([-2, 0, 4]) };
  before = tf.memory().numTensors;
});
const created = (): number => tf.memory().numTensors - before;

describe('trees of parameters', () => {
  it('map leaf by leaf, by name, without intermediate tensors', () => {
    const sum = mapParams((name, x, y) => tf.add(tf.mul(x, name === 'a' ? 10 : 1), tf.mul(y, 2)), params, params);
    expect(valuesOf(sum)).toEqual({ a: [12, 24, 36, 48], b: [-6, 0, 12] });
    expect(sum.a.shape).toEqual([2, 2]);
    expect(created()).toBe(2);
  });

  it('are matched by name, not by order', () => {
    const difference = mapParams((_, x, y) => tf.sub(x, y), params, { b: params.b, a: params.a });
    expect(valuesOf(difference)).toEqual({ a: [0, 0, 0, 0], b: [0, 0, 0] });
  });

  it('clone to a life of their own', () => {
    const copy = cloneParams(params);
    disposeParams(params);
    expect(valuesOf(copy)).toEqual({ a: [1, 2, 3, 4], b: [-2, 0, 4] });
    expect(created()).toBe(0);
  });

  it('have zeros of their shape, a size and a norm', () => {
    const zeros = zerosLikeParams(params);
    expect(valuesOf(zeros)).toEqual({ a: [0, 0, 0, 0], b: [0, 0, 0] });
    expect(zeros.a.shape).toEqual([2, 2]);
    expect(countParams(params)).toBe(7);
    expect(globalNorm(params)).toBeCloseTo(Math.sqrt(50), 5);
    expect(globalNorm({ ...params, c: tf.scalar(NaN) })).toBeNaN();
    expect(created()).toBe(3);
  });

  it('are freed together; null and undefined are nothing to free', () => {
    disposeParams(params, null, undefined, cloneParams(params));
    expect(created()).toBe(-2);
  });
});
