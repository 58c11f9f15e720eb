/** Numbers on their way from the GPU, and its complaints. */
import type { Pointer } from '../kernels';
import { offsetOf, type Buffers } from './buffers';
import { USAGE, type GpuBuffer, type GpuCommandEncoder, type GpuDevice } from './device';

/** How promises of the device are started, so that tensors can be read meanwhile. */
export type Awaited = <T>(start: () => Promise<T>) => Promise<T>;

const READ = 1; // GPUMapMode
/** Bytes of a buffer that is read from, unless one piece needs more. */
const STAGING = 2 ** 20;

/** What one operation reads. */
export interface Reading {
  readonly stagings: readonly { readonly buffer: GpuBuffer; readonly used: number }[];
  /** Maps all; the first error, if any. */
  arrive(): Promise<string | undefined>;
  /** Hands everything to who asked for it. */
  deliver(): void;
  destroy(): void;
}

/** Collects copies of what is to be read, and gives them out as one {@link Reading}. */
export function readBack(device: GpuDevice, buffers: Buffers, awaited: Awaited) {
  let stagings: { buffer: GpuBuffer; used: number }[] = [];
  let pieces: { buffer: GpuBuffer; from: number; bytes: number; use: (words: ArrayBuffer) => void }[] = [];
  return {
    stage(encoder: GpuCommandEncoder, at: Pointer, count: number, use: (words: ArrayBuffer) => void): void {
      const bytes = 4 * count;
      let last = stagings.at(-1);
      if (!last || last.used + bytes > last.buffer.size) {
        const size = Math.max(STAGING, bytes);
        last = { buffer: device.createBuffer({ size, usage: USAGE.MAP_READ | USAGE.COPY_DST }), used: 0 };
        stagings.push(last);
      }
      encoder.copyBufferToBuffer(buffers.bufferAt(at), offsetOf(at), last.buffer, last.used, bytes);
      pieces.push({ buffer: last.buffer, from: last.used, bytes, use });
      last.used += bytes;
    },
    take(): Reading {
      const [mapped, asked] = [stagings, pieces];
      [stagings, pieces] = [[], []];
      return {
        stagings: mapped,
        arrive: async () => {
          const each = mapped.map(({ buffer }) => awaited(() => buffer.mapAsync(READ)).then(() => undefined, String));
          return (await Promise.all(each)).find((error) => error !== undefined);
        },
        deliver() {
          const words = new Map(mapped.map(({ buffer }) => [buffer, buffer.getMappedRange()]));
          for (const { buffer, from, bytes, use } of asked) use(words.get(buffer)!.slice(from, from + bytes));
        },
        destroy: () => mapped.forEach(({ buffer }) => buffer.destroy()),
      };
    },
  };
}

/** What the device refuses is heard of only when one asks; {@link open} begins to listen. */
export function complaints(device: GpuDevice, awaited: Awaited) {
  let listening = false;
  let lost: string | undefined;
  void device.lost.then(({ reason, message }) => (lost = `it was lost: ${message || reason}`));
  return {
    open(): void {
      if (!listening) for (const filter of ['internal', 'out-of-memory', 'validation'] as const) device.pushErrorScope(filter);
      listening = true;
    },
    /** The first complaint since, if any. */
    async close(): Promise<string | undefined> {
      if (!listening) return lost;
      listening = false;
      const pop = () => device.popErrorScope();
      const [validation, memory, internal] = await awaited(() => Promise.all([pop(), pop(), pop()]));
      if (memory) return `it is out of memory: ${memory.message}`;
      return lost ?? validation?.message ?? internal?.message;
    },
  };
}
