/**
 * Our matrix product in place of the slow paths of tfjs's `wasm` backend, on its own heap without copies. tfjs 4.22 multiplies fast only
 * where nothing is transposed or batched, which attention and all of backpropagation are. And adamw in one pass, instead of fifteen.
 *
 * Uses the backend's internals (its heap and where a tensor lies in it): tfjs is pinned to exactly 4.22.0.
 */
import * as tf from '@tensorflow/tfjs-core';
import { adjointNumbers, updateNumbers, type AdamwAttributes } from '../adamwNumbers';
import type { Pointer } from '../kernels';
import { loadKernels, simdSupported, type WasmKernels } from './kernels';

type TensorInfo = tf.TensorInfo;
type TypedArray = Float32Array | Int32Array | Uint8Array;

/** The parts of `BackendWasm` used here. */
interface WasmBackend {
  readonly wasm: { readonly asm: { readonly memory: WebAssembly.Memory }; _malloc: (bytes: number) => Pointer };
  readonly dataIdMap: { get(dataId: object): { memoryOffset: Pointer } };
  makeOutput(shape: number[], dtype: tf.DataType): TensorInfo;
  typedArrayFromHeap(tensor: TensorInfo): TypedArray;
  incRef(dataId: object): void;
}

/** One kernel call as tfjs makes it. */
interface Call {
  readonly inputs: Readonly<Record<string, TensorInfo>>;
  readonly attrs: Readonly<Record<string, unknown>>;
  readonly backend: WasmBackend;
}

/** The result, or null to leave the call to tfjs. */
type Replacement = (call: Call, k: WasmKernels) => TensorInfo | null;

const size = tf.util.sizeFromShape;
const at = ({ backend }: Call, { dataId }: TensorInfo): Pointer => backend.dataIdMap.get(dataId).memoryOffset;
const isFloat = (...tensors: TensorInfo[]): boolean =>
  tensors.every(({ dtype, shape }) => dtype === 'float32' && size(shape) > 0);

/** C = op(A)·op(B) of equal batches, or where one operand is shared by all. */
const batchMatMul: Replacement = (call, k) => {
  const { a, b } = call.inputs;
  if (!isFloat(a, b)) return null;
  const { transposeA, transposeB } = call.attrs;
  const [aRows, aColumns] = a.shape.slice(-2);
  const [bRows, bColumns] = b.shape.slice(-2);
  const [m, depth] = transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const n = transposeB ? bRows : bColumns;
  const [aOuter, bOuter] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
  const outer = tf.broadcast_util.assertAndGetBroadcastShape(aOuter, bOuter);
  const batch = size(outer);
  const shared = [size(aOuter) === 1, size(bOuter) === 1];
  const plain = (size(aOuter) === batch || shared[0]) && (size(bOuter) === batch || shared[1]);
  if (!plain || depth !== (transposeB ? bColumns : bRows)) return null;
  const out = call.backend.makeOutput([...outer, m, n], 'float32');
  const aStrides = [...(transposeA ? [1, m] : [depth, 1]), shared[0] ? 0 : m * depth] as const;
  const bStrides = [...(transposeB ? [1, depth] : [n, 1]), shared[1] ? 0 : depth * n] as const;
  k.gemmBatch(
    batch,
    m,
    n,
    depth,
    at(call, a),
    aStrides[0],
    aStrides[1],
    aStrides[2],
    at(call, b),
    bStrides[0],
    bStrides[1],
    bStrides[2],
    at(call, out),
  );
  return out;
};

/** Of a matrix. */
const transpose: Replacement = (call, k) => {
  const { x } = call.inputs;
  const perm = call.attrs.perm as number[];
  if (!isFloat(x) || x.shape.length !== 2 || perm[0] !== 1) return null;
  const out = call.backend.makeOutput([x.shape[1], x.shape[0]], 'float32');
  k.transpose(x.shape[0], x.shape[1], at(call, x), at(call, out));
  return out;
};

/** Over the leading axes, e.g. the gradient of a bias. */
const sum: Replacement = (call, k) => {
  const { x } = call.inputs;
  const axes = tf.util.parseAxisParam(call.attrs.axis as number[], x.shape).sort((a, b) => a - b);
  const count = axes.length;
  if (!isFloat(x) || count === 0 || count === x.shape.length || axes.some((axis, i) => axis !== i)) return null;
  const rest = x.shape.slice(count);
  const out = call.backend.makeOutput(call.attrs.keepDims ? [...axes.map(() => 1), ...rest] : rest, 'float32');
  k.zero(size(rest), at(call, out));
  k.columnSum(size(x.shape.slice(0, count)), size(rest), size(rest), at(call, x), at(call, out));
  return out;
};

/** Shares the data; tfjs copies them. */
const identity = ({ inputs: { x }, backend }: Call): TensorInfo => {
  backend.incRef(x.dataId);
  return { dataId: x.dataId, shape: x.shape, dtype: x.dtype };
};

