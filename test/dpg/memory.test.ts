import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseConfig, sharedKeys, type ConfigInput } from '../../src/dpg/config';
import {
  describeMemory,
  estimateMemory,
  metagradientTrees,
  activationColumns,
  requireMemory,
  tapeActivations,
  type ModelPair,
} from '../../src/dpg/memory';
import { metagradient } from '../../src/learn/metagradient';
import { innerOptimizer as innerOptimizerOf } from '../../src/dpg/inner';
import { atStep } from '../../src/dpg/schedule';
import type { Optimizer } from '../../src/learn/optimizer';
import { familyOf, parameterCount } from '../../src/model/families';
import { tapeGpt2, tapeModel } from '../../src/model/tape/tape';
import { randomStream } from '../../src/tensor/random';
import type { Gpt2Config, LlamaConfig, ModelConfig } from '../../src/model/types';
import { disposeParams } from '../../src/tensor/params';
import { useBackend } from '../support/backend';
import { TINY, tinyParams } from '../support/tinyExperiment';

const GPT2: Gpt2Config = { vocab_size: 50257, n_positions: 1024, n_embd: 768, n_layer: 12, n_head: 12, layer_norm_epsilon: 1e-5 };
const LLAMA: LlamaConfig = {
  model_type: 'llama',
  vocab_size: 128256,
  n_positions: 131072,
  n_embd: 2048,
  n_layer: 16,
  n_head: 32,
  num_key_value_heads: 8,
  head_dim: 64,
  intermediate_size: 8192,
  rms_norm_eps: 1e-5,
  rope_theta: 500_000,
  rope_scaling: null,
};
const config = (input: ConfigInput = {}) =>
  parseConfig({ keys: sharedKeys }, { workers: 2, prompts: 16, groupSize: 4, maxNewTokens: 64, ...input });
const gpt2: ModelPair = { generator: GPT2, target: GPT2 };

describe('parameters', () => {
  it('are as many as published, and the untied head', () => {
    expect(parameterCount(GPT2)).toBe(124_439_808 + 50257 * 768);
    expect(parameterCount(LLAMA)).toBe(1_235_814_400 + 128256 * 2048);
  });
});

/** Most bytes of tensors that lived at once during some work, beyond those before; what it returns is freed. */
async function mostBytes(work: () => Promise<object>): Promise<number> {
  const before = tf.memory().numBytes;
  const engine = tf.engine();
  const track = engine.trackTensor.bind(engine);
  let most = 0;
  engine.trackTensor = (...args) => {
    track(...args);
    most = Math.max(most, tf.memory().numBytes);
  };
  tf.dispose((await work()) as tf.TensorContainer);
  engine.trackTensor = track;
  return most - before;
}

/** Most trees of the target's size that lived at once beyond those before. */
async function measuredTrees(optimizer: Optimizer, innerSteps: number): Promise<number> {
  const params = tinyParams(1);
  const size = Object.values(params).reduce((sum, x) => sum + 4 * x.size, 0);
  const still = (): Record<string, tf.Tensor> =>
    Object.fromEntries(Object.entries(params).map(([name, x]) => [name, tf.mul(x, 0.01)]));
  const model = { ...tapeGpt2(TINY) };
  model.gradient = async (_, { size: count }) => ({ losses: new Float32Array(count), gradient: still() });
  model.hessianVectorProduct = async (_, { size: count, length }) => ({
    tokenTangents: new Float32Array(count * length),
    product: still(),
  });
  const most = await mostBytes(() =>
    metagradient({
      model,
      params,
      examples: Array.from({ length: innerSteps }, () => [1, 2, 3]),
      batchSize: 1,
      optimizer,
      objective: (p) => tf.sum(p['lm_head.weight']),
      checkRounding: true,
    }),
  );
  disposeParams(params);
  return most / size;
}

describe('the count of trees in a metagradient', () => {
  beforeAll(() => useBackend('cpu'));

  it.each([
    ['adamw', 0, 1],
    ['adamw', 0, 9],
    ['adamw', 0, 16],
    ['sgd', 0, 1],
    ['sgd', 0, 16],
    ['sgd', 0.9, 1],
    ['sgd', 0.9, 16],
    ['lion', 0, 1],
    ['lion', 0, 16],
  ] as const)('is what tfjs counts, %s, momentum %f, %i steps', async (innerOptimizer, innerMomentum, innerSteps) => {
    const estimated = metagradientTrees({ innerOptimizer, innerMomentum, innerSteps, reward: 'metagradient' });
    const optimizer = atStep(innerOptimizerOf(config({ innerOptimizer, innerMomentum, innerLearningRate: 0.1 })), 0, 1);
    expect(optimizer.name).toBe(innerOptimizer);
    const measured = await measuredTrees(optimizer, innerSteps);
    expect(measured).toBeLessThanOrEqual(estimated + 0.5);
    expect(measured).toBeGreaterThan(0.75 * estimated - 1);
  });
});

