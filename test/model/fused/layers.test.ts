/** Every layer's four functions against float64: values, and finite differences of the values once and twice. */
import { describe, expect, it } from 'vitest';
import {
  attentionActivations,
  attentionBackward,
  attentionColumns,
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
import { ACTIVATIONS } from '../../../src/model/fused/activation';
import { dual } from '../../../src/model/fused/dual';
import { normActivations, normBackward, normForward, normTangent, normTangentBackward } from '../../../src/model/fused/norm';
import type { Linear } from '../../../src/model/fused/layout';
import { linearBackward, linearForward, linearTangent, linearTangentBackward } from '../../../src/model/fused/linear';
import type { Pointer } from '../../../src/tensor/kernels/kernels';
import { relaxedSupported } from '../../../src/tensor/kernels/wasm/kernels';
import type { Layers } from '../../../src/model/families/layers';
import * as oracle from '../../oracles/gpt2Float64';
import type { Values } from '../../oracles/gpt2Float64';
import {
  checkLayer,
  examples,
  layersOf,
  length,
  normal,
  random,
  rootMeanSquareNorm,
  rows,
  type Layer,
} from '../../support/checkLayer';
import { kernelMemory, type KernelMemory } from '../../support/kernelMemory';

/** The parts of a linear layer (or of its gradient) among a layer's inputs after x: weight and bias of each. */
const partsOf = ([, ...parameters]: readonly Pointer[]): Linear =>
  parameters.flatMap((weight, i) => (i % 2 === 0 ? [{ weight, bias: parameters[i + 1] }] : []));

function linear(memory: KernelMemory, inputs: number, outputs: number[], transposed = false): Layer {
  const s = { k: memory.k, rows, inputs, outputs, transposed };
  const scratch = memory.room(rows * inputs);
  const total = outputs.reduce((a, b) => a + b);
  const untransposed = (w: Values, columns: number) =>
    transposed ? w.map((_, i) => w[(i % columns) * inputs + Math.floor(i / columns)]) : w;
  return {
    inputs: [normal(rows * inputs), ...outputs.flatMap((columns) => [normal(inputs * columns), normal(columns)])],
    outputs: rows * total,
    reference([x, ...parameters]) {
      const parts = outputs.map((columns, i) =>
        oracle.linear(x, untransposed(parameters[2 * i], columns), parameters[2 * i + 1]),
      );
      const row = (n: number) => parts.flatMap((y, i) => [...y.subarray(n * outputs[i], (n + 1) * outputs[i])]);
      return Float64Array.from(Array.from({ length: rows }, (_, n) => row(n)).flat());
    },
    forward: (x, y) => linearForward(s, partsOf(x), x[0], y),
    backward: (x, _y, dy, dx) => linearBackward(s, partsOf(x), partsOf(dx), x[0], dy, dx[0]),
    tangent: (x, xDot, y, yDot) =>
      linearTangent(s, { value: partsOf(x), dot: partsOf(xDot) }, { value: x[0], dot: xDot[0] }, { value: y, dot: yDot }),
    tangentBackward: (x, xDot, dy, dyDot, dxDot) =>
      linearTangentBackward(
        s,
        { value: partsOf(x), dot: partsOf(xDot) },
        partsOf(dxDot),
        { value: x[0], dot: xDot[0] },
        { value: dy, dot: dyDot },
        { value: scratch, dot: dxDot[0] },
      ),
  };
}

/** Layer norm, or RMSNorm, which has no bias. */
function norm(memory: KernelMemory, width: number, centre: boolean): Layer {
  const s = { k: memory.k, rows, width, norm: { centre, epsilon: 0.01 } };
  const affine = ([, weight, bias = 0]: readonly Pointer[]) => ({ weight, bias });
  const a = dual(() => normActivations(memory.arena, rows, width));
  return {
    inputs: [normal(rows * width), normal(width), ...(centre ? [normal(width)] : [])],
    outputs: rows * width,
    reference: ([x, gamma, beta]) =>
      centre ? oracle.layerNorm(x, gamma, beta, s.norm.epsilon) : rootMeanSquareNorm(x, gamma, s.norm.epsilon),
    forward: (x, y) => normForward(s, affine(x), x[0], { ...a.value, y }),
    backward: (x, _y, dy, dx) => normBackward(s, affine(x), affine(dx), a.value, dy, dx[0]),
    tangent: (x, xDot, y, yDot) =>
      normTangent(
        s,
        { value: affine(x), dot: affine(xDot) },
        { value: x[0], dot: xDot[0] },
        { value: { ...a.value, y }, dot: { ...a.dot, y: yDot } },
      ),
    tangentBackward: (x, xDot, dy, dyDot, dxDot) =>
      normTangentBackward(
        s,
        { value: affine(x), dot: affine(xDot) },
        affine(dxDot),
        a,
        { value: dy, dot: dyDot },
        { value: memory.zeros(rows * width), dot: dxDot[0] },
      ),
  };
}

/** y [rows, inner] = g·σ(g)·u of rows (g, u). */
const gatedLinearUnit = (x: Values, inner: number): Values =>
  Float64Array.from({ length: x.length / 2 }, (_, i) => {
    const at = 2 * (i - (i % inner)) + (i % inner);
    return (x[at] / (1 + Math.exp(-x[at]))) * x[at + inner];
  });

function activation(memory: KernelMemory, name: 'gelu' | 'swiglu', inner: number): Layer {
  const { k } = memory;
  const f = ACTIVATIONS[name];
  const s = { k, rows, inner };
  const n = rows * inner * f.inputs;
  const copy = (x: Pointer) => memory.put(memory.read(x, n)); // forwards x is replaced by the derivative
  let [derivative, derivativeDot]: Pointer[] = [];
  const [wide, wideDot] = f.inputs === 1 ? [0, 0] : [memory.room(n), memory.room(n)]; // gelu works in place
  return {
    inputs: [normal(n, 2)],
    outputs: rows * inner,
    reference: ([x]) => (name === 'gelu' ? oracle.gelu(x) : gatedLinearUnit(x, inner)),
    forward: ([x], y) => f.forward(s, (derivative = copy(x)), y),
    backward: (_x, _y, dy, [dx]) => {
      f.backward(s, derivative, dy, wide || dy);
      k.columnSum(1, n, n, wide || dy, dx);
    },
    tangent: ([x], [xDot], y, yDot) =>
      f.tangent(s, { value: (derivative = copy(x)), dot: (derivativeDot = copy(xDot)) }, { value: y, dot: yDot }),
    tangentBackward: (_x, _xDot, dy, dyDot, [dxDot]) => {
      const dx = { value: wide || dy, dot: wideDot || dyDot };
      f.tangentBackward(s, { value: derivative, dot: derivativeDot }, { value: dy, dot: dyDot }, dx);
      k.columnSum(1, n, n, dx.dot, dxDot);
    },
  };
}

function attention(memory: KernelMemory, positions: number, [heads, keyHeads]: [number, number], headWidth: number): Layer {
  const { k, arena } = memory;
  const count = examples * positions;
  const work = memory.room(k.attentionWorkFloats(positions, headWidth));
  const layers = layersOf({ n_head: heads, keyHeads, headWidth });
  const s = { k, examples, length: positions, layers, work };
  const { queries: width, all } = attentionColumns(layers);
  const a = dual(() => attentionActivations(arena, layers, examples, positions));
  const unused = memory.room(all * count);
  return {
    inputs: [normal(all * count)],
    outputs: count * width,
    reference: ([qkv]) => oracle.attention(everyHead(qkv, layers), positions, heads, width),
    forward: ([qkv], out) => attentionForward(s, { ...a.value, qkv, out }),
    backward: ([qkv], _out, dout, [dqkv]) => attentionBackward(s, { ...a.value, qkv }, dout, dqkv),
    tangent: ([qkv], [qkvDot], out, outDot) =>
      attentionTangent(s, { value: { ...a.value, qkv, out }, dot: { ...a.dot, qkv: qkvDot, out: outDot } }),
    tangentBackward: ([qkv], [qkvDot], dout, doutDot, [dqkvDot]) =>
      attentionTangentBackward(
        s,
        { value: { ...a.value, qkv }, dot: { ...a.dot, qkv: qkvDot } },
        { value: dout, dot: doutDot },
        { value: unused, dot: dqkvDot },
      ),
  };
}

/** qkv with a head of keys and of values for every head of queries. */
function everyHead(qkv: Values, { n_head, keyHeads, headWidth }: Layers): Values {
  const columns = (n_head + 2 * keyHeads) * headWidth;
  const head = (row: number, i: number) => [...qkv.subarray(row * columns + i * headWidth, row * columns + (i + 1) * headWidth)];
  const served = Array.from({ length: n_head }, (_, h) => n_head + Math.floor((h * keyHeads) / n_head));
  const order = [...served.keys(), ...served, ...served.map((i) => i + keyHeads)];
  return Float64Array.from(Array.from({ length: qkv.length / columns }, (_, row) => order.flatMap((i) => head(row, i))).flat());
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
      memory.k.columnSum(1, rows, rows, negative(values), y);
    },
    backward: ([x, head], _y, dy, [dx, dHead]) => crossEntropyBackward(loss(unusedValues, dy), head, dHead, x, dx),
    tangent: ([x, head], [xDot, headDot], _y, yDot) =>
      crossEntropyTangent(loss(yDot, 0), { value: head, dot: headDot }, { value: x, dot: xDot }),
    tangentBackward: ([x, head], [xDot, headDot], dy, dyDot, [dxDot, dHeadDot]) => {
      const heads = { value: head, dot: headDot };
      const dx = { value: unusedX, dot: dxDot };
      crossEntropyTangentBackward(loss(unusedValues, dy), heads, dHeadDot, { value: x, dot: xDot }, dx);
      const [x2, dHead2] = [memory.zeros(rows * width), memory.zeros(vocab * width)];
      // the engine's weights are constants, so the part that comes from their tangent is added here
      crossEntropyBackward(loss(unusedValues, dyDot), head, dHead2, x, x2);
      memory.k.columnSum(1, rows * width, rows * width, x2, dxDot);
      memory.k.columnSum(1, vocab * width, vocab * width, dHead2, dHeadDot);
    },
  };
}

