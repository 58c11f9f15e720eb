/** What happens to the heads of queries and keys before they attend, against float64. */
import { describe, it } from 'vitest';
import { dual } from '../../../src/model/fused/dual';
import {
  headNormActivations,
  headNormBackward,
  headNormForward,
  headNormTangent,
  headNormTangentBackward,
} from '../../../src/model/fused/headNorm';
import { headRows, writeHeadRows } from '../../../src/model/fused/headRows';
import { rotaryTables, rotateBackward, rotateForward, writeRotaryTables } from '../../../src/model/fused/rotary';
import type { Pointer } from '../../../src/tensor/kernels/kernels';
import { relaxedSupported } from '../../../src/tensor/kernels/wasm/kernels';
import { checkLayer, examples, layersOf, length, normal, rootMeanSquareNorm, rows, type Layer } from '../../support/checkLayer';
import { kernelMemory, type KernelMemory } from '../../support/kernelMemory';

/** Queries and keys of qkv are rotated in place, beginning at position 3; values are not. */
function rotation(memory: KernelMemory, headWidth: number): Layer {
  const { k, arena } = memory;
  const first = 3;
  const rotary = Array.from({ length: headWidth / 2 }, (_, pair) => 0.7 / (1 + pair));
  const layers = layersOf({ n_head: 2, keyHeads: 1, headWidth, rotary });
  const tables = rotaryTables(arena, layers, first + length);
  writeRotaryTables(memory, layers, tables, first + length);
  const s = { k, rows, length, first, layers, rotary: tables };
  const [columns, half] = [4 * headWidth, headWidth / 2];
  const n = rows * columns;
  const copy = (from: Pointer, to: Pointer) => (k.zero(n, to), k.columnSum(1, n, n, from, to));
  const forward = (x: Pointer, y: Pointer) => (copy(x, y), rotateForward(s, y));
  const backward = (dy: Pointer, dx: Pointer) => (copy(dy, dx), rotateBackward(s, dx));
  return {
    inputs: [normal(n)],
    outputs: n,
    reference: ([x]) =>
      x.map((v, i) => {
        const [row, column] = [Math.floor(i / columns), i % columns];
        if (column >= 3 * headWidth) return v;
        const angle = (first + (row % length)) * rotary[(column % headWidth) % half];
        const other = column % headWidth < half ? -x[i + half] : x[i - half];
        return v * Math.cos(angle) + other * Math.sin(angle);
      }),
    forward: ([x], y) => forward(x, y),
    backward: (_x, _y, dy, [dx]) => backward(dy, dx),
    tangent: ([x], [xDot], y, yDot) => (forward(x, y), forward(xDot, yDot)),
    tangentBackward: (_x, _xDot, _dy, dyDot, [dxDot]) => backward(dyDot, dxDot),
  };
}

/** Every head of queries and keys of qkv is normalized in place. */
function headNorm(memory: KernelMemory, headWidth: number): Layer {
  const { k, arena } = memory;
  const layers = layersOf({ n_head: 3, keyHeads: 1, headWidth, norm: { centre: false, epsilon: 0.01 } });
  const heads = headRows(arena, layers, rows);
  writeHeadRows(memory, layers, heads, rows);
  const m = { k, layers, examples, length, first: 0, rows, work: 0, rotary: { cos: 0, sin: 0 }, heads };
  const a = dual(() => headNormActivations(arena, layers, rows));
  const [columns, n] = [5 * headWidth, rows * 5 * headWidth];
  const norms = ([, queries, keys]: readonly Pointer[]) => ({
    queries: { weight: queries, bias: 0 },
    keys: { weight: keys, bias: 0 },
  });
  const copy = (from: Pointer, to: Pointer) => (k.zero(n, to), k.columnSum(1, n, n, from, to), to);
  return {
    inputs: [normal(n), normal(headWidth), normal(headWidth)],
    outputs: n,
    reference: ([x, queries, keys]) => {
      const [ofQueries, ofKeys] = [queries, keys].map((gain) => rootMeanSquareNorm(x, gain, 0.01));
      return x.map((v, i) => [ofQueries[i], ofQueries[i], ofQueries[i], ofKeys[i], v][Math.floor((i % columns) / headWidth)]);
    },
    forward: (x, y) => headNormForward(m, norms(x), a.value, copy(x[0], y)),
    backward: (x, _y, dy, dx) => headNormBackward(m, norms(x), norms(dx), a.value, copy(dy, dx[0])),
    tangent: (x, xDot, y, yDot) =>
      headNormTangent(m, { value: norms(x), dot: norms(xDot) }, a, { value: copy(x[0], y), dot: copy(xDot[0], yDot) }),
    tangentBackward: (x, xDot, dy, dyDot, dxDot) =>
      headNormTangentBackward(m, { value: norms(x), dot: norms(xDot) }, norms(dxDot), a, {
        value: dy,
        dot: copy(dyDot, dxDot[0]),
      }),
  };
}

describe.each(relaxedSupported() ? [false, true] : [false])('values and derivatives, relaxed SIMD %s', (relaxed) => {
  const memory = kernelMemory(relaxed);
  it.each([2, 10])('rotation of heads of width %i', (headWidth) => checkLayer(memory, rotation(memory, headWidth)));
  it.each([3, 4])('norms of heads of width %i', (headWidth) => checkLayer(memory, headNorm(memory, headWidth)));
});
