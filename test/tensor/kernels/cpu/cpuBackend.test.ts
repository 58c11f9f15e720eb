/** Our loops on tfjs's `cpu` backend against its own kernels: the same bits, shapes and types. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { installCpuKernels } from '../../../../src/tensor/kernels/cpu/cpuBackend';
import { randomStream } from '../../../../src/tensor/random';

const random = randomStream(4, 'cpu backend');
const normal = (shape: number[]) =>
  tf.tensor(
    Array.from({ length: tf.util.sizeFromShape(shape) }, () => random.normal()),
    shape,
  );
function operands(): Record<string, [tf.Tensor, tf.Tensor]> {
  const integers = tf.tensor([[3, -4, 5]], [1, 3], 'int32');
  const odd = tf.tensor([NaN, Infinity, -Infinity, 0, -0, 1e-45, 3e38]);

  return {
    'equal shapes': [normal([5, 3]), normal([5, 3])],
    'a number on the right': [normal([5, 3]), tf.scalar(0.1)],
    'a number on the left': [tf.scalar(0.1), normal([5, 3])],
    'two numbers': [tf.scalar(0.1), tf.scalar(0.2)],
    'a row for all': [normal([5, 3]), normal([3])],
    'one element and many': [normal([1]), normal([4])],
    'equally many, in other shapes': [normal([1, 4]), normal([4])],
    integers: [integers, integers],
    'integers and floats': [integers, normal([1, 3])],
    'nothing at all': [normal([0, 3]), normal([0, 3])],
    'what is hardly a number': [odd, tf.reverse(odd)],
  };
}

const operations = { add: tf.add, sub: tf.sub, mul: tf.mul };

const seen = (x: tf.Tensor) => ({ values: x.dataSync(), shape: x.shape, dtype: x.dtype });
const all = (pairs: ReturnType<typeof operands>): object => ({
  ...Object.fromEntries(
    Object.entries(pairs).flatMap(([what, [a, b]]) =>
      Object.entries(operations).map(([name, operation]) => [`${name}: ${what}`, seen(operation(a, b))]),
    ),
  ),
  ...Object.fromEntries(Object.entries(pairs).map(([what, [a]]) => [`square: ${what}`, seen(tf.square(a))])),
});

describe('elementwise', () => {
  let [before, pairs]: [object, ReturnType<typeof operands>] = [{}, {}];
  beforeAll(async () => {
    await tf.setBackend('cpu'); // as tfjs has it
    pairs = operands();
    before = all(pairs);
    expect(tf.getKernel('AdamwUpdate', 'cpu')).toBeUndefined(); // none of ours yet
    installCpuKernels();
    installCpuKernels(); // a second time: no harm
  });

  it('is what it was', () => {
    expect(tf.getKernel('AdamwUpdate', 'cpu')).toBeDefined();
    expect(all(pairs)).toEqual(before);
  });
});

it('leaves gradients, complex numbers and shapes that do not fit to tfjs', () => {
  const x = tf.scalar(3);
  expect(
    tf
      .grad((y: tf.Tensor) => tf.mul(tf.add(y, 1), y))(x)
      .dataSync()[0],
  ).toBe(7);
  const i = tf.complex(0, 1);
  expect(Array.from(tf.mul(i, i).dataSync())).toEqual([-1, 0]);
  expect(() => tf.add(normal([2]), normal([3]))).toThrow(/broadcast/);
});
