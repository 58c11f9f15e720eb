/**
 * What the fused layers are written against: kernels on pointers, and the memory they point into. `wasm/` computes at once; `webgpu/`
 * records, and the GPU computes when all is recorded. No layer looks at a number in between, so both run the same layers. What each kernel
 * computes stands at its definition in `wasm/assembly/`.
 */

/**
 * Where numbers lie: region × 2³² + byte offset; 0 means "none". WebAssembly's one memory is region 0; on a GPU every buffer is a region.
 */
export type Pointer = number;
type P = Pointer;
type N = number;

/** Strides are in elements; a name ending in `Dot` is a tangent, one starting with `d` a cotangent. */
export interface Kernels {
  gemm(m: N, n: N, k: N, a: P, aRow: N, aColumn: N, b: P, bRow: N, bColumn: N, c: P, cRow: N, bias: P, accumulate: boolean): void;
  columnSum(rows: N, columns: N, stride: N, x: P, out: P): void;
  zero(n: N, x: P): void;
  gatherRows(rows: N, width: N, index: P, from: P, to: P): void;
  scatterRows(rows: N, width: N, index: P, from: P, to: P): void;

  embeddingForward(rows: N, length: N, first: N, width: N, wte: P, wpe: P, ids: P, h: P): void;
  embeddingBackward(rows: N, length: N, width: N, dh: P, ids: P, dWte: P, dWpe: P): void;

  layerNormForward(rows: N, width: N, eps: N, centre: boolean, x: P, gamma: P, beta: P, xHat: P, r: P, y: P): void;
  layerNormTangent(
    ...a: [
      ...[rows: N, width: N, centre: boolean, xDot: P, xHat: P, r: P, gamma: P, gammaDot: P, betaDot: P],
      ...[xHatDot: P, rDot: P, yDot: P],
    ]
  ): void;
  layerNormBackward(rows: N, width: N, centre: boolean, dy: P, xHat: P, r: P, gamma: P, dx: P, dGamma: P, dBeta: P): void;
  layerNormTangentBackward(
    ...a: [
      ...[rows: N, width: N, centre: boolean, dy: P, dyDot: P, xHat: P, xHatDot: P, r: P, rDot: P, gamma: P, gammaDot: P],
      ...[dx: P, dxDot: P, dGammaDot: P, dBetaDot: P],
    ]
  ): void;

  geluForward(n: N, x: P, y: P): void;
  geluTangent(n: N, x: P, xDot: P, y: P, yDot: P): void;
  geluBackward(n: N, g1: P, dy: P): void;
  geluTangentBackward(n: N, g1: P, g1Dot: P, dy: P, dyDot: P): void;

  swigluForward(rows: N, inner: N, x: P, y: P): void;
  swigluTangent(rows: N, inner: N, x: P, xDot: P, y: P, yDot: P): void;
  swigluBackward(rows: N, inner: N, x1: P, dy: P, dx: P): void;
  swigluTangentBackward(rows: N, inner: N, x1: P, x1Dot: P, dy: P, dyDot: P, dx: P, dxDot: P): void;

  rotate(rows: N, length: N, heads: N, headWidth: N, row: N, cos: P, sin: P, back: boolean, x: P): void;
  attentionWorkFloats(length: N, headWidth: N): N;
  attentionForward(...a: [batch: N, length: N, heads: N, keyHeads: N, width: N, qkv: P, probabilities: P, out: P, work: P]): void;
  attentionTangent(
    ...a: [
      ...[batch: N, length: N, heads: N, keyHeads: N, width: N, qkv: P, qkvDot: P, probabilities: P, probabilitiesDot: P],
      ...[outDot: P, work: P],
    ]
  ): void;
  attentionBackward(
    ...a: [batch: N, length: N, heads: N, keyHeads: N, width: N, qkv: P, probabilities: P, dOut: P, dQkv: P, work: P]
  ): void;
  attentionTangentBackward(
    ...a: [
      ...[batch: N, length: N, heads: N, keyHeads: N, width: N, qkv: P, qkvDot: P, probabilities: P, probabilitiesDot: P],
      ...[dOut: P, dOutDot: P, dQkv: P, dQkvDot: P, work: P],
    ]
  ): void;
  cacheKeysValues(batch: N, length: N, width: N, keyWidth: N, qkv: P, keys: P, values: P, capacity: N, first: N): void;
  attentionStep(
    ...a: [...[batch: N, heads: N, keyHeads: N, width: N, qkv: P, keys: P, values: P, capacity: N, count: N, out: P, work: P]]
  ): void;

  crossEntropyForward(rows: N, vocab: N, logits: P, targets: P, scale: N, logProbs: P): void;
  crossEntropyBackward(rows: N, vocab: N, logits: P, targets: P, weights: P, logProbs: P): void;
  crossEntropyTangent(rows: N, vocab: N, logits: P, logitsDot: P, targets: P, tangents: P): void;
  crossEntropyTangentBackward(rows: N, vocab: N, logits: P, logitsDot: P, targets: P, weights: P, tangents: P): void;
  policyBackward(
    ...a: [
      ...[rows: N, vocab: N, logits: P, targets: P, scale: N, advantages: P, oldLogProbs: P, refLogProbs: P],
      ...[clip: N, klCoef: N, entropyCoef: N, weight: N, logProbs: P, entropies: P, kls: P, clips: P],
    ]
  ): void;
  adamwUpdate(
    ...a: [
      ...[n: N, p: P, m: P, v: P, g: P, pOut: P, mOut: P, vOut: P],
      ...[b1: N, m1: N, b2: N, v1: N, perC2: N, epsRoot: N, eps: N, rate: N, keep: N],
    ]
  ): void;
  adamwAdjoint(
    ...a: [
      ...[n: N, m: P, v: P, g: P, pBar: P, mBar: P, vBar: P, gOut: P, pOut: P, mOut: P, vOut: P],
      ...[b1: N, m1: N, b2: N, v1: N, v2: N, perC2: N, epsRoot: N, eps: N, rate: N, keep: N, half: N, cross: N, gRate: N],
    ]
  ): void;
  sampleTokens(rows: N, vocab: N, logits: P, scale: N, uniforms: P, ids: P, logProbs: P): void;
  applySupport(rows: N, vocab: N, logits: P, bits: P, stride: N, value: N): void;
  minPSupport(rows: N, vocab: N, logits: P, logMinP: N, bits: P): void;
}

/** Hands out memory; {@link Arena.release} gives back everything after a mark. */
export interface Arena {
  /** `count` floats (or 32-bit integers), aligned to a cache line, with whatever they held before. */
  floats(count: number): Pointer;
  mark(): number;
  release(mark: number): void;
}

/** Numbers in and out of a memory, in the order of the calls among them and of the kernels'. */
export interface KernelMemory {
  readonly arena: Arena;
  write(at: Pointer, values: Float32Array | Int32Array): void;
  /** Gives `use` the floats that stand at `at` now: at once, or on a GPU when all that was recorded is done. */
  read(at: Pointer, count: number, use: (values: Float32Array) => void): void;
  readIntegers(at: Pointer, count: number, use: (values: Int32Array) => void): void;
  /** Bytes taken from the system. */
  heldBytes(): number;
}

/** Arenas start their pieces at multiples of a cache line. */
export const LINE = 64;

/** Bytes that `allocate` takes from an arena. */
export function measureBytes(allocate: (counting: Arena) => unknown): number {
  let bytes = 0;
  allocate({ floats: (count) => (bytes += Math.ceil((count * 4) / LINE) * LINE), mark: () => bytes, release: () => undefined });
  return bytes;
}
