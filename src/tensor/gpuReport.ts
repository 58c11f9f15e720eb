/** What a GPU is and how fast: adapter, limits, features, and a measurement of some seconds. */
import { startBackend } from './backend';
import { gpuTensors } from './gpuTensors';
import { largestBuffer } from './kernels/webgpu/device';
import { gpuKernels } from './kernels/webgpu/kernels';
import type { Recorder } from './kernels/webgpu/recorder';
import { FEATURES, runningGpu } from './webgpu';

/** A GPU as WebGPU sees it. */
export interface GpuReport {
  readonly name: string;
  /** Whether the CPU only plays one. */
  readonly software: boolean;
  /** Bytes of the largest buffer that a kernel can bind. */
  readonly largestBuffer: number;
  /** Bytes that the lanes of a workgroup share. */
  readonly workgroupMemory: number;
  /** Of the features that are used where they are, those that it has. */
  readonly features: readonly string[];
  /** Of the product of two square matrices, in float32. */
  readonly gflops: number;
  /** From recording to the end, of a kernel that does next to nothing. */
  readonly microsecondsPerCall: number;
}

/** Seconds that each of the two measurements takes, about. */
const SECONDS = 4;

/** Calls a second of what `record` records, in rounds that double until they take long enough. */
async function rateOf(r: Recorder, record: () => void): Promise<number> {
  const x = r.memory.arena.floats(1);
  const seconds = async (calls: number): Promise<number> => {
    const from = performance.now();
    for (let call = 0; call < calls; call++) record();
    r.memory.read(x, 1, () => undefined); // so that all of it is done
    await r.finish();
    return (performance.now() - from) / 1000;
  };
  await seconds(1); // compiles
  let calls = 1;
  for (;;) {
    const took = await seconds(calls);
    if (took > SECONDS / 2) return calls / took;
    calls = Math.ceil(calls * Math.min(8, Math.max(2, (0.6 * SECONDS) / took)));
  }
}

/** Starts the GPU and measures it. @throws Error as the backend `webgpu` does, where there is none or its packages are missing */
export async function gpuReport(): Promise<GpuReport> {
  process.env.DPG_BACKEND = 'webgpu';
  await startBackend();
  const { name, software, device } = runningGpu();
  const { recorder } = gpuTensors();
  const k = gpuKernels(recorder);
  const size = software ? 64 : 2048;
  const [a, b, c] = [1, 2, 3].map(() => recorder.memory.arena.floats(size * size));
  const products = await rateOf(recorder, () => k.gemm(size, size, size, a, size, 1, b, size, 1, c, size, 0, false));
  return {
    ...{ name, software },
    largestBuffer: largestBuffer(device),
    workgroupMemory: device.limits.maxComputeWorkgroupStorageSize,
    features: FEATURES.filter((feature) => device.features.has(feature)),
    gflops: (2 * size ** 3 * products) / 1e9,
    microsecondsPerCall: 1e6 / (await rateOf(recorder, () => k.zero(64, c))),
  };
}
