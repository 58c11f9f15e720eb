/** Kernels on a memory of their own, and arrays in and out of it. */
import type { Pointer } from '../../src/tensor/kernels/kernels';
import { arena, floatsAt, integersAt, loadKernels } from '../../src/tensor/kernels/wasm/kernels';

export function kernelMemory(relaxed?: boolean) {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const k = loadKernels(memory, relaxed);
  const own = arena(memory);
  k.setScratch(own.floats(k.scratchBytes() / 4));
  return {
    k,
    arena: own,
    /** Uninitialized room, filled with NaN so that reading what was never written shows. */
    room: (count: number): Pointer => {
      const at = own.floats(count);
      floatsAt(memory, at, count).fill(NaN);
      return at;
    },
    /** `count` zeros, for results that are added to. */
    zeros: (count: number): Pointer => {
      const at = own.floats(count);
      floatsAt(memory, at, count).fill(0);
      return at;
    },
    put: (values: ArrayLike<number>): Pointer => {
      const at = own.floats(values.length);
      floatsAt(memory, at, values.length).set(values);
      return at;
    },
    putIntegers: (values: ArrayLike<number>): Pointer => {
      const at = own.floats(values.length);
      integersAt(memory, at, values.length).set(values);
      return at;
    },
    /** One 32-bit pattern at a place: numbers in JavaScript do not keep the bits of a NaN. */
    putBits: (at: Pointer, bits: number): void => void integersAt(memory, at, 1).fill(bits),
    write: (at: Pointer, values: Float32Array | Int32Array): void =>
      void (values instanceof Float32Array ? floatsAt : integersAt)(memory, at, values.length).set(values),
    read: (at: Pointer, count: number): Float32Array => floatsAt(memory, at, count).slice(),
    readIntegers: (at: Pointer, count: number): Int32Array => integersAt(memory, at, count).slice(),
  };
}

export type KernelMemory = ReturnType<typeof kernelMemory>;