describe('activations', () => {
  const sizes = { vocab_size: 50, n_positions: 64, n_embd: 48, n_layer: 3, n_head: 6 };
  const small: Record<string, ModelConfig> = {
    'GPT-2': { ...GPT2, ...sizes },
    Llama: { ...LLAMA, ...sizes, num_key_value_heads: 2, head_dim: 8, intermediate_size: 128 },
    Qwen3: { ...LLAMA, ...sizes, model_type: 'qwen3', num_key_value_heads: 2, head_dim: 16, intermediate_size: 128 },
  };
  const batch = { ids: new Int32Array(4 * 33).fill(3), mask: new Float32Array(4 * 32).fill(1), size: 4, length: 32 };

  it('are as wide as what the family’s matrices read and write', () => {
    expect(activationColumns(GPT2)).toBe(16 * 768);
    // queries 2048 → 2048, keys and values 2048 → 512, back; gate and up 2048 → 8192, down
    expect(activationColumns(LLAMA)).toBe(2 * 4096 + 2 * 2560 + 3 * 10240);
  });

  describe.each(Object.entries(small))('of a %s on the tape', (_, model) => {
    beforeAll(() => useBackend('wasm'));

    it.each(['gradient', 'hessianVectorProduct'] as const)('are what tfjs counts, %s', async (pass) => {
      const [params, tape] = [familyOf(model).initialize(model, randomStream(1, 'memory')), tapeModel(model)];
      const measured = await mostBytes(() =>
        pass === 'gradient' ? tape.gradient(params, batch) : tape.hessianVectorProduct(params, batch, params),
      );
      const estimated = tapeActivations(model, { examples: 4, length: 32, pass });
      expect(measured).toBeGreaterThan(0.75 * estimated);
      expect(measured).toBeLessThan(1.2 * estimated);
      disposeParams(params);
    });
  });
});

describe('an estimate', () => {
  it('grows with the models, the workers and the steps of fine-tuning; sgd takes less than adamw', () => {
    const of = (input: ConfigInput, models = gpt2) => estimateMemory(models, config(input), 'cpu').total;
    expect(of({ workers: 4 })).toBeGreaterThan(of({}));
    expect(of({ innerSteps: 16 })).toBeGreaterThan(of({}));
    expect(of({ innerOptimizer: 'sgd' })).toBeLessThan(of({}));
    expect(of({}, { generator: LLAMA, target: GPT2 })).toBeGreaterThan(of({}));
    expect(of({ maxNewTokens: 512 })).toBeGreaterThan(of({}));
  });

  it('is told in one line', () => {
    const line = describeMemory(estimateMemory(gpt2, config(), 'cpu'), 32e9);
    expect(line).toMatch(
      /^memory: about \d+ GB of 32 GB free \(tensors \d+ GB, workers \d+(\.\d)? GB, of which shared \d\.\d GB\)$/,
    );
    const onGpu = estimateMemory(gpt2, config(), 'tfjs-node-gpu');
    expect([onGpu.shared, onGpu.worker]).toEqual([0, 0]); // the tape engine
    expect(describeMemory(onGpu)).toMatch(/^memory: about \d+ GB on the GPU$/);
    const tiny = { ...GPT2, n_embd: 24, n_layer: 1, vocab_size: 64 };
    expect(estimateMemory({ generator: tiny, target: GPT2 }, config(), 'tfjs-node-gpu').worker).toBeGreaterThan(0); // on CPUs
  });
});

describe('a run that cannot fit', () => {
  const refuse = (input: ConfigInput, models = gpt2, backend: 'cpu' | 'wasm' = 'cpu', available = 64e9) =>
    requireMemory(estimateMemory(models, config(input), backend), backend, available);

  it('is refused with what to change', () => {
    refuse({}); // fits
    expect(() => refuse({}, gpt2, 'cpu', 8e9)).toThrow(
      /^this run needs about \d+ GB of memory and 8.0 GB are free: take fewer workers, innerOptimizer "sgd", fewer innerSteps/,
    );
    expect(() => refuse({}, gpt2, 'wasm')).toThrow(
      /^the tensors .+ the heap of the backend wasm holds 4.3 GB: start again with DPG_BACKEND=cpu/,
    );
    const medium = { ...GPT2, n_embd: 1024, n_layer: 24, n_head: 16 };
    expect(() => refuse({}, { generator: GPT2, target: medium }, 'cpu', 1e12)).toThrow(
      /^a worker of the fused engine would need \d\.\d GB, and its heap holds 4.3 GB: take the engine "tape"/,
    );
    refuse({ engine: 'tape' }, { generator: GPT2, target: medium }, 'cpu', 1e12);
  });

  it('is never one of the small models', () => {
    const small = { ...GPT2, vocab_size: 96, n_positions: 64, n_embd: 64, n_layer: 1, n_head: 4 };
    requireMemory(
      estimateMemory({ generator: small, target: small }, config({ innerSteps: 64, workers: 8 }), 'wasm'),
      'wasm',
      4e9,
    );
  });
});
