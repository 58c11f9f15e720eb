/** Every kernel on the GPU against its twin in WebAssembly: odd sizes, sizes of vectors, one row, no reference. */
import { test } from 'vitest';
import { gpuTensors } from '../../src/tensor/gpuTensors';
import type { Kernels, Pointer } from '../../src/tensor/kernels/kernels';
import { multiply } from '../../src/tensor/kernels/webgpu/gemm';
import { gpuKernels } from '../../src/tensor/kernels/webgpu/kernels';
import { compare, floats, integers, positive, random, useGpu } from './twins';

useGpu();

/** Strides of an operand [rows, columns] as it lies, or transposed. */
const strides = (rows: number, columns: number, transposed: boolean) => (transposed ? [1, rows] : [columns, 1]);

/** C (+)= op(A)·op(B) for every op, plain and with all there is. */
async function compareProducts(m: number, n: number, k: number, gpu?: Kernels): Promise<void> {
  for (const [aT, bT] of [
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ]) {
    const [aRow, aColumn] = strides(m, k, aT);
    const [bRow, bColumn] = strides(k, n, bT);
    const operands = { a: floats(m * k), b: floats(k * n), bias: floats(n), c: floats(m * n) };
    const call = (full: boolean) => (kernels: Kernels, at: Record<string, Pointer>) =>
      kernels.gemm(m, n, k, at.a, aRow, aColumn, at.b, bRow, bColumn, at.c, n, full ? at.bias : 0, full);
    for (const full of [false, true]) await compare(operands, call(full), 1e-5, {}, gpu);
  }
}

test.each([
  [1, 1, 1],
  [1, 768, 64],
  [37, 70, 33],
  [64, 64, 64],
  [65, 129, 1030],
  [128, 96, 512],
  [300, 50, 1],
])('matrix product %i × %i, depth %i: every transpose, with bias and accumulation', (m, n, k) => compareProducts(m, n, k));

test.each([
  [130, 200, 17],
  [128, 256, 64],
])('the same in squares of 128: %i × %i, depth %i', (m, n, k) => {
  const { recorder } = gpuTensors();
  const large = (...[m_, n_, k_, a, aRow, aColumn, b, bRow, bColumn, c, cRow, bias, accumulate]: Parameters<Kernels['gemm']>) =>
    multiply(
      recorder,
      {
        ...{ m: m_, n: n_, k: k_, a: { at: a, major: aRow, k: aColumn }, b: { at: b, major: bColumn, k: bRow } },
        ...{ c: { at: c, row: cRow }, bias, accumulate },
      },
      1,
    );
  return compareProducts(m, n, k, { ...gpuKernels(recorder), gemm: large });
});

test('a product of parts of larger matrices leaves the rest alone', () =>
  compare({ a: floats(9 * 40), b: floats(40 * 30), c: floats(9 * 33) }, (k, { a, b, c }) =>
    k.gemm(7, 21, 13, a + 4 * 43, 40, 1, b + 4 * 5, 30, 1, c + 4 * 2, 33, 0, true),
  ));

test.each([
  [1, 1],
  [3, 70],
  [257, 33],
])('columns of %i × %i are summed, rows gathered and scattered, numbers zeroed', async (rows, width) => {
  await compare({ x: floats(rows * width), sums: floats(width) }, (k, { x, sums }) => k.columnSum(rows, width, width, x, sums));
  if (width > 2)
    await compare({ x: floats(rows * width), sums: floats(width) }, (k, { x, sums }) =>
      k.columnSum(rows, width - 2, width, x + 4, sums),
    );
  await compare({ x: floats(rows * width) }, (k, { x }) => k.zero(rows * width - 1, x));
  const index = Int32Array.from({ length: rows }, (_, i) => (i * 2 + 1) % (2 * rows + 1));
  await compare({ index, all: floats((2 * rows + 1) * width), some: rows * width }, (k, { index: at, all, some }) =>
    k.gatherRows(rows, width, at, all, some),
  );
  await compare({ index, all: floats((2 * rows + 1) * width), some: floats(rows * width) }, (k, { index: at, all, some }) =>
    k.scatterRows(rows, width, at, some, all),
  );
});

