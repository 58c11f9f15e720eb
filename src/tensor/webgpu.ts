/**
 * WebGPU in Node: Dawn (package `webgpu`) under tfjs's WebGPU backend, which finds the GPU in `navigator` as in a browser.
 * tfjs reads tensors at once only by way of a browser's canvas; here by letting Dawn process its events until the values have come.
 */
import * as tf from '@tensorflow/tfjs-core';

/** What is used of Dawn. */
interface Dawn {
  /** The browser's `GPUBufferUsage` and so on. */
  readonly globals: object;
  readonly create: (options: readonly string[]) => { requestAdapter(): Promise<object | null> };
}

/** A GPU buffer whose content is on its way to the CPU, or there. */
interface MappedBuffer {
  readonly mapState: 'unmapped' | 'pending' | 'mapped';
  mapAsync(mode: number): Promise<void>;
  getMappedRange(): ArrayBuffer;
  unmap(): void;
}

/** What is used of tfjs's backend, of 4.22.0. */
interface WebGpuBackend {
  readonly tensorMap: {
    get(id: object): { values?: tf.backend_util.TypedArray | null; dtype: tf.DataType; resource: { size: number } };
  };
  readonly bufferManager: { acquireBuffer(size: number, usage: number): MappedBuffer; releaseBuffer(buffer: MappedBuffer): void };
  readonly commandEncoder: { copyBufferToBuffer(from: object, start: number, to: object, at: number, size: number): void };
  readSync(id: object): unknown;
  read(id: object): Promise<unknown>;
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
  convertAndCacheOnCPU(id: object, values: unknown): unknown;
}

const COPY_DST_AND_MAP_READ = 0x0008 | 0x0001;
const READ = 1;

/**
 * Waits for `buffer` without returning to the event loop. Dawn processes its events in a callback that it gives to the global `setImmediate`,
 * again and again while something is awaited; taken from there, it is called at once.
 * @throws Error if Dawn awaits something already, so that the callback is in Node's hands, or if the GPU does not deliver
 */
function mapNow(buffer: MappedBuffer): void {
  const { setImmediate } = globalThis;
  let processEvents: (() => void) | undefined;
  globalThis.setImmediate = ((callback: () => void) => (processEvents = callback)) as unknown as typeof setImmediate;
  try {
    buffer.mapAsync(READ).catch(() => undefined); // a failure shows in mapState
    while (buffer.mapState === 'pending') {
      if (!processEvents)
        throw new Error('a tensor cannot be read while something else is awaited from the GPU: await that first');
      const callback = processEvents;
      processEvents = undefined;
      callback();
    }
  } finally {
    globalThis.setImmediate = setImmediate;
    if (processEvents) setImmediate(processEvents);
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
  backend.commandEncoder.copyBufferToBuffer(resource, 0, staging, 0, resource.size);
  backend.submitQueue();
  try {
    mapNow(staging);
    return backend.convertAndCacheOnCPU(id, tf.util.convertBackendValuesAndArrayBuffer(staging.getMappedRange().slice(0), dtype));
  } finally {
    staging.unmap(); // also ends a wait that was given up
    backend.bufferManager.releaseBuffer(staging);
  }
}

/** Promises are kept at once as well: else {@link mapNow} would meet Dawn waiting for them. */
function readAtOnce(backend: WebGpuBackend): void {
  const original = backend.readSync.bind(backend);
  backend.readSync = (id) => {
    const { values, dtype } = backend.tensorMap.get(id);
    return values || dtype === 'complex64' ? original(id) : readFromGpu(backend, id); // the original reads the parts of complex numbers by readSync
  };
  backend.read = async (id) => backend.readSync(id);
}

/** @throws Error if a package is missing or no GPU is there */
export async function startWebGpu(): Promise<void> {
  const { create, globals } = require('webgpu') as Dawn;
  require.resolve('@tensorflow/tfjs-backend-webgpu');
  const gpu = create([]);
  if (!(await gpu.requestAdapter())) throw new Error('no GPU is visible to Vulkan, Metal or Direct3D 12');
  Object.assign(globalThis, globals);
  Object.defineProperty(globalThis, 'navigator', { value: { gpu, userAgent: 'Node' }, configurable: true });
  require('@tensorflow/tfjs-backend-webgpu'); // only now: it looks at once
  if (!(await tf.setBackend('webgpu'))) throw new Error('the package loads, but its backend does not start');
  await new Promise((resolve) => setImmediate(resolve)); // Dawn's callback from the start has run
  readAtOnce(tf.backend() as unknown as WebGpuBackend);
}