/**
 * The gradient of a gather; tfjs has none on `wasm`. Segment ids outside [0, numSegments) are dropped, as on the other
 * backends.
 */
const unsortedSegmentSum = ({ inputs: { x, segmentIds }, attrs, backend }: Call): TensorInfo => {
  const segments = attrs.numSegments as number;
  const out = backend.makeOutput([segments, ...x.shape.slice(1)], x.dtype);
  const [from, ids, to] = [x, segmentIds, out].map((tensor) => backend.typedArrayFromHeap(tensor));
  const width = size(x.shape.slice(1));
  to.fill(0);
  ids.forEach((id, row) => {
    if (id < 0 || id >= segments) return;
    for (let j = 0; j < width; j++) to[id * width + j] += from[row * width + j];
  });
  return out;
};

/** p, m, v after a step. */
const adamwUpdate = (call: Call, k: WasmKernels): TensorInfo[] => {
  const { p, m, v, g } = call.inputs;
  const out = [p, p, p].map(({ shape }) => call.backend.makeOutput(shape, 'float32'));
  const [pAt, mAt, vAt, gAt, pOut, mOut, vOut] = [p, m, v, g, ...out].map((tensor) => at(call, tensor));
  k.adamwUpdate(size(p.shape), pAt, mAt, vAt, gAt, pOut, mOut, vOut, ...updateNumbers(call.attrs as AdamwAttributes));
  return out;
};

/** ḡ and p̄, m̄, v̄ before a step. */
const adamwAdjoint = (call: Call, k: WasmKernels): TensorInfo[] => {
  const { m, v, g, pBar, mBar, vBar } = call.inputs;
  const out = [g, g, g, g].map(({ shape }) => call.backend.makeOutput(shape, 'float32'));
  const [mAt, vAt, gAt, pBarAt, mBarAt, vBarAt, gOut, pOut, mOut, vOut] = [m, v, g, pBar, mBar, vBar, ...out].map((tensor) =>
    at(call, tensor),
  );
  k.adamwAdjoint(
    ...[size(g.shape), mAt, vAt, gAt, pBarAt, mBarAt, vBarAt, gOut, pOut, mOut, vOut],
    ...adjointNumbers(call.attrs as AdamwAttributes),
  );
  return out;
};

/** Replacements by the name of tfjs's kernel, and kernels that it lacks; without SIMD only those that need none of ours. */
function replacements(backend: WasmBackend): Record<string, (call: Call) => TensorInfo | TensorInfo[] | null> {
  const plain = { Identity: identity, UnsortedSegmentSum: unsortedSegmentSum };
  if (!simdSupported()) return plain;
  const k = loadKernels(backend.wasm.asm.memory);
  k.setScratch(backend.wasm._malloc(k.scratchBytes()) >>> 0);
  const on =
    <R>(f: (call: Call, k: WasmKernels) => R) =>
    (call: Call): R =>
      f(call, k);
  const adamw = { AdamwUpdate: on(adamwUpdate), AdamwAdjoint: on(adamwAdjoint) };
  return { ...plain, ...adamw, BatchMatMul: on(batchMatMul), Transpose: on(transpose), Sum: on(sum) };
}

/** An array that the heap has no room for is an error; tfjs would go on at address 0, over what lies there, until something aborts. */
function refuseWhenFull({ wasm }: WasmBackend): void {
  wasm._malloc(0); // the first call puts the real function in place
  const malloc = wasm._malloc;
  wasm._malloc = (bytes) => {
    const place = malloc(bytes);
    if (place !== 0 || bytes === 0) return place;
    throw new RangeError(
      `no room for ${Math.ceil(bytes / 1e6)} MB more in the heap of the backend wasm, which can grow to 4.3 GB: free tensors, or start ` +
        'again with DPG_BACKEND=cpu (slower, no such limit)',
    );
  };
}

const installed = new WeakSet<WasmBackend>();

/**
 * Replaces kernels of the active `wasm` backend; a second call does nothing. Calls that a replacement does not cover (other dtypes,
 * unusual broadcasting) go to tfjs's own kernel as before.
 *
 * @throws if `wasm` is not the active backend
 */
export function installWasmKernels(): void {
  if (tf.getBackend() !== 'wasm') throw new Error(`the active backend must be wasm (got ${tf.getBackend()})`);
  const backend = tf.backend() as unknown as WasmBackend;
  if (installed.has(backend)) return;
  refuseWhenFull(backend);
  for (const [kernelName, replace] of Object.entries(replacements(backend))) {
    const original = tf.getKernel(kernelName, 'wasm');
    if (original) tf.unregisterKernel(kernelName, 'wasm');
    const kernelFunc = (call: Call) => replace(call) ?? original.kernelFunc(call as unknown as Parameters<tf.KernelFunc>[0]);
    tf.registerKernel({ kernelName, backendName: 'wasm', kernelFunc: kernelFunc as unknown as tf.KernelFunc });
  }
  installed.add(backend);
}
