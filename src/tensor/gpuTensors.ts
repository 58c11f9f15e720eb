/** tfjs's tensors as the GPU's buffers, and buffers as tensors, without a copy: kernels and tfjs share one device. */
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core/dist/tensor';
import type { GpuBuffer } from './kernels/webgpu/device';
import { recorder, type Recorder } from './kernels/webgpu/recorder';
import { runningGpu, withDawn, type WebGpuBackend } from './webgpu';

export interface GpuTensors {
  readonly recorder: Recorder;
  /** Where a tensor's numbers lie. */
  readonly bufferOf: (tensor: tf.TensorInfo) => GpuBuffer;
  /** A tensor whose numbers are to be computed. */
  readonly empty: (shape: readonly number[]) => tf.TensorInfo;
  /** Sends off what tfjs has recorded: what kernels record next comes after it. */
  readonly submit: () => void;
}

let shared: GpuTensors | undefined;

/** Tensors and kernels of the GPU that has been started. */
export function gpuTensors(): GpuTensors {
  if (shared) return shared;
  const backend = tf.findBackend('webgpu') as unknown as WebGpuBackend;
  return (shared = {
    recorder: recorder(runningGpu().device, withDawn),
    bufferOf({ dataId }) {
      const { resource } = backend.tensorMap.get(dataId); // moves the tensor here from another backend
      if (!resource) backend.uploadToGPU(dataId);
      return backend.tensorMap.get(dataId).resource;
    },
    empty: (shape) => {
      const info = backend.makeTensorInfo(shape, 'float32');
      backend.uploadToGPU(info.dataId);
      return info;
    },
    submit() {
      if (!backend.commandEncoder) return;
      backend.endComputePassEncoder();
      backend.submitQueue();
    },
  });
}

/** A tensor of {@link GpuTensors.empty} that tfjs keeps track of. */
export const tracked = (info: tf.TensorInfo): Tensor => tf.engine().makeTensorFromTensorInfo(info);