test.each([
  [1, 1, 3, 4],
  [3, 7, 20, 11],
  [4, 5, 300, 2],
])('embedding: %i examples of %i, width %i, vocabulary %i', async (size, length, width, vocab) => {
  const rows = size * length;
  const tables = { wte: floats(vocab * width), wpe: floats((length + 2) * width), ids: integers(rows, vocab) };
  await compare({ ...tables, h: rows * width }, (k, { wte, wpe, ids, h }) =>
    k.embeddingForward(rows, length, 2, width, wte, wpe, ids, h),
  );
  for (const placed of [1, 0]) {
    await compare({ ...tables, h: rows * width }, (k, { wte, wpe, ids, h }) =>
      k.embeddingForward(rows, length, 1, width, wte, placed * wpe, ids, h),
    );
    await compare({ ...tables, h: floats(rows * width) }, (k, { wte, wpe, ids, h }) =>
      k.embeddingBackward(rows, length, width, h, ids, wte, placed * wpe),
    );
  }
});

test.each([
  [1, 3, true],
  [5, 20, false],
  [33, 300, true],
  [33, 300, false],
] as const)('norm of %i rows of %i, mean subtracted: %s', async (rows, width, centre) => {
  const n = rows * width;
  const parameters = { gamma: floats(width), beta: floats(width) };
  const shift = centre ? 1 : 0; // a root-mean-square norm has no β
  await compare({ x: floats(n), ...parameters, xHat: n, r: rows, y: n }, (k, { x, gamma, beta, xHat, r, y }) =>
    k.layerNormForward(rows, width, 1e-5, centre, x, gamma, shift * beta, xHat, r, y),
  );
  const given = { xHat: floats(n), r: positive(rows), ...parameters, gammaDot: floats(width), betaDot: floats(width) };
  await compare({ xDot: floats(n), ...given, xHatDot: n, rDot: rows, yDot: n }, (k, p) =>
    k.layerNormTangent(
      ...([rows, width, centre, p.xDot, p.xHat, p.r, p.gamma, p.gammaDot, shift * p.betaDot, p.xHatDot, p.rDot, p.yDot] as const),
    ),
  );
  const gradients = { dx: floats(n), dGamma: floats(width), dBeta: floats(width) };
  for (const wanted of [1, 0])
    await compare({ dy: floats(n), ...given, ...gradients }, (k, p) =>
      k.layerNormBackward(
        ...([rows, width, centre, p.dy, p.xHat, p.r, p.gamma, p.dx, wanted * p.dGamma, wanted * shift * p.dBeta] as const),
      ),
    );
  const dual = { ...given, dy: floats(n), dyDot: floats(n), xHatDot: floats(n), rDot: floats(rows) };
  await compare({ ...dual, ...gradients, dxDot: floats(n) }, (k, p) =>
    k.layerNormTangentBackward(
      ...([rows, width, centre, p.dy, p.dyDot, p.xHat, p.xHatDot, p.r, p.rDot, p.gamma, p.gammaDot] as const),
      ...([p.dx, p.dxDot, p.dGamma, shift * p.dBeta] as const),
    ),
  );
});

test.each([
  [1, 1],
  [5, 7],
  [3, 300],
])('SwiGLU on %i rows of %i, and its derivatives', async (rows, inner) => {
  const n = rows * inner;
  const x = floats(2 * n, 4);
  x.set([-1e3, 1e3]);
  await compare({ x, y: n }, (k, p) => k.swigluForward(rows, inner, p.x, p.y));
  await compare({ x, xDot: floats(2 * n), y: n, yDot: n }, (k, p) => k.swigluTangent(rows, inner, p.x, p.xDot, p.y, p.yDot));
  await compare({ x1: floats(2 * n), dy: floats(n), dx: 2 * n }, (k, p) => k.swigluBackward(rows, inner, p.x1, p.dy, p.dx));
  const dual = { x1: floats(2 * n), x1Dot: floats(2 * n), dy: floats(n), dyDot: floats(n), dx: 2 * n, dxDot: 2 * n };
  await compare(dual, (k, p) => k.swigluTangentBackward(rows, inner, p.x1, p.x1Dot, p.dy, p.dyDot, p.dx, p.dxDot));
});

test('heads are rotated by their positions, and back', async () => {
  const [examples, length, heads, headWidth, row] = [2, 5, 3, 6, 25];
  const operands = {
    cos: floats((length * headWidth) / 2),
    sin: floats((length * headWidth) / 2),
    x: floats(examples * length * row),
  };
  for (const back of [false, true])
    await compare(operands, (k, p) => k.rotate(examples * length, length, heads, headWidth, row, p.cos, p.sin, back, p.x));
});

test('GELU of numbers small and large, and its derivatives', async () => {
  const x = Float32Array.of(-1e3, -40, -9, -3, -1, -1e-3, 0, 1e-3, 0.7, 2, 11, 50, 1e3, ...floats(500, 3));
  const n = x.length;
  await compare({ x, y: n }, (k, p) => k.geluForward(n, p.x, p.y));
  await compare({ x, xDot: floats(n), y: n, yDot: n }, (k, p) => k.geluTangent(n, p.x, p.xDot, p.y, p.yDot));
  await compare({ x, dy: floats(n) }, (k, p) => k.geluBackward(n, p.x, p.dy));
  await compare({ x, xDot: floats(n), dy: floats(n), dyDot: floats(n) }, (k, p) =>
    k.geluTangentBackward(n, p.x, p.xDot, p.dy, p.dyDot),
  );
});

