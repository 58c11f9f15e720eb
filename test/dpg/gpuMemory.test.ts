/** Whether a run fits on a GPU, with adapters made up: limits, and how much each gives. */
import { describe, expect, it } from 'vitest';
import { parseConfig, sharedKeys } from '../../src/dpg/config';
import { fitOnGpu } from '../../src/dpg/gpuMemory';
import { estimateMemory } from '../../src/dpg/memory';
import { parameterCount } from '../../src/model/families';
import type { Gpt2Config } from '../../src/model/types';
import { gpuGives } from '../../src/tensor/gpuMemory';
import type { GpuDevice } from '../../src/tensor/kernels/webgpu/device';
import type { Gpu } from '../../src/tensor/webgpu';

const GPT2: Gpt2Config = { vocab_size: 50257, n_positions: 1024, n_embd: 768, n_layer: 12, n_head: 12, layer_norm_epsilon: 1e-5 };
const pair = { generator: GPT2, target: GPT2 };
const config = parseConfig({ keys: sharedKeys }, { prompts: 64, groupSize: 4, promptLength: 64, maxNewTokens: 64 });
const GIB = 2 ** 30;

/** A GPU that gives `free` bytes, in buffers of `largest` at most. */
function madeUp(free: number, largest: number, software = false) {
  const taken: { size: number; destroyed: boolean }[] = [];
  let scope: object | null = null;
  const device = {
    limits: { maxBufferSize: 2 * largest, maxStorageBufferBindingSize: largest },
    pushErrorScope: () => (scope = null),
    popErrorScope: () => Promise.resolve(scope),
    createBuffer({ size }: { size: number }) {
      const buffer = { size, destroyed: false, destroy: () => void (buffer.destroyed = true) };
      taken.push(buffer);
      if (size > largest || taken.reduce((sum, each) => sum + (each.destroyed ? 0 : each.size), 0) > free)
        scope = { message: 'out of memory' };
      return buffer;
    },
  };
  return { gpu: { device: device as unknown as GpuDevice, name: 'Made Up 9000', software } satisfies Gpu, taken };
}

describe('what a GPU gives', () => {
  it('is found by taking it, in buffers it can have, and giving it back', async () => {
    const { gpu, taken } = madeUp(10 * GIB, 4 * GIB);
    expect(await gpuGives(gpu, 10 * GIB)).toBe(true);
    expect(taken.map(({ size }) => size / GIB)).toEqual([4, 4, 2]);
    expect(await gpuGives(gpu, 10 * GIB + 4)).toBe(false);
    expect(await gpuGives(gpu, 10 * GIB)).toBe(true); // all has been given back
    expect(taken.every(({ destroyed }) => destroyed)).toBe(true);
  });

  it("is the machine's own memory where the CPU plays the GPU, and is not touched", async () => {
    const { gpu, taken } = madeUp(0, GIB, true);
    expect(await gpuGives(gpu, 1e6)).toBe(true);
    expect(await gpuGives(gpu, 1e15)).toBe(false);
    expect(taken).toEqual([]);
  });
});

describe('a run on a GPU', () => {
  const trees = (4 * parameterCount(GPT2)) / 1e9;

  it('is estimated by its trees and one microbatch of each model, not by what the tape would hold', () => {
    const { tensors, total, worker, onGpu } = estimateMemory(pair, config, 'webgpu');
    expect([onGpu, worker, total]).toEqual([true, 0, tensors]);
    expect(tensors / 1e9).toBeGreaterThan(25 * trees);
    expect(tensors).toBeLessThan(estimateMemory(pair, { ...config, engine: 'tape' }, 'webgpu').tensors);
    const smaller = estimateMemory(pair, config, 'webgpu', 2 ** 28).tensors;
    expect(tensors - smaller).toBeGreaterThan(2 ** 30);
  });

  it('has microbatches as large as keep the GPU busy where there is room, and smaller ones where there is not', async () => {
    const { activationBytes, estimate } = await fitOnGpu(pair, config, madeUp(80 * GIB, 2 * GIB).gpu);
    expect(activationBytes).toBe(2 * GIB);
    const tight = madeUp(estimate.tensors - GIB, 2 * GIB);
    const fitted = await fitOnGpu(pair, config, tight.gpu);
    expect(fitted.activationBytes).toBeLessThan(activationBytes);
    expect(fitted.estimate.tensors).toBeLessThan(estimate.tensors - GIB);
  });

  it('that cannot fit is refused with what to change', async () => {
    await expect(fitOnGpu(pair, config, madeUp(4 * GIB, 2 * GIB).gpu)).rejects.toThrow(
      /^this run needs about \d+ GB on the GPU even with the smallest microbatches, and Made Up 9000 does not give them: take inner/,
    );
  });

  it('is refused where a tensor is larger than any buffer, by the name of the tensor', async () => {
    await expect(fitOnGpu(pair, config, madeUp(80 * GIB, 2 ** 27).gpu)).rejects.toThrow(
      'transformer.wte.weight is 0.2 GB, and a buffer of Made Up 9000 holds 0.1 GB at most: take a smaller model, or the CPU',
    );
  });
});
