/** Every layer's four functions against float64: values, and finite differences of the values once and twice. */
import { describe, expect, it } from 'vitest';
import {
  attentionActivations,
  attentionBackward,
  attentionForward,
  attentionTangent,
  attentionTangentBackward,
} from '../../../src/model/fused/attention';
import {
  crossEntropyBackward,
  crossEntropyForward,
  crossEntropyTangent,
  crossEntropyTangentBackward,
  type LossRows,
} from '../../../src/model/fused/crossEntropy';
import {
  embeddingBackward,
  embeddingForward,
  embeddingTangent,
  embeddingTangentBackward,
} from '../../../src/model/fused/embedding';
import { geluBackward, geluForward, geluTangent, geluTangentBackward } from '../../../src/model/fused/gelu';
import {
  layerNormActivations,
  layerNormBackward,
  layerNormForward,
  layerNormTangent,
  layerNormTangentBackward,
} from '../../../src/model/fused/layerNorm';
import { linearBackward, linearForward, linearTangent, linearTangentBackward } from '../../../src/model/fused/linear';
import type { Pointer } from '../../../src/tensor/kernels/kernels';
import { relaxedSupported } from '../../../src/tensor/kernels/wasm/kernels';
import { randomStream } from '../../../src/tensor/random';
import { moved, numericalGradient, slope, slopes } from '../../oracles/differences';
import * as oracle from '../../oracles/gpt2Float64';
import type { Values } from '../../oracles/gpt2Float64';
import { kernelMemory, type KernelMemory } from '../../support/kernelMemory';

