/** What is used of WebGPU, by the names of its specification; TypeScript's own declarations come with a package that not everyone has. */

export interface GpuBuffer {
  readonly size: number;
  readonly mapState: 'unmapped' | 'pending' | 'mapped';
  mapAsync(mode: number): Promise<void>;
  getMappedRange(): ArrayBuffer;
  unmap(): void;
  destroy(): void;
}

/** Handles that are only passed on. */
export type GpuHandle = object;

export interface GpuComputePass {
  setPipeline(pipeline: GpuHandle): void;
  setBindGroup(index: number, group: GpuHandle, dynamicOffsets?: readonly number[]): void;
  dispatchWorkgroups(x: number, y: number, z: number): void;
  end(): void;
}

export interface GpuCommandEncoder {
  beginComputePass(descriptor?: object): GpuComputePass;
  copyBufferToBuffer(from: GpuBuffer, fromAt: number, to: GpuBuffer, toAt: number, bytes: number): void;
  clearBuffer(buffer: GpuBuffer, at: number, bytes: number): void;
  resolveQuerySet(set: GpuHandle, first: number, count: number, to: GpuBuffer, at: number): void;
  finish(): GpuHandle;
}

export interface GpuDevice {
  readonly features: { has(name: string): boolean };
  readonly limits: Readonly<Record<string, number>>;
  readonly lost: Promise<{ readonly reason: string; readonly message: string }>;
  readonly queue: {
    submit(commands: readonly GpuHandle[]): void;
    writeBuffer(buffer: GpuBuffer, at: number, data: ArrayBufferView | ArrayBuffer, from?: number, count?: number): void;
  };
  createBuffer(descriptor: { size: number; usage: number }): GpuBuffer;
  createShaderModule(descriptor: { code: string; label?: string }): GpuHandle;
  createBindGroupLayout(descriptor: object): GpuHandle;
  createPipelineLayout(descriptor: object): GpuHandle;
  createComputePipeline(descriptor: object): GpuHandle;
  createBindGroup(descriptor: object): GpuHandle;
  createCommandEncoder(): GpuCommandEncoder;
  createQuerySet(descriptor: { type: 'timestamp'; count: number }): GpuHandle;
  pushErrorScope(filter: 'validation' | 'out-of-memory' | 'internal'): void;
  popErrorScope(): Promise<{ readonly message: string } | null>;
  destroy(): void;
}

/** `GPUBufferUsage`. */
export const USAGE = { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128, QUERY_RESOLVE: 512 } as const;

/** Of every buffer that kernels compute on. */
export const STORAGE = USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST;

/** Storage buffers that the kernels with the most operands bind. */
export const STORAGE_BUFFERS = 10;

/** Bytes of the largest buffer that kernels can bind. */
export const largestBuffer = ({ limits }: Pick<GpuDevice, 'limits'>): number =>
  Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
