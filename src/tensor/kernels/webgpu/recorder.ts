/**
 * Records kernels for a GPU and sends them off. The numbers of all calls lie in one ring of uniforms; results come back in one read at the
 * end.
 */
import type { KernelMemory, Pointer } from '../kernels';
import { buffers, offsetOf, type Buffers } from './buffers';
import type { GpuCommandEncoder, GpuComputePass, GpuDevice } from './device';
import { bindGroups, pipelines, uniformRing, type Places } from './pipelines';
import type { Program } from './program';
import { complaints, readBack, type Awaited } from './readBack';

/** Calls that are sent off together: the GPU begins before all is recorded. */
const RING = 512;

/** What has been done so far; counted in tests. */
export interface Counts {
  dispatches: number;
  submits: number;
  /** Buffers mapped to be read. */
  reads: number;
  bytesRead: number;
}

/** Times every kernel, in passes of their own. */
export interface Clock {
  /** The descriptor of the next call's pass; `bytes` are those of its operands' buffers. */
  pass(name: string, sizes: Readonly<Record<string, number>>, bytes: number): object;
  /** Called before what is recorded is sent off. */
  resolve(encoder: GpuCommandEncoder): void;
}

export interface Recorder {
  readonly device: GpuDevice;
  readonly memory: KernelMemory;
  readonly buffers: Buffers;
  readonly counts: Counts;
  /** Measures every kernel, while there is one. */
  clock: Clock | null;
  /** A kernel's call: workgroups, where its operands lie, its numbers. */
  readonly run: <O extends string, S extends string>(
    p: Program<O, S>,
    workgroups: readonly [number, number, number],
    at: Readonly<Record<O, Pointer>>,
    sizes: Readonly<Record<S, number>>,
  ) => void;
  /** Sends off what is recorded. */
  readonly flush: () => void;
  /**
   * Sends off what is recorded and hands over what was to be read.
   * @throws Error with the cause where the GPU refused anything since the last call, ran out of memory or was lost
   */
  readonly finish: () => Promise<void>;
  /** Forgets what is recorded and not yet sent off, after an error amid an operation. */
  readonly abandon: () => void;
}

/** Commands that are being recorded. */
function commands(device: GpuDevice) {
  let encoder: GpuCommandEncoder | null = null;
  let pass: GpuComputePass | null = null;
  const endPass = (): void => {
    pass?.end();
    pass = null;
  };
  const begun = (): GpuCommandEncoder => (encoder ??= device.createCommandEncoder());
  return {
    /** For copies. */
    encoder: (): GpuCommandEncoder => {
      endPass();
      return begun();
    },
    /** For kernels; one of its own where a descriptor is given. */
    pass: (descriptor?: object): GpuComputePass => {
      if (descriptor) endPass();
      return (pass ??= begun().beginComputePass(descriptor));
    },
    /** What was recorded, if anything was. */
    take: (): GpuCommandEncoder | null => {
      endPass();
      const taken = encoder;
      encoder = null;
      return taken;
    },
  };
}

/** Bytes of the buffers that a call binds, each once. */
const operandBytes = (own: Buffers, at: Places): number =>
  [
    ...new Set(
      Object.values(at)
        .filter((place) => place !== 0)
        .map(own.bufferAt),
    ),
  ].reduce((sum, { size }) => sum + size, 0);

/** Records calls and sends them off. */
function caller(
  device: GpuDevice,
  own: Buffers,
  recorded: ReturnType<typeof commands>,
  counts: Counts,
  clock: () => Clock | null,
) {
  const ring = uniformRing(device, RING);
  const [compiled, bound] = [pipelines(device, ring.layout), bindGroups(device, own)];
  let calls = 0;
  const flush = (): void => {
    const encoder = recorded.take();
    if (!encoder) return;
    clock()?.resolve(encoder);
    if (calls) ring.upload(calls);
    device.queue.submit([encoder.finish()]);
    counts.submits++;
    calls = 0;
  };
  const run = (
    p: Program,
    workgroups: readonly [number, number, number],
    at: Places,
    sizes: Readonly<Record<string, number>>,
  ) => {
    if (calls === RING) flush();
    const known = compiled(p);
    ring.put(calls, known, at, sizes);
    const pass = recorded.pass(clock()?.pass(p.name, sizes, operandBytes(own, at)));
    pass.setPipeline(known.pipeline);
    pass.setBindGroup(0, bound(known, at));
    ring.bind(pass, calls++);
    pass.dispatchWorkgroups(...workgroups);
    counts.dispatches++;
  };
  const forget = (): void => {
    recorded.take();
    calls = 0;
  };
  return { flush, run, forget };
}

/** A recorder on a device of its own, or one that others use too. */
export function recorder(device: GpuDevice, awaited: Awaited = (start) => start()): Recorder {
  const own = buffers(device);
  const [listening, reading] = [complaints(device, awaited), readBack(device, own, awaited)];
  const counts: Counts = { dispatches: 0, submits: 0, reads: 0, bytesRead: 0 };
  const recorded = commands(device);
  const { flush, run, forget } = caller(device, own, recorded, counts, () => self.clock);
  const stage = (at: Pointer, count: number, use: (words: ArrayBuffer) => void): void => {
    listening.open();
    reading.stage(recorded.encoder(), at, count, use);
  };
  const memory: KernelMemory = {
    arena: own.arena,
    write: (at, values) => {
      listening.open();
      flush(); // what is recorded reads what was there before
      device.queue.writeBuffer(own.bufferAt(at), offsetOf(at), values);
    },
    read: (at, count, use) => stage(at, count, (words) => use(new Float32Array(words))),
    readIntegers: (at, count, use) => stage(at, count, (words) => use(new Int32Array(words))),
    heldBytes: () => own.bytes.held,
  };
  const self: Recorder = {
    ...{ device, memory, buffers: own, counts, clock: null, flush },
    run: (p, workgroups, at, sizes) => {
      listening.open();
      if (!workgroups.includes(0)) run(p as unknown as Program, workgroups, at, sizes);
    },
    finish: () => {
      flush();
      own.settle();
      return delivered(reading.take(), listening.close(), counts);
    },
    abandon: () => {
      forget();
      reading.take().destroy();
      own.arena.release(0);
      own.settle();
    },
  };
  return self;
}

/** Waits for what an operation reads. */
async function delivered(
  reading: ReturnType<ReturnType<typeof readBack>['take']>,
  complaint: Promise<string | undefined>,
  counts: Counts,
): Promise<void> {
  try {
    const [refused, failed] = await Promise.all([complaint, reading.arrive()]);
    if (refused ?? failed) throw new Error(`the GPU stopped computing: ${refused ?? failed}`);
    reading.deliver();
    counts.reads += reading.stagings.length;
    counts.bytesRead += reading.stagings.reduce((sum, { used }) => sum + used, 0);
  } finally {
    reading.destroy();
  }
}
