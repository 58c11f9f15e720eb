import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { parseConfig, sharedKeys, type ConfigInput } from '../../src/dpg/config';
import { EXPERIMENTS } from '../../src/experiments/experiments';
import { parameterCount } from '../../src/model/families';
import { describeCost, measureSpeeds, stepCost } from '../../src/dpg/cost';
import { adamw, sgd } from '../../src/learn/optimizer';
import type { Gpt2Config } from '../../src/model/types';
import { readPassages } from '../../src/text/passages';
import { useBackend } from '../support/backend';
import { TINY_LLAMA } from '../support/randomDecoder';

const named = Object.values(EXPERIMENTS).flatMap((definition) =>
  Object.keys(definition.presets).map((preset) => [preset, definition.name, definition] as const),
);
const config = (input: ConfigInput) => parseConfig({ keys: sharedKeys }, input);

describe('presets', () => {
  it('are the paper’s and one for GPT-2, of every experiment; 67 has one for a model that chats', () => {
    for (const { name, presets } of Object.values(EXPERIMENTS))
      expect(Object.keys(presets).sort()).toEqual(['gpt2', 'paper', ...(name === 'sixty-seven' ? ['smollm2'] : [])]);
  });

  it('smollm2 rephrases the passages that come with the project, in 48 tokens at most', () => {
    const { input, models } = EXPERIMENTS['sixty-seven'].presets.smollm2('adamw');
    const { promptsFile, maxNewTokens } = input as { promptsFile: string; maxNewTokens: number };
    expect(readPassages(promptsFile).length).toBeGreaterThanOrEqual(200);
    expect(maxNewTokens).toBe(48);
    expect(models).toEqual({ generator: models.target, target: 'HuggingFaceTB/SmolLM2-135M-Instruct' });
  });

  it.each(named)('%s is a configuration of %s, constant along the run as the paper’s are', (preset, _, definition) => {
    for (const optimizer of ['adamw', 'sgd'] as const) {
      const whole = parseConfig(definition, definition.presets[preset](optimizer).input) as Readonly<Record<string, unknown>>;
      expect(whole.innerOptimizer).toBe(optimizer);
      for (const end of Object.keys(whole).filter((key) => key.endsWith('End')))
        expect(whole[end]).toBe(whole[end.slice(0, -'End'.length)]);
    }
  });

  it('paper has as many examples a step of the target as the paper: 1,024', () => {
    for (const definition of Object.values(EXPERIMENTS)) {
      const { prompts, groupSize, innerSteps } = parseConfig(definition, definition.presets.paper('adamw').input);
      expect((prompts * groupSize) / innerSteps).toBe(1024);
    }
  });

  it('converted optimizers make the authors’ updates from gradients that are A times smaller', async () => {
    await useBackend('cpu');
    const summed = { w: tf.tensor1d([3e-6, -2e-4, 1e-8, 5e-5]) };
    const start = { w: tf.tensor1d([0.1, -0.2, 0.3, 0]) };
    const step = (optimizer: ReturnType<typeof sgd>, g: typeof summed) => {
      const { params } = optimizer.update(optimizer.init(start), g);
      return tf.sub(params.w, start.w).dataSync();
    };
    const rates = { weights: [8, 5e-6, 5.12e-4], outputs: [128, 1e-6, 6.4e-5] } as const; // A, and the paper's two learning rates
    for (const [experiment, [A, forAdamw, forSgd]] of [
      ['sixty-seven', rates.weights],
      ['uuid', rates.outputs],
    ] as const) {
      const mean = { w: tf.div(summed.w, A) as tf.Tensor1D };
      const ours = parseConfig(EXPERIMENTS[experiment], EXPERIMENTS[experiment].presets.paper('adamw').input);
      const { innerLearningRate: learningRate, innerB1: b1, innerB2: b2, innerEps: eps, innerEpsRoot: epsRoot } = ours;
      const { innerWeightDecay: weightDecay } = ours;
      const theirs = adamw({ learningRate: forAdamw, b1: 0.9, b2: 0.95, eps: 1e-8, epsRoot: 1e-9, weightDecay: 1e-4 });
      expect(step(adamw({ learningRate, b1, b2, eps, epsRoot, weightDecay }), mean)).toBeAllClose(step(theirs, summed), {
        rtol: 1e-4,
      });
      const { innerLearningRate: rate } = EXPERIMENTS[experiment].presets.paper('sgd').input as { innerLearningRate: number };
      expect(step(sgd({ learningRate: rate }), mean)).toBeAllClose(step(sgd({ learningRate: forSgd }), summed), { rtol: 1e-4 });
    }
  });
});

describe('the cost', () => {
  const model: Gpt2Config = { vocab_size: 100, n_positions: 50, n_embd: 16, n_layer: 2, n_head: 2, layer_norm_epsilon: 1e-5 };
  const models = { generator: model, target: model };
  const N = 2 * (12 * 16 * 16 + 13 * 16) + 2 * 16 + 100 * 16; // blocks, last norm, head

  it('counts tokens times parameters', () => {
    const settings = config({ prompts: 3, groupSize: 2, promptLength: 10, maxNewTokens: 6, steps: 7 });
    const { tokens, flop } = stepCost(models, settings);
    expect(tokens).toEqual({ generator: 6 * 16, target: 6 * 5 });
    expect(flop).toEqual({ generator: 2 * N * 96 * (1 + 3), target: 2 * N * 30 * (3 + 2) });
    const longer = config({
      prompts: 4,
      groupSize: 2,
      promptLength: 10,
      maxNewTokens: 6,
      innerSteps: 2,
      klCoef: 0.1,
      epochs: 2,
    });
    expect(stepCost(models, longer).flop).toEqual({ generator: 2 * N * 128 * (1 + 2 * 4), target: 2 * N * 40 * (3 + 3 + 4) });
    expect(stepCost(models, { ...settings, reward: 'naive' }).flop).toEqual({
      generator: 2 * N * 96 * 4,
      target: 2 * N * 30 * 3,
    });
  });

  it('is told in one line, in hours of the engines that will run', () => {
    const settings = config({ prompts: 3, groupSize: 2, promptLength: 10, maxNewTokens: 6, steps: 3600 });
    const hour = { generator: 2 * N * 96 * 4, target: 2 * N * 30 * 5 }; // a second a step
    const line = describeCost(models, settings, {
      generator: { engine: 'fused, 2 workers', flops: hour.generator, update: 0 },
      target: { engine: 'tape on wasm', flops: hour.target / 16, update: 1 / parameterCount(models.target) }, // a second an update
    });
    expect(line).toMatch(
      /^cost: 96 tokens of the generator and 30 of the target a step, .+ FLOP; 3,600 steps take about 18 hours here, /,
    );
    expect(line).toMatch(
      / with fused, 2 workers for the generator \(.+ measured\) and tape on wasm for the target \(.+\), or .+ GPU hours/,
    );
  });

  it.each(['tape', 'fused'] as const)('is measured on the engine that will run, %s, of every family', async (engine) => {
    await useBackend('wasm');
    const before = tf.memory().numTensors;
    const llama = { ...TINY_LLAMA, rope_scaling: null };
    const speeds = await measureSpeeds({ generator: model, target: llama }, config({ engine, workers: 1 }));
    for (const speed of Object.values(speeds)) {
      expect(speed.engine).toContain(engine);
      expect(speed.flops).toBeGreaterThan(0);
      expect(speed.flops).toBeLessThan(1e12);
      expect(speed.update).toBeGreaterThan(0);
    }
    expect(tf.memory().numTensors).toBe(before);
  });
});
