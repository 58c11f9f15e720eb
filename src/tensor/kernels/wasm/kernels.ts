/**
 * The SIMD kernels: WebAssembly (`assembly/`, compiled by `build.mjs`) instantiated on a memory of the caller's choice, and an arena that
 * hands out pieces of a memory. What each kernel computes stands at its definition in `assembly/`.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setFlagsFromString } from 'node:v8';

/** Byte offset into a WebAssembly memory; 0 means "none". */
export type Pointer = number;
type P = Pointer;
type N = number;

/** The module's exports. Strides are in elements; a name ending in `Dot` is a tangent, one starting with `d` a cotangent. */
export interface Kernels {
  scratchBytes(): N;
  setScratch(scratch: P): void;
  gemm(m: N, n: N, k: N, a: P, aRow: N, aColumn: N, b: P, bRow: N, bColumn: N, c: P, cRow: N, bias: P, accumulate: boolean): void;
  gemmBatch(batch: N, m: N, n: N, k: N, a: P, aRow: N, aColumn: N, aBatch: N, b: P, bRow: N, bColumn: N, bBatch: N, c: P): void;
  columnSum(rows: N, columns: N, x: P, out: P): void;
  transpose(rows: N, columns: N, x: P, y: P): void;
  zero(n: N, x: P): void;
  gatherRows(rows: N, width: N, index: P, from: P, to: P): void;
  scatterRows(rows: N, width: N, index: P, from: P, to: P): void;

  embeddingForward(rows: N, length: N, first: N, width: N, wte: P, wpe: P, ids: P, h: P): void;
  embeddingBackward(rows: N, length: N, width: N, dh: P, ids: P, dWte: P, dWpe: P): void;

  layerNormForward(rows: N, width: N, eps: N, x: P, gamma: P, beta: P, xHat: P, r: P, y: P): void;
  layerNormTangent(
    ...a: [rows: N, width: N, xDot: P, xHat: P, r: P, gamma: P, gammaDot: P, betaDot: P, xHatDot: P, rDot: P, yDot: P]
  ): void;
  layerNormBackward(rows: N, width: N, dy: P, xHat: P, r: P, gamma: P, dx: P, dGamma: P, dBeta: P): void;
  layerNormTangentBackward(
    ...a: [
      ...[rows: N, width: N, dy: P, dyDot: P, xHat: P, xHatDot: P, r: P, rDot: P, gamma: P, gammaDot: P],
      ...[dx: P, dxDot: P, dGammaDot: P, dBetaDot: P],
    ]
  ): void;

  geluForward(n: N, x: P, y: P): void;
  geluTangent(n: N, x: P, xDot: P, y: P, yDot: P): void;
  geluBackward(n: N, g1: P, dy: P): void;
  geluTangentBackward(n: N, g1: P, g1Dot: P, dy: P, dyDot: P): void;

  attentionWorkFloats(length: N, headWidth: N): N;
  attentionForward(batch: N, length: N, heads: N, width: N, qkv: P, probabilities: P, out: P, work: P): void;
  attentionTangent(
    ...a: [
      ...[batch: N, length: N, heads: N, width: N, qkv: P, qkvDot: P, probabilities: P, probabilitiesDot: P],
      ...[outDot: P, work: P],
    ]
  ): void;
  attentionBackward(batch: N, length: N, heads: N, width: N, qkv: P, probabilities: P, dOut: P, dQkv: P, work: P): void;
  attentionTangentBackward(
    ...a: [
      ...[batch: N, length: N, heads: N, width: N, qkv: P, qkvDot: P, probabilities: P, probabilitiesDot: P],
      ...[dOut: P, dOutDot: P, dQkv: P, dQkvDot: P, work: P],
    ]
  ): void;
  cacheKeysValues(batch: N, length: N, width: N, qkv: P, keys: P, values: P, capacity: N, first: N): void;
  attentionStep(batch: N, heads: N, width: N, qkv: P, keys: P, values: P, capacity: N, count: N, out: P, work: P): void;

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
      ...[b1: N, m1: N, b2: N, v2: N, perC2: N, epsRoot: N, eps: N, rate: N, keep: N, half: N],
    ]
  ): void;
  sampleTokens(rows: N, vocab: N, logits: P, scale: N, uniforms: P, ids: P, logProbs: P): void;
}

