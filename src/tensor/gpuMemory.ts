/** How much of a GPU's memory may be taken. WebGPU tells neither how much there is nor how much is free. */
import os from 'node:os';
import { largestBuffer, STORAGE } from './kernels/webgpu/device';
import { withDawn, type Gpu } from './webgpu';

/** Bytes that this process may still take of the machine's own memory. */
export const availableMemory = (): number => process.availableMemory?.() ?? os.freemem();

/**
 * Whether a GPU gives `bytes`, by taking them for a moment. Where the CPU plays the GPU, they are the machine's own and would be written:
 * those are counted instead. Drivers that lend the machine's memory to the GPU (Windows) say yes to more than is good.
 */
export async function gpuGives({ device, software }: Gpu, bytes: number): Promise<boolean> {
  if (software) return bytes <= availableMemory();
  const whole = Math.floor(largestBuffer(device) / 4) * 4;
  device.pushErrorScope('out-of-memory');
  const sizes = Array.from({ length: Math.ceil(bytes / whole) }, (_, i) =>
    Math.min(whole, Math.ceil((bytes - i * whole) / 4) * 4),
  );
  const buffers = sizes.map((size) => device.createBuffer({ size, usage: STORAGE }));
  const refused = await withDawn(() => device.popErrorScope());
  buffers.forEach((buffer) => buffer.destroy());
  return refused === null;
}
