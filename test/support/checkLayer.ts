/** One layer's four functions against float64: values, and finite differences of the values once and twice. */
import { expect } from 'vitest';
import type { Layers } from '../../src/model/families/layers';
import type { Pointer } from '../../src/tensor/kernels/kernels';
import { randomStream } from '../../src/tensor/random';
import { moved, numericalGradient, slope, slopes } from '../oracles/differences';
import type { Values } from '../oracles/gpt2Float64';
import type { KernelMemory } from './kernelMemory';

/** Arrays in, one array out, as float64 and as the fused engine has them. */
export interface Layer {
  readonly inputs: readonly Values[];
  readonly outputs: number;
  readonly reference: (inputs: readonly Values[]) => Values;
  forward(x: readonly Pointer[], y: Pointer): void;
  /** Cotangents of every input, added to (zeroed) dx. */
  backward(x: readonly Pointer[], y: Pointer, dy: Pointer, dx: readonly Pointer[]): void;
  tangent(x: readonly Pointer[], xDot: readonly Pointer[], y: Pointer, yDot: Pointer): void;
  /** Tangents of every input's cotangent, added to (zeroed) dxDot. */
  tangentBackward(x: readonly Pointer[], xDot: readonly Pointer[], dy: Pointer, dyDot: Pointer, dxDot: readonly Pointer[]): void;
}

const NO_LAYERS: Layers = {
  vocab_size: 0,
  n_positions: 0,
  n_embd: 0,
  n_layer: 0,
  n_head: 0,
  shapes: {},
  keyHeads: 0,
  headWidth: 0,
  inner: 0,
  norm: { centre: true, epsilon: 0 },
  activation: 'gelu',
  transposed: false,
  tokens: '',
  blocks: '',
  norm1: '',
  qkv: [],
  projection: '',
  norm2: '',
  expand: [],
  contract: '',
  normF: '',
};

/** Layers of a model as far as attention needs them. */
export const layersOf = (sizes: Partial<Layers>): Layers => ({ ...NO_LAYERS, ...sizes });

export const random = randomStream(3, 'layers');
export const normal = (count: number, scale = 1): Values =>
  Float64Array.from({ length: count }, () => Math.fround(scale * random.normal()));
const dot = (a: Values, b: Values): number => a.reduce((sum, x, i) => sum + x * b[i], 0);

/** At most 64 different indices: each costs four values of the whole layer at the second derivative. */
function sample(length: number): number[] {
  const order = Array.from({ length }, (_, i) => ({ i, key: random.uniform() }));
  return order.sort((a, b) => a.key - b.key).slice(0, 64).map(({ i }) => i); // prettier-ignore
}

export function checkLayer(memory: KernelMemory, layer: Layer): void {
  const { inputs, outputs, reference } = layer;
  const inputsDot = inputs.map((x) => normal(x.length));
  const [dy, dyDot] = [normal(outputs), normal(outputs)];
  const [x, xDot] = [inputs.map(memory.put), inputsDot.map(memory.put)];
  const zeros = () => inputs.map(({ length }) => memory.zeros(length));
  const read = (pointers: Pointer[]) => pointers.map((p, i) => memory.read(p, inputs[i].length));

  const y = memory.room(outputs);
  layer.forward(x, y);
  expect(memory.read(y, outputs)).toBeAllClose(reference(inputs), { rtol: 2e-6 });

  const dx = zeros();
  layer.backward(x, y, memory.put(dy), dx);
  const gradient = numericalGradient((at) => dot(dy, reference(at)), inputs);
  read(dx).forEach((values, i) => expect(values).toBeAllClose(gradient[i], { rtol: 1e-5 }));

  const yDot = memory.room(outputs);
  layer.tangent(x, xDot, memory.room(outputs), yDot);
  expect(memory.read(yDot, outputs)).toBeAllClose(
    slopes((h) => reference(moved(inputs, inputsDot, h))),
    { rtol: 1e-5 },
  );

  const dxDot = zeros();
  layer.tangentBackward(x, xDot, memory.put(dy), memory.put(dyDot), dxDot);
  const directional = (at: Values[]) => slope((h) => dot(moved([dy], [dyDot], h)[0], reference(moved(at, inputsDot, h))), 2e-4);
  // all entries at once, by their sum with random weights; then some of them one by one
  const weights = inputs.map((values) => normal(values.length, 1 / Math.sqrt(values.length)));
  const sums = read(dxDot).map((values, i) => dot(weights[i], Float64Array.from(values)));
  const expectedSums = inputs.map((_, i) => {
    const direction = inputs.map((values, j) => (i === j ? weights[i] : new Float64Array(values.length)));
    return slope((h) => directional(moved(inputs, direction, h)), 2e-4);
  });
  const sizes = read(dxDot).map((values) => Math.hypot(...values));
  sums.forEach((sum, i) => expect(Math.abs(sum - expectedSums[i])).toBeLessThanOrEqual(1e-5 * sizes[i]));

  const chosen = inputs.map(({ length }) => sample(length));
  const expected = numericalGradient(directional, inputs, 2e-4, chosen);
  const entries = (values: ArrayLike<number>, i: number): Values => Float64Array.from(chosen[i], (j) => values[j]);
  read(dxDot).forEach((values, i) => expect(entries(values, i)).toBeAllClose(entries(expected[i], i), { rtol: 1e-5 }));
}

/** 15 rows: no multiple of the kernels' blocks. */
export const [examples, length] = [3, 5];
export const rows = examples * length;

export const rootMeanSquareNorm = (x: Values, gain: Values, epsilon: number): Values =>
  x.map((v, i) => {
    const start = i - (i % gain.length);
    const meanSquare = x.subarray(start, start + gain.length).reduce((sum, u) => sum + u * u, 0) / gain.length;
    return (v / Math.sqrt(meanSquare + epsilon)) * gain[i % gain.length];
  });
