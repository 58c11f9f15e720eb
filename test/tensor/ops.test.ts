/** First and second derivatives of every op, against central differences of plain float64 implementations. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import * as ops from '../../src/tensor/ops';
import { randomStream } from '../../src/tensor/random';
import { useBackend } from '../support/backend';

type Matrix = number[][];

const softmaxRow = (row: number[]): number[] => {
  const max = Math.max(...row);
  const e = row.map((x) => Math.exp(x - max));
  const sum = e.reduce((a, b) => a + b);
  return e.map((x) => x / sum);
};
const product = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => b[0].map((_, j) => row.reduce((sum, x, k) => sum + x * b[k][j], 0)));
const transposed = (a: Matrix): Matrix => a[0].map((_, j) => a.map((row) => row[j]));
const normalized = (row: number[], weight: number[], bias: number[]): number[] => {
  const mean = row.reduce((a, b) => a + b) / row.length;
  const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / row.length;
  return row.map((x, i) => ((x - mean) / Math.sqrt(variance + 1e-5)) * weight[i] + bias[i]);
};
const toMatrix = (flat: ArrayLike<number>, columns: number): Matrix =>
  Array.from({ length: flat.length / columns }, (_, i) => Array.from(flat).slice(i * columns, (i + 1) * columns));
const elementwise = (f: (x: number) => number) => (x: number[]) => x.map(f);
const rowwise = (f: (row: number[]) => number[]) => (x: number[]) => toMatrix(x, 5).flatMap(f);
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

const WEIGHT = toMatrix(
  randomStream(3, 'weight')
    .uniforms(25)
    .map((x) => x - 0.5),
  5,
);
const BIAS = [0.1, -0.2, 0.3, 0.05, -0.4];
const LABELS = [0, 3, 4, 1];

/** Causal attention of 4 positions with the three inputs side by side, 4 × (2 + 2 + 1) numbers. */
function attentionOracle(x: number[]): number[] {
  const rows = toMatrix(x, 5);
  const [q, k, v] = [rows.map((r) => r.slice(0, 2)), rows.map((r) => r.slice(2, 4)), rows.map((r) => [r[4], 2 * r[4]])];
  const scores = product(q, transposed(k)).map((row, i) => row.map((s, j) => (j > i ? -1e9 : s / Math.sqrt(2))));
  return product(scores.map(softmaxRow), v).flat();
}
function attentionOp(x: tf.Tensor): tf.Tensor {
  const part = (from: number, width: number) =>
    tf.reshape(tf.slice(x as tf.Tensor2D, [0, from], [4, width]), [1, 1, 4, width]) as tf.Tensor4D;
  const value = tf.concat([part(4, 1), tf.mul(part(4, 1), 2)], 3) as tf.Tensor4D;
  return ops.attention(part(0, 2), part(2, 2), value, ops.causalMask(4, 4));
}

/** Every op on a 4 × 5 input, beside its float64 twin. */
const cases: [name: string, op: (x: tf.Tensor) => tf.Tensor, oracle: (x: number[]) => number[]][] = [
  ['exp', ops.exp, elementwise(Math.exp)],
  ['sigmoid', ops.sigmoid, elementwise(sigmoid)],
  ['softplus', ops.softplus, elementwise((x) => Math.log1p(Math.exp(x)))],
  ['tanh', ops.tanh, elementwise(Math.tanh)],
  ['gelu', ops.gelu, elementwise((x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))))],
  ['softmax', ops.softmax, rowwise(softmaxRow)],
  ['logSoftmax', ops.logSoftmax, rowwise((row) => softmaxRow(row).map(Math.log))],
  [
    'layerNorm',
    (x) => ops.layerNorm(x, tf.tensor1d(WEIGHT[0]), tf.tensor1d(BIAS), 1e-5),
    rowwise((row) => normalized(row, WEIGHT[0], BIAS)),
  ],
  ['silu', ops.silu, elementwise((x) => x * sigmoid(x))],
  [
    'rmsNorm',
    (x) => ops.rmsNorm(x, tf.tensor1d(WEIGHT[0]), 1e-5),
    rowwise((row) => row.map((v, i) => (WEIGHT[0][i] * v) / Math.sqrt(row.reduce((sum, u) => sum + u * u, 0) / 5 + 1e-5))),
  ],
  [
    'project',
    (x) => ops.project(tf.mul(x, x) as tf.Tensor2D, tf.tensor2d(WEIGHT)),
    rowwise((row) => product([row.map((v) => v * v)], transposed(WEIGHT))[0]),
  ],
  [
    'linear',
    (x) => ops.linear(tf.mul(x, x) as tf.Tensor2D, tf.tensor2d(WEIGHT), tf.tensor1d(BIAS)),
    rowwise((row) => product([row.map((v) => v * v)], WEIGHT)[0].map((v, i) => v + BIAS[i])),
  ],
  [
    'embed',
    (x) => ops.embed(Int32Array.from([2, 2, 0]), tf.square(x) as tf.Tensor2D),
    (x) => [2, 2, 0].flatMap((i) => toMatrix(x, 5)[i].map((v) => v * v)),
  ],
  [
    'sum over the rows',
    (x) => tf.sum(tf.mul(x, tf.square(x)), 0),
    (x) => transposed(toMatrix(x, 5)).map((column) => column.reduce((sum, v) => sum + v ** 3, 0)),
  ],
  ['attention', attentionOp, attentionOracle],
  [
    'crossEntropy',
    (x) => ops.crossEntropy(x as tf.Tensor2D, ops.oneHotRows(Int32Array.from(LABELS), 5)),
    (x) => toMatrix(x, 5).map((row, i) => -Math.log(softmaxRow(row)[LABELS[i]])),
  ],
];

