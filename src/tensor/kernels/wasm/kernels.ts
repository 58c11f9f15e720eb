/**
 * The SIMD kernels: WebAssembly (`assembly/`, compiled by `build.mjs`) instantiated on a memory of the caller's choice, and an arena that
 * hands out pieces of a memory. What each kernel computes stands at its definition in `assembly/`.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { LINE, type Arena, type KernelMemory, type Kernels, type Pointer } from '../kernels';

type P = Pointer;
type N = number;

/** The module's exports: {@link Kernels}, and what only WebAssembly has. */
export interface WasmKernels extends Kernels {
  scratchBytes(): N;
  setScratch(scratch: P): void;
  gemmBatch(batch: N, m: N, n: N, k: N, a: P, aRow: N, aColumn: N, aBatch: N, b: P, bRow: N, bColumn: N, bBatch: N, c: P): void;
  transpose(rows: N, columns: N, x: P, y: P): void;
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
 * Instantiates the kernels on `memory`. {@link WasmKernels.setScratch} must be called before any other kernel.
 *
 * @param relaxed - use fused multiply-adds (about 1.2 × faster; rounds differently). Default: where V8 supports them.
 * @throws if the kernels have not been built, or `relaxed` is true where V8 does not support it
 */
export function loadKernels(memory: WebAssembly.Memory, relaxed = relaxedSupported()): WasmKernels {
  const compiled = new WebAssembly.Module(moduleBytes(relaxed ? 'relaxed' : 'simd'));
  return new WebAssembly.Instance(compiled, { env: { memory } }).exports as unknown as WasmKernels;
}

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

/** A view of memory, valid until the memory next grows. */
export const floatsAt = (memory: WebAssembly.Memory, at: Pointer, count: number): Float32Array =>
  new Float32Array(memory.buffer, at, count);

/** {@link floatsAt} for 32-bit integers. */
export const integersAt = (memory: WebAssembly.Memory, at: Pointer, count: number): Int32Array =>
  new Int32Array(memory.buffer, at, count);

/** `memory` as layers see it. */
export const wasmMemory = (memory: WebAssembly.Memory): KernelMemory => ({
  arena: arena(memory),
  write: (at, values) => void (values instanceof Float32Array ? floatsAt : integersAt)(memory, at, values.length).set(values),
  read: (at, count, use) => use(floatsAt(memory, at, count)),
  readIntegers: (at, count, use) => use(integersAt(memory, at, count)),
  heldBytes: () => memory.buffer.byteLength,
});