/** With learned positions, or without. */
function embedding(memory: KernelMemory, width: number, vocab: number, learned: boolean): Layer {
  const tokens = Array.from({ length: rows }, () => random.integer(vocab));
  const ids = memory.putIntegers(tokens);
  const m = { k: memory.k, length, rows, first: 0, layers: layersOf({ n_embd: width }) };
  const tables = ([tokens, positions = 0]: readonly Pointer[]) => ({ tokens, positions });
  const unlearned = new Float64Array(length * width);
  return {
    inputs: [normal(vocab * width), ...(learned ? [normal(length * width)] : [])],
    outputs: rows * width,
    reference: ([wte, wpe = unlearned]) => oracle.embedding(wte, wpe, tokens, length, width),
    forward: (x, y) => embeddingForward(m, tables(x), ids, y),
    backward: (_x, _y, dy, dx) => embeddingBackward(m, tables(dx), ids, dy),
    tangent: (x, xDot, y, yDot) => embeddingTangent(m, { value: tables(x), dot: tables(xDot) }, ids, { value: y, dot: yDot }),
    tangentBackward: (_x, _xDot, _dy, dyDot, dxDot) => embeddingTangentBackward(m, tables(dxDot), ids, dyDot),
  };
}

describe.each(relaxedSupported() ? [false, true] : [false])('values and derivatives, relaxed SIMD %s', (relaxed) => {
  const memory = kernelMemory(relaxed);
  it.each<[number, number[], boolean]>([
    [20, [60], false],
    [13, [7], false],
    [1, [9], false],
    [13, [7], true],
    [10, [6, 3, 3], true],
  ])('linear %i → %j, transposed %s', (inputs, outputs, transposed) =>
    checkLayer(memory, linear(memory, inputs, outputs, transposed)),
  );
  it.each([20, 7, 24])('layer norm of width %i', (width) => checkLayer(memory, norm(memory, width, true)));
  it.each([20, 7])('root-mean-square norm of width %i', (width) => checkLayer(memory, norm(memory, width, false)));
  it('gelu', () => checkLayer(memory, activation(memory, 'gelu', 7)));
  it.each([4, 7])('SwiGLU of width %i', (inner) => checkLayer(memory, activation(memory, 'swiglu', inner)));
  it.each<[number, [number, number], number]>([
    [5, [2, 2], 10],
    [9, [3, 3], 8],
    [8, [1, 1], 3],
    [1, [2, 2], 2],
    [5, [4, 2], 3],
    [9, [2, 1], 4],
  ])('attention over %i positions, heads of queries and keys %j, %i wide', (positions, heads, headWidth) =>
    checkLayer(memory, attention(memory, positions, heads, headWidth)),
  );
  it.each([
    [37, 15],
    [48, 4],
  ])('LM head and cross-entropy over %i tokens, %i rows of logits at a time', (vocab, limit) =>
    checkLayer(memory, crossEntropy(memory, 10, vocab, limit)),
  );
  it.each([true, false])('embedding, learned positions %s', (learned) => checkLayer(memory, embedding(memory, 10, 7, learned)));
});

it('gelu keeps its derivatives finite far from zero', () => {
  const memory = kernelMemory();
  const [x, ones] = [
    [-1e4, -30, 30, 1e4],
    [1, 1, 1, 1],
  ].map(memory.put);
  const sizes = { k: memory.k, rows: 1, inner: 4 };
  ACTIVATIONS.gelu.tangent(sizes, { value: x, dot: ones }, { value: memory.room(4), dot: memory.room(4) });
  expect([...memory.read(x, 4)]).toEqual([0, 0, 1, 1].map((v): unknown => expect.closeTo(v, 6)));
  expect([...memory.read(ones, 4)]).toEqual([0, 0, 0, 0].map((v): unknown => expect.closeTo(v, 6)));
});