/** The compiled modules lie beside this file in dist/, also when this file itself runs from src/. */
function moduleBytes(name: 'simd' | 'relaxed'): Uint8Array<ArrayBuffer> {
  const folder = __filename.endsWith('.ts') ? path.resolve(__dirname, '../../../../dist/tensor/kernels/wasm') : __dirname;
  const file = path.join(folder, `kernels.${name}.wasm`);
  try {
    return new Uint8Array(readFileSync(file));
  } catch (cause) {
    throw new Error(`cannot read ${file}; build the kernels with: node src/tensor/kernels/wasm/build.mjs`, { cause });
  }
}

const validates = (name: 'simd' | 'relaxed'): boolean =>
  typeof WebAssembly === 'object' && WebAssembly.validate(moduleBytes(name)); // `node --jitless` has no WebAssembly

/** Whether the kernels run at all: WebAssembly with SIMD. */
export const simdSupported = (): boolean => validates('simd');

/**
 * Whether relaxed-SIMD fused multiply-adds run here. Since V8 11.4 (Node 21) they do unasked. Node 20 has them finished, but behind a
 * V8 flag, which this sets for the whole process, threads that start later included. V8 advises against changing flags once it
 * runs, as what has been compiled may rest on them; this one is only looked at when a WebAssembly module is validated, and all it
 * does is accept more instructions.
 */
export function relaxedSupported(): boolean {
  if (simdSupported() && !validates('relaxed')) setFlagsFromString('--experimental-wasm-relaxed-simd');
  return validates('relaxed');
}

/**
 * Instantiates the kernels on `memory`. {@link Kernels.setScratch} must be called before any other kernel.
 *
 * @param relaxed - use fused multiply-adds (about 1.2 × faster; rounds differently). Default: where V8 supports them.
 * @throws if the kernels have not been built, or `relaxed` is true where V8 does not support it
 */
export function loadKernels(memory: WebAssembly.Memory, relaxed = relaxedSupported()): Kernels {
  const compiled = new WebAssembly.Module(moduleBytes(relaxed ? 'relaxed' : 'simd'));
  return new WebAssembly.Instance(compiled, { env: { memory } }).exports as unknown as Kernels;
}

/** Hands out memory upwards; {@link Arena.release} gives back everything after a mark. */
export interface Arena {
  /** `count` floats (or 32-bit integers), aligned to a cache line, with whatever they held before. */
  floats(count: number): Pointer;
  mark(): number;
  release(mark: number): void;
}

const LINE = 64;
const PAGE = 65536;

/**
 * An arena over the whole of `memory`, which grows as needed and is never shrunk.
 *
 * @throws RangeError where the memory would pass WebAssembly's 4 GiB
 */
export function arena(memory: WebAssembly.Memory): Arena {
  let top = LINE; // 0 stays "none"
  return {
    floats(count) {
      const from = top;
      top = from + Math.ceil((count * 4) / LINE) * LINE;
      const missing = Math.ceil((top - memory.buffer.byteLength) / PAGE);
      if (missing > 0) grow(memory, missing, top);
      return from;
    },
    mark: () => top,
    release: (mark) => void (top = mark),
  };
}

function grow(memory: WebAssembly.Memory, pages: number, bytes: number): void {
  try {
    memory.grow(pages);
  } catch {
    const mebibytes = Math.ceil(bytes / 2 ** 20);
    throw new RangeError(
      `${mebibytes} MiB of WebAssembly memory are not to be had (the limit is 4096); use shorter sequences or a smaller model`,
    );
  }
}

/** Bytes that `allocate` takes from an arena. */
export function measureBytes(allocate: (counting: Arena) => unknown): number {
  let bytes = 0;
  allocate({ floats: (count) => (bytes += Math.ceil((count * 4) / LINE) * LINE), mark: () => bytes, release: () => undefined });
  return bytes;
}

/** A view of memory, valid until the memory next grows. */
export const floatsAt = (memory: WebAssembly.Memory, at: Pointer, count: number): Float32Array =>
  new Float32Array(memory.buffer, at, count);

/** {@link floatsAt} for 32-bit integers. */
export const integersAt = (memory: WebAssembly.Memory, at: Pointer, count: number): Int32Array =>
  new Int32Array(memory.buffer, at, count);
