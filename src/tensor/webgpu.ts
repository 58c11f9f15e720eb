/**
 * WebGPU in Node: Dawn (package `webgpu`) under tfjs's WebGPU backend and under the fused engine's kernels, on one device.
 * tfjs reads tensors at once only by way of a browser's canvas; here by letting Dawn process its events until the values have come.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { GpuBuffer, GpuCommandEncoder, GpuDevice } from './kernels/webgpu/device';
import { STORAGE_BUFFERS } from './kernels/webgpu/device';

/** What is used of an adapter. */
interface GpuAdapter {
  readonly info: Readonly<Record<'vendor' | 'architecture' | 'device' | 'description', string>> & {
    readonly isFallbackAdapter?: boolean;
  };
  readonly features: { has(name: string): boolean };
  readonly limits: Readonly<Record<string, number>>;
  requestDevice(descriptor: object): Promise<GpuDevice>;
}

/** What is used of Dawn. */
interface Dawn {
  /** The browser's `GPUBufferUsage` and so on. */
  readonly globals: object;
  readonly create: (options: readonly string[]) => { requestAdapter(options?: object): Promise<GpuAdapter | null> };
}

/** What is used of tfjs's backend, of 4.22.0. */
export interface WebGpuBackend {
  readonly tensorMap: {
    get(id: object): { values?: tf.backend_util.TypedArray | null; dtype: tf.DataType; resource: GpuBuffer };
  };
  readonly bufferManager: { acquireBuffer(size: number, usage: number): GpuBuffer; releaseBuffer(buffer: GpuBuffer): void };
  readonly commandEncoder: GpuCommandEncoder | null;
  readSync(id: object): unknown;
  read(id: object): Promise<unknown>;
  makeTensorInfo(shape: readonly number[], dtype: 'float32'): tf.TensorInfo;
  uploadToGPU(id: object): void;
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
  convertAndCacheOnCPU(id: object, values: unknown): unknown;
}

/** A GPU in use. */
export interface Gpu {
  readonly device: GpuDevice;
  /** For people, e.g. "NVIDIA H100". */
  readonly name: string;
  /** Whether the CPU only plays one. */
  readonly software: boolean;
}

const COPY_DST_AND_MAP_READ = 0x0008 | 0x0001;
const READ = 1;

/** Dawn's callback while Node has not called it yet. */
let processEvents: (() => void) | undefined;

/**
 * Starts what Dawn finishes later. Dawn processes its events in a callback that it gives to the global `setImmediate`, again and again
 * while something is awaited; it is kept here as well, so that {@link mapNow} can call it at once.
 */
export function withDawn<T>(start: () => T): T {
  const { setImmediate } = globalThis;
  globalThis.setImmediate = ((callback: () => void) => {
    processEvents = callback;
    return setImmediate(() => processEvents === callback && turn());
  }) as typeof setImmediate;
  try {
    return start();
  } finally {
    globalThis.setImmediate = setImmediate;
  }
}

/** Lets Dawn process its events. */
function turn(): void {
  const callback = processEvents!;
  processEvents = undefined;
  withDawn(callback);
}

/**
 * Waits for `buffer` without returning to the event loop.
 * @throws Error if others await something of Dawn, so that its callback is in Node's hands, or if the GPU does not deliver
 */
function mapNow(buffer: GpuBuffer): void {
  void withDawn(() => buffer.mapAsync(READ).catch(() => undefined)); // a failure shows in mapState
  while (buffer.mapState === 'pending') {
    if (!processEvents) throw new Error('a tensor cannot be read while something else is awaited from the GPU: await that first');
    turn();
  }
  if (buffer.mapState !== 'mapped')
    throw new Error('the GPU did not give the values of a tensor: it may be lost or out of memory');
}