const random = randomStream(1, 'ops');
const X = Array.from({ length: 20 }, () => Math.fround(1.5 * random.normal()));
const DIRECTION = Array.from({ length: 20 }, () => Math.fround(random.normal()));
const coefficients = (n: number): number[] => Array.from({ length: n }, (_, i) => Math.fround(Math.sin(1 + i * 1.7)));
const shifted = (x: number[], direction: number[], by: number): number[] => x.map((v, i) => v + by * direction[i]);
const unit = (i: number): number[] => X.map((_, j) => (i === j ? 1 : 0));

describe.each(['cpu', 'wasm'])('derivatives on %s', (backend) => {
  beforeAll(async () => {
    await useBackend(backend);
  });

  it.each(cases)('%s', (_, op, oracle) => {
    const c = coefficients(oracle(X).length);
    const scalar = (x: number[]): number => oracle(x).reduce((sum, y, i) => sum + c[i] * y, 0);
    const h = 1e-3;
    const expectedGradient = X.map((_, i) => (scalar(shifted(X, unit(i), h)) - scalar(shifted(X, unit(i), -h))) / (2 * h));
    const slope = (x: number[]): number => (scalar(shifted(x, DIRECTION, h)) - scalar(shifted(x, DIRECTION, -h))) / (2 * h);
    const expectedHvp = X.map((_, i) => (slope(shifted(X, unit(i), h)) - slope(shifted(X, unit(i), -h))) / (2 * h));

    const s = (x: tf.Tensor): tf.Scalar => tf.sum(tf.mul(tf.reshape(op(x), [-1]), tf.tensor1d(c)));
    const x = tf.tensor2d(X, [4, 5]);
    const gradient = tf.tidy(() => tf.grad(s)(x).dataSync());
    const hvp = tf.tidy(() =>
      tf
        .grad((y) => tf.sum(tf.mul(tf.grad(s)(y), tf.tensor2d(DIRECTION, [4, 5]))))(x)
        .dataSync(),
    );
    expect(gradient).toBeAllClose(expectedGradient, { rtol: 2e-3 });
    expect(hvp).toBeAllClose(expectedHvp, { rtol: 2e-3 });
    x.dispose();
  });

  it('the gradient of a sum is made by the backend', () => {
    const x = tf.zeros([30, 40]);
    const sent = vi.spyOn(tf.backend(), 'write');
    const gradient = tf.tidy(() =>
      tf
        .grad((y) => tf.sum(y))(x)
        .dataSync(),
    );
    expect(gradient).toEqual(new Float32Array(1200).fill(1));
    if (backend === 'wasm') expect(sent.mock.calls.filter(([values]) => values && values.length > 1)).toEqual([]); // on cpu everything is written
    sent.mockRestore();
    x.dispose();
  });

  it.each([[-1], [4]])('embed refuses the id %s, where backends would read other memory', (id) => {
    const table = tf.zeros<tf.Rank.R2>([4, 3]);
    expect(() => ops.embed(Int32Array.from([2, id]), table)).toThrow(`token ${id} is outside the vocabulary of 4`);
  });
});
