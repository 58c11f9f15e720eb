/** A {@link Clock} from the GPU's own time stamps: what each kernel takes. */
import { USAGE, type GpuBuffer, type GpuDevice } from './device';
import type { Clock } from './recorder';

/** One kernel's calls, the slowest first. */
export interface KernelTime {
  readonly name: string;
  readonly calls: number;
  readonly seconds: number;
  /** Of matrix products. */
  readonly flops: number;
  /** Of the operands' buffers, each counted once a call: what has to be moved at least. */
  readonly bytes: number;
}

/** What is known of a call before it has run. */
type Call = Pick<KernelTime, 'name' | 'flops' | 'bytes'>;

/** Calls between two submits, at most. */
const CALLS = 512;

/** @throws Error where the device has no time stamps */
export function profiler(device: GpuDevice): Clock & { table(): Promise<KernelTime[]> } {
  if (!device.features.has('timestamp-query'))
    throw new Error(
      'this GPU gives no time stamps ("timestamp-query" is not among its features), so that kernels cannot be profiled',
    );
  const stampBytes = 16 * CALLS;
  const made: { names: Call[]; buffer: GpuBuffer }[] = [];
  let set = device.createQuerySet({ type: 'timestamp', count: 2 * CALLS });
  let names: Call[] = [];
  return {
    pass(name, { m = 0, n = 0, k = 0, splits = 1 }, bytes) {
      const first = 2 * names.length;
      names.push({ name, flops: splits ? 2 * m * n * k : 0, bytes });
      return { timestampWrites: { querySet: set, beginningOfPassWriteIndex: first, endOfPassWriteIndex: first + 1 } };
    },
    resolve(encoder) {
      if (!names.length) return;
      const resolved = device.createBuffer({ size: stampBytes, usage: USAGE.QUERY_RESOLVE | USAGE.COPY_SRC });
      const buffer = device.createBuffer({ size: stampBytes, usage: USAGE.MAP_READ | USAGE.COPY_DST });
      encoder.resolveQuerySet(set, 0, 2 * names.length, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, buffer, 0, stampBytes);
      made.push({ names, buffer });
      names = [];
      set = device.createQuerySet({ type: 'timestamp', count: 2 * CALLS });
    },
    async table() {
      const all = new Map<string, Omit<KernelTime, 'name'>>();
      for (const { names: own, buffer } of made) {
        await buffer.mapAsync(1);
        const stamps = new BigUint64Array(buffer.getMappedRange());
        own.forEach(({ name, flops, bytes }, i) => {
          const sum = all.get(name) ?? { calls: 0, seconds: 0, flops: 0, bytes: 0 };
          const seconds = sum.seconds + Number(stamps[2 * i + 1] - stamps[2 * i]) / 1e9;
          all.set(name, { calls: sum.calls + 1, seconds, flops: sum.flops + flops, bytes: sum.bytes + bytes });
        });
        buffer.destroy();
      }
      return [...all].map(([name, sums]) => ({ name, ...sums })).sort((a, b) => b.seconds - a.seconds);
    },
  };
}
