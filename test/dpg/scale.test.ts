import { describe, expect, it } from 'vitest';
import { parseConfig, sharedKeys, type ConfigInput } from '../../src/dpg/config';
import { stepCost } from '../../src/dpg/cost';
import { stepOnPaper, sumSeconds, type Cluster } from '../../src/dpg/scale';
import { parameterCount } from '../../src/model/families';
import type { Gpt2Config } from '../../src/model/types';

const GPT2: Gpt2Config = { vocab_size: 50257, n_positions: 1024, n_embd: 768, n_layer: 12, n_head: 12, layer_norm_epsilon: 1e-5 };
const pair = { generator: GPT2, target: GPT2 };
const config = (input: ConfigInput = {}) =>
  parseConfig({ keys: sharedKeys }, { prompts: 256, groupSize: 4, innerSteps: 1, minibatch: 128, maxNewTokens: 128, ...input });
const cluster = (gpus: number, given: Partial<Cluster> = {}): Cluster => ({
  ...{ gpus, flops: 1e13, bandwidth: 2e12, network: 12.5e9, latency: 0 },
  ...given,
});

describe('a sum over a ring', () => {
  it('costs nothing alone, one array between two, and nearly two among many', () => {
    expect(sumSeconds(cluster(1), 1e9)).toBe(0);
    expect(sumSeconds(cluster(2), 12.5e9)).toBeCloseTo(1, 12);
    expect(sumSeconds(cluster(1000), 12.5e9)).toBeCloseTo(2 * 0.999, 12);
    expect(sumSeconds(cluster(5, { latency: 1e-3 }), 0)).toBeCloseTo(8e-3, 12); // 4 messages there, 4 back
  });
});

describe('a step on paper', () => {
  it('does the operations that a run is told before it starts, where memory is fast', () => {
    const { flop } = stepCost(pair, config());
    const { total, sums } = stepOnPaper(pair, config(), cluster(1, { bandwidth: 1e30 }));
    expect(total).toBeCloseTo((flop.generator + flop.target) / 1e13, 6);
    expect(sums).toBe(0);
    expect(stepOnPaper(pair, config(), cluster(4, { bandwidth: 1e30, network: 1e30 })).total).toBeCloseTo(total / 4, 6);
  });

  it('sums one gradient of the generator a minibatch, and of the target what the inner steps need', () => {
    const sumsOf = (innerSteps: number, minibatch: number) =>
      stepOnPaper(pair, config({ innerSteps, minibatch }), cluster(2)).sums / sumSeconds(cluster(2), 4 * parameterCount(GPT2));
    expect(sumsOf(1, 1024)).toBeCloseTo(1 + 1, 9);
    expect(sumsOf(1, 128)).toBeCloseTo(1 + 8, 9);
    expect(sumsOf(4, 1024)).toBeCloseTo(4 + 4 + 3 + 1, 9); // gradients, the same again, products; the generator's
  });

  it('is bound by memory where a rank has few texts: sampling reads all parameters for every token', () => {
    const { rollouts } = stepOnPaper(pair, config(), cluster(1024));
    expect(rollouts).toBeCloseTo((128 * 4 * parameterCount(GPT2)) / 2e12, 9);
  });
});
