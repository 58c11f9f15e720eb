/** adamw in one kernel for tfjs's `webgpu` backend, where it would be fifteen; see learn/adamw.ts. */
import * as tf from '@tensorflow/tfjs-core';
import { gpuTensors } from '../../gpuTensors';
import { adjointNumbers, updateNumbers, type AdamwAttributes } from '../adamwNumbers';
import { adamw } from './adamw';

type TensorInfo = tf.TensorInfo;

interface Call {
  readonly inputs: Readonly<Record<string, TensorInfo>>;
  readonly attrs: AdamwAttributes;
}

/** Runs `record` on pointers to the inputs and as many new tensors of the first one's shape. */
function onGpu(inputs: readonly TensorInfo[], results: number, record: (n: number, pointers: number[]) => void): TensorInfo[] {
  const { recorder, bufferOf, empty, submit } = gpuTensors();
  const out = Array.from({ length: results }, () => empty(inputs[0].shape));
  const pointers = [...inputs, ...out].map((tensor) => recorder.buffers.pointerTo(bufferOf(tensor)));
  submit();
  record(tf.util.sizeFromShape(inputs[0].shape), pointers);
  recorder.flush();
  return out;
}

/** p, m, v after a step. */
function adamwUpdate({ inputs: { p, m, v, g }, attrs }: Call): TensorInfo[] {
  return onGpu([p, m, v, g], 3, (n, [pAt, mAt, vAt, gAt, pOut, mOut, vOut]) => {
    adamw(gpuTensors().recorder).adamwUpdate(n, pAt, mAt, vAt, gAt, pOut, mOut, vOut, ...updateNumbers(attrs));
  });
}

/** ḡ and p̄, m̄, v̄ before a step. */
function adamwAdjoint({ inputs: { m, v, g, pBar, mBar, vBar }, attrs }: Call): TensorInfo[] {
  return onGpu([m, v, g, pBar, mBar, vBar], 4, (n, [mAt, vAt, gAt, pBarAt, mBarAt, vBarAt, gOut, pOut, mOut, vOut]) => {
    const numbers = adjointNumbers(attrs);
    adamw(gpuTensors().recorder).adamwAdjoint(n, mAt, vAt, gAt, pBarAt, mBarAt, vBarAt, gOut, pOut, mOut, vOut, ...numbers);
  });
}

/** Adds them to the backend, which must have been started. */
export function installWebGpuKernels(): void {
  for (const [kernelName, run] of Object.entries({ AdamwUpdate: adamwUpdate, AdamwAdjoint: adamwAdjoint }))
    tf.registerKernel({ kernelName, backendName: 'webgpu', kernelFunc: run as unknown as tf.KernelFunc });
}
