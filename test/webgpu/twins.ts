/** Kernels on the GPU beside their twins in WebAssembly. */
import { beforeAll, beforeEach, expect, vi } from 'vitest';
import { startBackend } from '../../src/tensor/backend';
import { gpuTensors } from '../../src/tensor/gpuTensors';
import type { Kernels, Pointer } from '../../src/tensor/kernels/kernels';
import { gpuKernels } from '../../src/tensor/kernels/webgpu/kernels';
import { randomStream } from '../../src/tensor/random';
import { kernelMemory } from '../support/kernelMemory';

/** Starts the GPU for a file of tests, or skips these with the reason. */
export function useGpu(): void {
  let missing: string | undefined;
  beforeAll(async () => {
    vi.stubEnv('DPG_BACKEND', 'webgpu');
    missing = await startBackend().then(
      () => undefined,
      (error: Error) => error.message,
    );
    if (missing) console.log(`skipped: ${missing}`);
  });
  beforeEach(({ skip }) => {
    if (missing) skip(missing);
  });
}

export const random = randomStream(1, 'kernels');
export const floats = (n: number, scale = 1) => Float32Array.from({ length: n }, () => scale * random.normal());
export const integers = (n: number, below: number) => Int32Array.from({ length: n }, () => random.integer(below));
export const positive = (n: number) => floats(n).map((x) => Math.abs(x) + 0.1);

/** Arrays by name; what the kernel leaves in all of them is compared. Named numbers of elements are room, filled with NaN. */
export type Operands = Readonly<Record<string, Float32Array | Int32Array | number>>;

/** Runs `call` on both and compares everything but what is `own`, whose use either is free in; float32 relative. */
export async function compare(
  operands: Operands,
  call: (k: Kernels, at: Record<string, Pointer>) => void,
  rtol = 1e-5,
  own: Operands = {},
  gpu: Kernels = gpuKernels(gpuTensors().recorder),
): Promise<void> {
  const cpu = kernelMemory();
  const { recorder } = gpuTensors();
  const { memory } = recorder;
  const mark = memory.arena.mark();
  const [cpuAt, gpuAt]: Record<string, Pointer>[] = [{ work: cpu.room(2 ** 16) }, { work: 0 }]; // work space that only the CPU needs
  for (const [name, given] of Object.entries({ ...operands, ...own })) {
    const values = typeof given === 'number' ? new Float32Array(given).fill(NaN) : given;
    cpuAt[name] = (values instanceof Float32Array ? cpu.put : cpu.putIntegers)(values);
    gpuAt[name] = memory.arena.floats(values.length);
    memory.write(gpuAt[name], values);
  }
  call(cpu.k, cpuAt);
  call(gpu, gpuAt);
  const found: Record<string, Float32Array> = {};
  for (const [name, given] of Object.entries(operands)) {
    const count = typeof given === 'number' ? given : given.length;
    memory.read(gpuAt[name], count, (values) => (found[name] = values));
  }
  await recorder.finish();
  memory.arena.release(mark);
  for (const [name, given] of Object.entries(operands)) {
    const count = typeof given === 'number' ? given : given.length;
    const expected = cpu.read(cpuAt[name], count);
    const tolerance = expected.every((x) => Math.abs(x) < 1e-6) ? { atol: 1e-6 } : { rtol }; // nothing is close to 0 relative to it
    if (given instanceof Int32Array)
      expect(new Int32Array(found[name].buffer), name).toEqual(cpu.readIntegers(cpuAt[name], count));
    else expect(found[name], name).toBeAllClose(expected, tolerance);
  }
}