/** Arrays in, one array out, as float64 and as the fused engine has them. */
interface Layer {
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

const random = randomStream(3, 'layers');
const normal = (count: number, scale = 1): Values =>
  Float64Array.from({ length: count }, () => Math.fround(scale * random.normal()));
const dot = (a: Values, b: Values): number => a.reduce((sum, x, i) => sum + x * b[i], 0);

function checkLayer(memory: KernelMemory, layer: Layer): void {
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
  const expected = numericalGradient(directional, inputs, 2e-4);
  read(dxDot).forEach((values, i) => expect(values).toBeAllClose(expected[i], { rtol: 1e-5 }));
}

/** 15 rows: no multiple of the kernels' blocks. */
const [examples, length] = [3, 5];
const rows = examples * length;

function linear(memory: KernelMemory, inputs: number, outputs: number): Layer {
  const s = { k: memory.k, rows, inputs, outputs };
  const affine = ([, weight, bias]: readonly Pointer[]) => ({ weight, bias });
  const scratch = memory.room(rows * inputs);
  return {
    inputs: [normal(rows * inputs), normal(inputs * outputs), normal(outputs)],
    outputs: rows * outputs,
    reference: ([x, w, b]) => oracle.linear(x, w, b),
    forward: (x, y) => linearForward(s, affine(x), x[0], y),
    backward: (x, _y, dy, dx) => linearBackward(s, affine(x), affine(dx), x[0], dy, dx[0]),
    tangent: (x, xDot, y, yDot) => linearTangent(s, affine(x), affine(xDot), x[0], xDot[0], y, yDot),
    tangentBackward: (x, xDot, dy, dyDot, dxDot) =>
      linearTangentBackward(s, affine(x), affine(xDot), affine(dxDot), x[0], xDot[0], dy, dyDot, scratch, dxDot[0]),
  };
}

function layerNorm(memory: KernelMemory, width: number): Layer {
  const m = { k: memory.k, rows, width, epsilon: 0.01 };
  const affine = ([, weight, bias]: readonly Pointer[]) => ({ weight, bias });
  const [a, aDot] = [layerNormActivations(memory.arena, rows, width), layerNormActivations(memory.arena, rows, width)];
  return {
    inputs: [normal(rows * width), normal(width), normal(width)],
    outputs: rows * width,
    reference: ([x, gamma, beta]) => oracle.layerNorm(x, gamma, beta, m.epsilon),
    forward: (x, y) => layerNormForward(m, affine(x), x[0], { ...a, y }),
    backward: (x, _y, dy, dx) => layerNormBackward(m, affine(x), affine(dx), a, dy, dx[0]),
    tangent: (x, xDot, y, yDot) => layerNormTangent(m, affine(x), affine(xDot), x[0], xDot[0], { ...a, y }, { ...aDot, y: yDot }),
    tangentBackward: (x, xDot, dy, dyDot, dxDot) =>
      layerNormTangentBackward(
        m,
        affine(x),
        affine(xDot),
        affine(dxDot),
        a,
        aDot,
        dy,
        dyDot,
        memory.zeros(rows * width),
        dxDot[0],
      ),
  };
}

function gelu(memory: KernelMemory, n: number): Layer {
  const { k } = memory;
  const copy = (x: Pointer) => memory.put(memory.read(x, n)); // forwards x is replaced by the derivative
  let [derivative, derivativeDot]: Pointer[] = [];
  return {
    inputs: [normal(n, 2)],
    outputs: n,
    reference: ([x]) => oracle.gelu(x),
    forward: ([x], y) => geluForward(k, n, (derivative = copy(x)), y),
    backward: (_x, _y, dy, [dx]) => {
      geluBackward(k, n, derivative, dy); // in place
      k.columnSum(1, n, dy, dx);
    },
    tangent: ([x], [xDot], y, yDot) => geluTangent(k, n, (derivative = copy(x)), (derivativeDot = copy(xDot)), y, yDot),
    tangentBackward: (_x, _xDot, dy, dyDot, [dxDot]) => {
      geluTangentBackward(k, n, derivative, derivativeDot, dy, dyDot);
      k.columnSum(1, n, dyDot, dxDot);
    },
  };
}

function attention(memory: KernelMemory, positions: number, heads: number, width: number): Layer {
  const { k, arena } = memory;
  const count = examples * positions;
  const work = memory.room(k.attentionWorkFloats(positions, width / heads));
  const m = { k, examples, length: positions, rows: count, width, heads, vocab: 0, epsilon: 0, work };
  const [a, aDot] = [0, 1].map(() => attentionActivations(arena, examples, positions, width, heads));
  const unused = memory.room(3 * count * width);
  return {
    inputs: [normal(3 * count * width)],
    outputs: count * width,
    reference: ([qkv]) => oracle.attention(qkv, positions, heads, width),
    forward: ([qkv], out) => attentionForward(m, { ...a, qkv, out }),
    backward: ([qkv], _out, dout, [dqkv]) => attentionBackward(m, { ...a, qkv }, dout, dqkv),
    tangent: ([qkv], [qkvDot], out, outDot) => attentionTangent(m, { ...a, qkv, out }, { ...aDot, qkv: qkvDot, out: outDot }),
    tangentBackward: ([qkv], [qkvDot], dout, doutDot, [dqkvDot]) =>
      attentionTangentBackward(m, { ...a, qkv }, { ...aDot, qkv: qkvDot }, dout, doutDot, unused, dqkvDot),
  };
}

/** The LM head and the cross-entropy, every row weighing what its cotangent says; `limit` rows of logits at a time. */
function crossEntropy(memory: KernelMemory, width: number, vocab: number, limit: number): Layer {
  const targets = Array.from({ length: rows }, () => random.integer(vocab));
  const targetIds = memory.putIntegers(targets);
  const logits = { limit, at: memory.room(limit * vocab), dot: memory.room(limit * vocab) };
  const [unusedX, unusedValues] = [memory.room(rows * width), memory.room(rows)];
  const loss = (values: Pointer, weights: Pointer): LossRows => ({
    ...{ k: memory.k, rows, width, vocab, logits },
    ...{ targets: targetIds, weights, values },
  });
  const negative = (p: Pointer) => memory.put(memory.read(p, rows).map((v) => -v));
  return {
    inputs: [normal(rows * width), normal(vocab * width)],
    outputs: rows,
    reference: ([x, head]) => {
      const all = oracle.logSoftmax(oracle.project(x, head, width), vocab);
      return Float64Array.from(targets, (token, row) => -all[row * vocab + token]);
    },
    forward: ([x, head], y) => {
      const values = memory.room(rows);
      crossEntropyForward(loss(values, 0), head, x, 1);
      memory.k.zero(rows, y);
      memory.k.columnSum(1, rows, negative(values), y);
    },
    backward: ([x, head], _y, dy, [dx, dHead]) => crossEntropyBackward(loss(unusedValues, dy), head, dHead, x, dx),
    tangent: ([x, head], [xDot, headDot], _y, yDot) => crossEntropyTangent(loss(yDot, 0), head, headDot, x, xDot),
    tangentBackward: ([x, head], [xDot, headDot], dy, dyDot, [dxDot, dHeadDot]) => {
      crossEntropyTangentBackward(loss(unusedValues, dy), head, headDot, dHeadDot, x, xDot, unusedX, dxDot);
      const [x2, dHead2] = [memory.zeros(rows * width), memory.zeros(vocab * width)];
      // the engine's weights are constants, so the part that comes from their tangent is added here
      crossEntropyBackward(loss(unusedValues, dyDot), head, dHead2, x, x2);
      memory.k.columnSum(1, rows * width, x2, dxDot);
      memory.k.columnSum(1, vocab * width, dHead2, dHeadDot);
    },
  };
}

function embedding(memory: KernelMemory, width: number, vocab: number): Layer {
  const tokens = Array.from({ length: rows }, () => random.integer(vocab));
  const ids = memory.putIntegers(tokens);
  const m = { k: memory.k, examples, length, rows, width, heads: 1, vocab, epsilon: 0, work: 0 };
  const tables = ([wte, wpe]: readonly Pointer[]) => ({ wte, wpe });
  return {
    inputs: [normal(vocab * width), normal(length * width)],
    outputs: rows * width,
    reference: ([wte, wpe]) => oracle.embedding(wte, wpe, tokens, length, width),
    forward: (x, y) => embeddingForward(m, tables(x), ids, y),
    backward: (_x, _y, dy, dx) => embeddingBackward(m, tables(dx), ids, dy),
    tangent: (x, xDot, y, yDot) => embeddingTangent(m, tables(x), tables(xDot), ids, y, yDot),
    tangentBackward: (_x, _xDot, _dy, dyDot, dxDot) => embeddingTangentBackward(m, tables(dxDot), ids, dyDot),
  };
}

describe.each(relaxedSupported() ? [false, true] : [false])('values and derivatives, relaxed SIMD %s', (relaxed) => {
  const memory = kernelMemory(relaxed);
  it.each([
    [20, 60],
    [13, 7],
    [1, 9],
  ])('linear %i → %i', (inputs, outputs) => checkLayer(memory, linear(memory, inputs, outputs)));
  it.each([20, 7, 24])('layer norm of width %i', (width) => checkLayer(memory, layerNorm(memory, width)));
  it('gelu', () => checkLayer(memory, gelu(memory, 103)));
  it.each([
    [5, 2, 20],
    [9, 3, 24],
    [8, 1, 3],
    [1, 2, 4],
  ])('attention over %i positions, %i heads, width %i', (positions, heads, width) =>
    checkLayer(memory, attention(memory, positions, heads, width)),
  );
  it.each([
    [37, 15],
    [48, 4],
  ])('LM head and cross-entropy over %i tokens, %i rows of logits at a time', (vocab, limit) =>
    checkLayer(memory, crossEntropy(memory, 10, vocab, limit)),
  );
  it('embedding', () => checkLayer(memory, embedding(memory, 10, 7)));
});

it('gelu keeps its derivatives finite far from zero', () => {
  const memory = kernelMemory();
  const [x, ones] = [
    [-1e4, -30, 30, 1e4],
    [1, 1, 1, 1],
  ].map(memory.put);
  geluTangent(memory.k, 4, x, ones, memory.room(4), memory.room(4));
  expect([...memory.read(x, 4)]).toEqual([0, 0, 1, 1].map((v): unknown => expect.closeTo(v, 6)));
  expect([...memory.read(ones, 4)]).toEqual([0, 0, 0, 0].map((v): unknown => expect.closeTo(v, 6)));
});
