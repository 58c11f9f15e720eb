/** What the fused engine takes of a GPU, against the estimate; what a GPU gives, against what it is asked for; what the doctor says of it. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { gpuBuffers } from '../../src/dpg/memory';
import { initializeGpt2 } from '../../src/model/families/gpt2';
import { gpuModel } from '../../src/model/fused/onGpu';
import { gpuGives } from '../../src/tensor/gpuMemory';
import { gpuTensors } from '../../src/tensor/gpuTensors';
import { disposeParams } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { runningGpu } from '../../src/tensor/webgpu';
import { useGpu } from './twins';

const config = { vocab_size: 48, n_positions: 16, n_embd: 32, n_layer: 2, n_head: 2, layer_norm_epsilon: 1e-5 };

describe('memory of a GPU', () => {
  useGpu();

  it('is taken as estimated by the largest operation', async () => {
    const random = randomStream(1, 'memory');
    const [params, tangent] = [initializeGpt2(config, random), initializeGpt2(config, random)];
    const [size, length] = [24, 12];
    const ids = Int32Array.from({ length: size * (length + 1) }, () => random.integer(config.vocab_size));
    const { product } = await gpuModel(config).hessianVectorProduct(
      params,
      { ids, mask: new Float32Array(size * length).fill(1), size, length },
      tangent,
    );
    const estimate = gpuBuffers(config, { examples: size, length, activationBytes: 2 ** 31 });
    const { peak } = gpuTensors().recorder.buffers.bytes;
    expect(peak).toBeGreaterThan(0.7 * estimate);
    expect(peak).toBeLessThan(1.05 * estimate);
    disposeParams(params, tangent, product!);
  });

  it('is given or refused, and the device goes on', async () => {
    expect(await gpuGives(runningGpu(), 2 ** 20)).toBe(true);
    expect(await gpuGives(runningGpu(), 2 ** 50)).toBe(false);
    expect(await gpuGives(runningGpu(), 2 ** 20)).toBe(true);
  });

  it('dpg doctor describes the GPU and measures it', () => {
    const report = execFileSync(process.execPath, [path.resolve('dist/cli/main.js'), 'doctor'], { encoding: 'utf8' });
    expect(report).toMatch(
      /ok +GPU by WebGPU +.+; buffers up to .+ GiB, \d+ KiB a workgroup; .+; .+ GFLOP\/s in products, \d+ µs a call/,
    );
  });
});
