/** Matrix products of all strides and sizes against plain loops. */
import { describe, expect, it } from 'vitest';
import { loadKernels, relaxedSupported } from '../../../../src/tensor/kernels/wasm/kernels';
import { randomStream } from '../../../../src/tensor/random';
import { kernelMemory } from '../../../support/kernelMemory';

const random = randomStream(7, 'gemm');
const normal = (count: number) => Float32Array.from({ length: count }, () => random.normal());

/** Sizes around the register blocks (5 × 8 and 4 × 8), the depth of a block (256) and its columns (512). */
const sizes = [
  [1, 1, 1],
  [3, 7, 5],
  [4, 8, 256],
  [5, 9, 257],
  [67, 20, 60],
  [6, 530, 300],
];

describe.each(relaxedSupported() ? [false, true] : [false])('gemm, relaxed SIMD %s', (relaxed) => {
  const memory = kernelMemory(relaxed);
  it.each(sizes)('%i × %i, depth %i: every transpose, with bias and accumulation', (m, n, k) => {
    const [a, b, bias, before] = [normal(m * k), normal(k * n), normal(n), normal(m * (n + 3))];
    const [aAt, bAt, biasAt] = [a, b, bias].map(memory.put);
    for (const [aRow, aColumn] of [
      [k, 1],
      [1, m],
    ]) {
      for (const [bRow, bColumn] of [
        [n, 1],
        [1, k],
      ]) {
        for (const [withBias, accumulate] of [
          [false, false],
          [true, false],
          [true, true],
        ]) {
          const c = memory.put(before);
          memory.k.gemm(m, n, k, aAt, aRow, aColumn, bAt, bRow, bColumn, c, n + 3, withBias ? biasAt : 0, accumulate);
          const expected = Float64Array.from(before, (old, at) => {
            const [i, j] = [Math.floor(at / (n + 3)), at % (n + 3)];
            if (j >= n) return old; // outside the matrix: untouched
            let sum = (withBias ? bias[j] : 0) + (accumulate ? old : 0);
            for (let p = 0; p < k; p++) sum += a[i * aRow + p * aColumn] * b[p * bRow + j * bColumn];
            return sum;
          });
          expect(memory.read(c, before.length)).toBeAllClose(expected, { rtol: 1e-6 });
        }
      }
    }
  });

  it('gives a row the same bits wherever it stands', () => {
    const [k, n] = [70, 19];
    const [a, b] = [normal(14 * k), normal(k * n)];
    const bAt = memory.put(b);
    const rows = (from: number, count: number) => {
      const c = memory.room(count * n);
      memory.k.gemm(count, n, k, memory.put(a.subarray(from * k, (from + count) * k)), k, 1, bAt, n, 1, c, n, 0, false);
      return memory.read(c, count * n);
    };
    const all = rows(0, 14); // two fives and a four
    for (const [from, count] of [
      [0, 1],
      [2, 4],
      [5, 2],
      [7, 5],
    ])
      expect(rows(from, count)).toEqual(all.slice(from * n, (from + count) * n));
  });
});

it('touches no memory when it is instantiated, so it can live on the heap of another', () => {
  const memory = new WebAssembly.Memory({ initial: 1 });
  new Uint8Array(memory.buffer).fill(7);
  loadKernels(memory, false);
  expect(new Uint8Array(memory.buffer).every((byte) => byte === 7)).toBe(true);
});

it.each([
  [1, 1],
  [5, 3],
  [37, 70],
  [64, 32],
])('transposes %i × %i', (rows, columns) => {
  const memory = kernelMemory();
  const x = normal(rows * columns);
  const y = memory.room(x.length);
  memory.k.transpose(rows, columns, memory.put(x), y);
  expect(memory.read(y, x.length)).toEqual(Float32Array.from(x, (_, at) => x[(at % rows) * columns + Math.floor(at / rows)]));
});
