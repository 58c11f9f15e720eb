/**
 * Plain loops in place of what tfjs's `cpu` backend does element by element through a function call and two modulos: thirty times as fast
 * on the trees of a real model, bit for bit the same. And adamw in one pass of the
 * SIMD kernels, instead of fifteen. This backend holds what the heap of `wasm` cannot.
 *
 * Uses the backend's internals (where a tensor's values are): tfjs is pinned to exactly 4.22.0.
 */
import * as tf from '@tensorflow/tfjs-core';
import { adjointNumbers, updateNumbers, type AdamwAttributes } from '../adamwNumbers';
import type { Pointer } from '../kernels';
import { floatsAt, loadKernels, simdSupported, wasmMemory } from '../wasm/kernels';

type TensorInfo = tf.TensorInfo;

/** The parts of `MathBackendCPU` used here. */
interface CpuBackend {
  readonly data: { get(dataId: object): { readonly values: Float32Array } };
  makeTensorInfo(shape: readonly number[], dtype: 'float32', values: Float32Array): TensorInfo;
}

/** One kernel call as tfjs makes it. */
interface Call {
  readonly inputs: Readonly<Record<string, TensorInfo>>;
  readonly attrs: object;
  readonly backend: CpuBackend;
}

type Floats = Float32Array;

/** out = a op b element by element, and out = a op b with one b for all. */
interface Loops {
  readonly both: (a: Floats, b: Floats, out: Floats) => void;
  readonly scalar: (a: Floats, b: number, out: Floats) => void;
  /** Whether a op b is b op a. */
  readonly swaps: boolean;
}

// A loop of its own each: one that were handed the operation would call it for every element.
const LOOPS: Readonly<Record<string, Loops>> = {
  Add: {
    both: (a, b, out) => {
      for (let i = 0; i < out.length; i++) out[i] = a[i] + b[i];
    },
    scalar: (a, b, out) => {
      for (let i = 0; i < out.length; i++) out[i] = a[i] + b;
    },
    swaps: true,
  },
  Sub: {
    both: (a, b, out) => {
      for (let i = 0; i < out.length; i++) out[i] = a[i] - b[i];
    },
    scalar: (a, b, out) => {
      for (let i = 0; i < out.length; i++) out[i] = a[i] - b;
    },
    swaps: false,
  },
  Multiply: {
    both: (a, b, out) => {
      for (let i = 0; i < out.length; i++) out[i] = a[i] * b[i];
    },
    scalar: (a, b, out) => {
      for (let i = 0; i < out.length; i++) out[i] = a[i] * b;
    },
    swaps: true,
  },
};

const size = tf.util.sizeFromShape;
const valuesOf = ({ backend }: Call, { dataId }: TensorInfo): Floats => backend.data.get(dataId).values;
const isScalar = ({ shape }: TensorInfo): boolean => shape.length === 0;
const sameShape = (a: TensorInfo, b: TensorInfo): boolean => tf.util.arraysEqual(a.shape, b.shape);

/** The result, or null to leave the call to tfjs. */
type Replacement = (call: Call) => TensorInfo | TensorInfo[] | null;

const binary =
  ({ both, scalar, swaps }: Loops): Replacement =>
  (call) => {
    const { a, b } = call.inputs;
    if (a.dtype !== 'float32' || b.dtype !== 'float32') return null;
    const [x, y] = swaps && isScalar(a) ? [b, a] : [a, b];
    if (!isScalar(y) && !sameShape(x, y)) return null;
    const out = new Float32Array(size(x.shape));
    if (isScalar(y)) scalar(valuesOf(call, x), valuesOf(call, y)[0], out);
    else both(valuesOf(call, x), valuesOf(call, y), out);
    return call.backend.makeTensorInfo(x.shape, 'float32', out);
  };

const square: Replacement = (call) => {
  const { x } = call.inputs;
  if (x.dtype !== 'float32') return null;
  const out = new Float32Array(size(x.shape));
  LOOPS.Multiply.both(valuesOf(call, x), valuesOf(call, x), out);
  return call.backend.makeTensorInfo(x.shape, 'float32', out);
};

/** Floats of a tensor that adamw's kernels see at a time. */
const WINDOW = 65536;

/** The SIMD kernels on a memory of their own, through which tensors pass window by window. */
function windows(memory: WebAssembly.Memory) {
  const { arena } = wasmMemory(memory);
  const places = Array.from({ length: 10 }, () => arena.floats(WINDOW)); // operands of the adjoint, the most there are
  /** Runs `kernel` on the inputs, in the order of their names, and so many new tensors of their shape. */
  return (call: Call, names: readonly string[], results: number, kernel: (n: number, at: Pointer[]) => void): TensorInfo[] => {
    const { shape } = call.inputs[names[0]];
    const inputs = names.map((name) => valuesOf(call, call.inputs[name]));
    const out = Array.from({ length: results }, () => new Float32Array(size(shape)));
    for (let from = 0; from < inputs[0].length; from += WINDOW) {
      const n = Math.min(WINDOW, inputs[0].length - from);
      inputs.forEach((values, i) => floatsAt(memory, places[i], n).set(values.subarray(from, from + n)));
      kernel(n, places);
      out.forEach((values, i) => values.set(floatsAt(memory, places[inputs.length + i], n), from));
    }
    return out.map((values) => call.backend.makeTensorInfo(shape, 'float32', values));
  };
}

/** adamw's update and adjoint; see learn/adamw.ts. */
function adamwKernels(): Record<string, Replacement> {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
  const k = loadKernels(memory);
  const onWindows = windows(memory);
  const attributes = ({ attrs }: Call) => attrs as AdamwAttributes;
  return {
    AdamwUpdate: (call) =>
      onWindows(call, ['p', 'm', 'v', 'g'], 3, (n, [p, m, v, g, pOut, mOut, vOut]) =>
        k.adamwUpdate(n, p, m, v, g, pOut, mOut, vOut, ...updateNumbers(attributes(call))),
      ),
    AdamwAdjoint: (call) =>
      onWindows(call, ['m', 'v', 'g', 'pBar', 'mBar', 'vBar'], 4, (n, [m, v, g, pBar, mBar, vBar, gOut, pOut, mOut, vOut]) =>
        k.adamwAdjoint(n, m, v, g, pBar, mBar, vBar, gOut, pOut, mOut, vOut, ...adjointNumbers(attributes(call))),
      ),
  };
}

const replacements = (): Record<string, Replacement> => ({
  ...Object.fromEntries(Object.entries(LOOPS).map(([name, loops]) => [name, binary(loops)])),
  Square: square,
  ...(simdSupported() && adamwKernels()),
});

let installed = false;

/**
 * Replaces kernels of the `cpu` backend; a second call does nothing. Calls that a replacement does not cover (other dtypes, broadcasting)
 * go to tfjs's own kernel as before.
 */
export function installCpuKernels(): void {
  if (installed) return;
  installed = true;
  for (const [kernelName, replace] of Object.entries(replacements())) {
    const original = tf.getKernel(kernelName, 'cpu');
    if (original) tf.unregisterKernel(kernelName, 'cpu');
    const kernelFunc = (call: Call) => replace(call) ?? original.kernelFunc(call as unknown as Parameters<tf.KernelFunc>[0]);
    tf.registerKernel({ kernelName, backendName: 'cpu', kernelFunc: kernelFunc as unknown as tf.KernelFunc });
  }
}