/** The values of a tensor that only the GPU has, by the commands of the backend's own, asynchronous `read`; the backend keeps them. */
function readFromGpu(backend: WebGpuBackend, id: object): unknown {
  const { dtype, resource } = backend.tensorMap.get(id);
  const staging = backend.bufferManager.acquireBuffer(resource.size, COPY_DST_AND_MAP_READ);
  backend.ensureCommandEncoderReady();
  backend.endComputePassEncoder();
  backend.commandEncoder!.copyBufferToBuffer(resource, 0, staging, 0, resource.size);
  backend.submitQueue();
  try {
    mapNow(staging);
    return backend.convertAndCacheOnCPU(id, tf.util.convertBackendValuesAndArrayBuffer(staging.getMappedRange().slice(0), dtype));
  } finally {
    staging.unmap(); // also ends a wait that was given up
    backend.bufferManager.releaseBuffer(staging);
  }
}

function readAtOnce(backend: WebGpuBackend): void {
  const original = backend.readSync.bind(backend);
  backend.readSync = (id) => {
    const { values, dtype } = backend.tensorMap.get(id);
    const isHere = values || dtype === 'complex64'; // the original reads the parts of complex numbers by readSync
    return isHere ? original(id) : readFromGpu(backend, id);
  };
  backend.read = async (id) => backend.readSync(id);
}

const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupsPerDimension',
] as const;

/** The features that are used where they are. */
export const FEATURES = ['timestamp-query', 'subgroups'] as const;

const nameOf = ({ info }: GpuAdapter): string => info.description || info.device || `${info.vendor} ${info.architecture}`.trim();

const isSoftware = (adapter: GpuAdapter): boolean =>
  adapter.info.isFallbackAdapter === true || /swiftshader|llvmpipe|software/i.test(nameOf(adapter));

async function startDevice(adapter: GpuAdapter): Promise<Gpu> {
  if (adapter.limits.maxStorageBuffersPerShaderStage < STORAGE_BUFFERS)
    throw new Error(
      `the kernels bind ${STORAGE_BUFFERS} buffers, and ${nameOf(adapter)} allows ${adapter.limits.maxStorageBuffersPerShaderStage}`,
    );
  const device = await adapter.requestDevice({
    requiredFeatures: FEATURES.filter((feature) => adapter.features.has(feature)),
    requiredLimits: Object.fromEntries(LIMITS.map((limit) => [limit, adapter.limits[limit]])),
  });
  return { device, name: nameOf(adapter), software: isSoftware(adapter) };
}

let gpu: Gpu | undefined;

/** The GPU that {@link startWebGpu} has started. */
export function runningGpu(): Gpu {
  if (!gpu) throw new Error('no GPU has been started; set DPG_BACKEND=webgpu');
  return gpu;
}

/**
 * @param software - whether a GPU that the CPU only plays will do
 * @throws Error if a package is missing or no GPU is there
 */
export async function startWebGpu({ software }: { software: boolean }): Promise<void> {
  const { create, globals } = require('webgpu') as Dawn;
  require.resolve('@tensorflow/tfjs-backend-webgpu');
  const entry = create(['disable-dawn-features=timestamp_quantization']);
  const adapter = await entry.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new Error('no GPU is visible to Vulkan, Metal or Direct3D 12');
  if (!software && isSoftware(adapter)) throw new Error(`${nameOf(adapter)} is a CPU that plays a GPU`);
  Object.assign(globalThis, globals);
  Object.defineProperty(globalThis, 'navigator', { value: { gpu: entry, userAgent: 'Node' }, configurable: true });
  const started = await startDevice(adapter);
  const { WebGPUBackend } = require('@tensorflow/tfjs-backend-webgpu') as {
    WebGPUBackend: new (device: GpuDevice, info: object) => tf.KernelBackend;
  };
  tf.removeBackend('webgpu'); // the one that would ask for a device of its own, with the least of limits
  tf.registerBackend('webgpu', () => new WebGPUBackend(started.device, adapter.info));
  if (!(await tf.setBackend('webgpu'))) throw new Error('the package loads, but its backend does not start');
  await new Promise((resolve) => setImmediate(resolve)); // Dawn's callback from the start has run
  readAtOnce(tf.backend() as unknown as WebGpuBackend);
  gpu = started;
}