const tokens = [
  [1, 1],
  [1, 37],
  [5, 48],
  [3, 1030],
] as const;

test.each(tokens)('cross-entropy of %i rows over %i tokens', async (rows, vocab) => {
  const logits = floats(rows * vocab, 4);
  const given = { targets: integers(rows, vocab), weights: floats(rows), values: rows };
  await compare({ logits, ...given }, (k, p) => k.crossEntropyForward(rows, vocab, p.logits, p.targets, 0.7, p.values));
  await compare({ logits, ...given }, (k, p) => k.crossEntropyBackward(rows, vocab, p.logits, p.targets, p.weights, p.values));
  const dual = { logits, logitsDot: floats(rows * vocab), ...given };
  const { logits: overwritten, ...compared } = dual;
  await compare(compared, (k, p) => k.crossEntropyTangent(rows, vocab, p.logits, p.logitsDot, p.targets, p.values), 1e-5, {
    logits: overwritten,
  });
  await compare(dual, (k, p) =>
    k.crossEntropyTangentBackward(rows, vocab, p.logits, p.logitsDot, p.targets, p.weights, p.values),
  );
});

test.each(tokens)('policy surrogate of %i rows over %i tokens, with a reference and without', async (rows, vocab) => {
  const perRow = { advantages: floats(rows), oldLogProbs: floats(rows), refLogProbs: floats(rows) };
  const results = { logProbs: rows, entropies: rows, kls: rows, clips: rows };
  for (const reference of [true, false])
    await compare({ logits: floats(rows * vocab, 2), targets: integers(rows, vocab), ...perRow, ...results }, (k, p) =>
      k.policyBackward(
        ...([rows, vocab, p.logits, p.targets, 0.9, p.advantages, p.oldLogProbs, reference ? p.refLogProbs : 0] as const),
        ...([0.2, 0.1, 0.01, 0.25, p.logProbs, p.entropies, p.kls, p.clips] as const),
      ),
    );
});

test.each(tokens)('the same tokens are drawn: %i rows over %i', async (rows, vocab) => {
  const uniforms = Float32Array.from({ length: rows }, (_, i) => [0, 0.999999, 0.3, 0.62, 0.11][i]);
  await compare({ logits: floats(rows * vocab, 3), uniforms, ids: new Int32Array(rows), logProbs: rows }, (k, p) =>
    k.sampleTokens(rows, vocab, p.logits, 1.3, p.uniforms, p.ids, p.logProbs),
  );
});

test.each(tokens)('a support of %i rows over %i tokens, one for each and one for all', async (rows, vocab) => {
  const words = Math.ceil(vocab / 32);
  const logits = new Int32Array(floats(rows * vocab, 2).buffer); // as integers they are compared bit by bit
  const bits = Int32Array.from({ length: rows * words }, () => Math.floor(random.uniform() * 2 ** 32));
  for (const stride of [words, 0])
    await compare({ logits, bits }, (k, p) => k.applySupport(rows, vocab, p.logits, p.bits, stride, -1e9));
  for (const minP of [0.01, 0.6])
    await compare({ logits, bits }, (k, p) => k.minPSupport(rows, vocab, p.logits, Math.log(minP), p.bits));
});

test('adamw and its adjoint', async () => {
  const n = 301;
  const state = { p: floats(n), m: floats(n), v: positive(n), g: floats(n) };
  const results = { pOut: n, mOut: n, vOut: n };
  await compare({ ...state, ...results }, (k, a) =>
    k.adamwUpdate(n, a.p, a.m, a.v, a.g, a.pOut, a.mOut, a.vOut, 0.9, 0.1, 0.95, 0.05, 3, 1e-6, 1e-8, 1e-2, 0.99),
  );
  const bars = { pBar: floats(n), mBar: floats(n), vBar: floats(n), gOut: n };
  await compare({ ...state, ...bars, ...results }, (k, a) =>
    k.adamwAdjoint(
      ...([n, a.m, a.v, a.g, a.pBar, a.mBar, a.vBar, a.gOut, a.pOut, a.mOut, a.vOut] as const),
      ...([0.9, 0.1, 0.95, 0.05, 0.1, 3, 1e-6, 1e-8, 1e-2, 0.99, 0.3, 0.45, 1e-3] as const),
    ),
  );
});
