/**
 * WebGPU in Node: Dawn (package `webgpu`) under tfjs's WebGPU backend, which finds the GPU in `navigator` as in a browser.
 * tfjs reads tensors at once only by way of a browser's canvas; here by letting Dawn process its events until the values have come.
 */
import * as tf from '@tensorflow/tfjs';

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

/** The backend's own `read`, without a promise. The values stay on the CPU as well from then on. */
function readSync(this: WebGpuBackend, id: object): unknown {
  const { values, dtype, resource } = this.tensorMap.get(id);
  if (values) return values;
  const staging = this.bufferManager.acquireBuffer(resource.size, COPY_DST_AND_MAP_READ);
  this.ensureCommandEncoderReady();
  this.endComputePassEncoder();
  this.commandEncoder.copyBufferToBuffer(resource, 0, staging, 0, resource.size);
  this.submitQueue();
  mapNow(staging);
  const bytes = staging.getMappedRange().slice(0);
  staging.unmap();
  this.bufferManager.releaseBuffer(staging);
  return this.convertAndCacheOnCPU(id, tf.util.convertBackendValuesAndArrayBuffer(bytes, dtype));
}

/** In one go too: nothing is awaited from the GPU, ever, that {@link mapNow} would have to wait for. */
async function read(this: WebGpuBackend, id: object): Promise<unknown> {
  return readSync.call(this, id);
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
  Object.assign(tf.backend(), { readSync, read });
}
