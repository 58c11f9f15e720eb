/**
 * Buffers of a GPU by pointer: a region is one buffer. Pieces of the arena are buffers of their own, for no kernel may bind one buffer both
 * to read and to write; sizes are rounded up, so that batches of other lengths find them again.
 */
import { LINE, type Arena, type Pointer } from '../kernels';
import { largestBuffer, STORAGE, type GpuBuffer, type GpuDevice } from './device';

/** Bytes that one region's pointers span. */
const REGION = 2 ** 32;

/** Operations that a free buffer survives unused. */
const KEPT = 8;

export interface Buffers {
  readonly arena: Arena;
  /** The pointer to the start of a buffer of any owner; the same for the same buffer. */
  readonly pointerTo: (buffer: GpuBuffer) => Pointer;
  readonly bufferAt: (at: Pointer) => GpuBuffer;
  /** Ends an operation: pointers of {@link pointerTo} are forgotten, buffers that no operation uses any more destroyed. */
  readonly settle: () => void;
  /** Bytes of the arena's buffers, free ones included, and the most there ever were. */
  readonly bytes: Readonly<Bytes>;
}

interface Bytes {
  held: number;
  peak: number;
}

export const regionOf = (at: Pointer): number => Math.floor(at / REGION);
export const offsetOf = (at: Pointer): number => at % REGION;

/** The next of eight sizes per power of two. */
export function roundedSize(bytes: number): number {
  const step = Math.max(LINE, 2 ** (Math.floor(Math.log2(Math.max(1, bytes))) - 3));
  return Math.ceil(Math.max(1, bytes) / step) * step;
}

/** A new buffer. @throws RangeError where the GPU has none so large */
function create(device: GpuDevice, size: number, bytes: Bytes): GpuBuffer {
  const limit = largestBuffer(device);
  if (size > limit)
    throw new RangeError(
      `a buffer of ${Math.ceil(size / 2 ** 20)} MiB is needed, but this GPU has ${Math.floor(limit / 2 ** 20)} MiB at most; ` +
        'take a smaller model or shorter sequences',
    );
  bytes.held += size;
  bytes.peak = Math.max(bytes.peak, bytes.held);
  return device.createBuffer({ size, usage: STORAGE });
}

/** Free buffers by size, with the number of the operation that was the last to use them. */
function freeBuffers(drop: (buffer: GpuBuffer) => void) {
  const bySize = new Map<number, { buffer: GpuBuffer; since: number }[]>();
  return {
    take: (size: number): GpuBuffer | undefined => bySize.get(size)?.pop()?.buffer,
    give(buffer: GpuBuffer, since: number): void {
      const list = bySize.get(buffer.size) ?? [];
      list.push({ buffer, since });
      bySize.set(buffer.size, list);
    },
    dropBefore(operation: number): void {
      for (const [size, list] of bySize) {
        const kept = list.filter(({ since }) => since >= operation);
        for (const { buffer, since } of list) if (since < operation) drop(buffer);
        bySize.set(size, kept);
      }
    },
  };
}

export function buffers(device: GpuDevice): Buffers {
  const byRegion = new Map<number, GpuBuffer>();
  const regions = new WeakMap<GpuBuffer, number>();
  const visiting = new Set<number>();
  const taken: GpuBuffer[] = [];
  const bytes = { held: 0, peak: 0 };
  let [next, operation] = [1, 0];

  const register = (buffer: GpuBuffer): number => {
    const region = regions.get(buffer) ?? next++;
    regions.set(buffer, region);
    byRegion.set(region, buffer);
    return region;
  };
  const free = freeBuffers((buffer) => {
    byRegion.delete(regions.get(buffer)!);
    bytes.held -= buffer.size;
    buffer.destroy();
  });
  const arena: Arena = {
    floats: (count) => {
      const size = roundedSize(4 * count);
      taken.push(free.take(size) ?? create(device, size, bytes));
      return register(taken[taken.length - 1]) * REGION;
    },
    mark: () => taken.length,
    release: (mark) =>
      taken
        .splice(mark)
        .reverse()
        .forEach((buffer) => free.give(buffer, operation)),
  };
  return {
    ...{ arena, bytes },
    pointerTo: (buffer) => {
      const region = register(buffer);
      visiting.add(region);
      return region * REGION;
    },
    bufferAt: (at) => {
      const buffer = byRegion.get(regionOf(at));
      if (!buffer) throw new Error(`no buffer lies at the pointer ${at}`);
      return buffer;
    },
    settle: () => {
      for (const region of visiting) byRegion.delete(region);
      visiting.clear();
      free.dropBefore(++operation - KEPT);
    },
  };
}
