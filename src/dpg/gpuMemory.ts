/** Whether a run fits into a GPU's memory, and how large its microbatches may be there. */
import { parameterShapes } from '../model/families';
import { gpuPortions } from '../model/fused/onGpu';
import { gpuGives } from '../tensor/gpuMemory';
import { largestBuffer } from '../tensor/kernels/webgpu/device';
import type { Gpu } from '../tensor/webgpu';
import type { Config } from './config';
import { estimateMemory, gigabytes, type MemoryEstimate, type ModelPair } from './memory';

/** Below this, microbatches are too small to keep a GPU busy. */
const LEAST_ACTIVATIONS = 2 ** 26;

/** @throws Error naming the largest tensor of the models, where it is larger than any buffer of the GPU */
function requireBuffers({ generator, target }: ModelPair, { device, name }: Gpu): void {
  const limit = largestBuffer(device);
  const tensors = [generator, target].flatMap((config) => Object.entries(parameterShapes(config)));
  for (const [tensor, shape] of tensors) {
    const bytes = 4 * shape.reduce((a, b) => a * b, 1);
    if (bytes > limit)
      throw new Error(
        `${tensor} is ${gigabytes(bytes)}, and a buffer of ${name} holds ${gigabytes(limit)} at most: take a smaller model, or the CPU ` +
          '(DPG_BACKEND=cpu)',
      );
  }
}

/**
 * The largest microbatches with which a run fits.
 * @returns bytes of activations that a microbatch may take, and the run's estimate with them
 * @throws Error in one line, for a run that cannot fit: what is too large, and what to change
 */
export async function fitOnGpu(
  pair: ModelPair,
  config: Config,
  gpu: Gpu,
  gives: typeof gpuGives = gpuGives,
): Promise<{ activationBytes: number; estimate: MemoryEstimate }> {
  requireBuffers(pair, gpu);
  let { activationBytes } = gpuPortions(largestBuffer(gpu.device));
  for (;;) {
    const estimate = estimateMemory(pair, config, 'webgpu', activationBytes);
    if (await gives(gpu, estimate.tensors)) return { activationBytes, estimate };
    if (activationBytes / 2 < LEAST_ACTIVATIONS)
      throw new Error(
        `this run needs about ${gigabytes(estimate.tensors)} on the GPU even with the smallest microbatches, and ${gpu.name} does not ` +
          'give them: take innerOptimizer "sgd", fewer innerSteps, shorter texts or a smaller model, or the CPU (DPG_BACKEND=cpu)',
      );
    activationBytes /= 2;
  }
}
