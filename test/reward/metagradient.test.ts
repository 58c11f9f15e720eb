import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { metagradient } from '../../src/learn/metagradient';
import { adamw } from '../../src/learn/optimizer';
import { padExamples } from '../../src/model/batch';
import { fusedModel } from '../../src/model/fused';
import { likelihoodObjective } from '../../src/objective/likelihood';
import { dataSets, metagradientReward, type InnerTraining } from '../../src/reward/metagradient';
import { disposeParams } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { useBackend } from '../support/backend';
import { END, TINY, tinyParams } from '../support/tinyExperiment';

const [PROMPTS, GROUP, LENGTH] = [5, 4, 5];
const draw = randomStream(1, 'responses');
/** Responses of 1 to 6 tokens that end with the end of text or are cut off. */
const responses = Array.from({ length: PROMPTS * GROUP }, (_, i) => {
  const body = Array.from({ length: i % 7 }, () => draw.integer(10));
  return i % 7 < 6 ? [...body, END] : body;
});
let inner: InnerTraining;
beforeAll(async () => {
  await useBackend('cpu');
  const model = fusedModel(TINY, { workers: 0 });
  const objective = likelihoodObjective(model, padExamples([[1, 2, 3, 4, 5]], LENGTH, TINY.vocab_size));
  const optimizer = adamw({ learningRate: 0.01, epsRoot: 1e-4 });
  inner = { model, params: tinyParams(2), optimizer, objective, innerSteps: 1, sequenceLength: LENGTH };
});
const shuffled = () => randomStream(7, 'batches');

/** τ of some rollouts, in the order of their data set, as one call of `metagradient`. */
async function tauOf(members: ArrayLike<number>, innerSteps: number) {
  const examples = Array.from(members, (i) => responses[i]);
  const result = await metagradient({ ...inner, examples, batchSize: examples.length / innerSteps });
  disposeParams(result.finalParams);
  return result;
}

describe('data sets', () => {
  it('hold every rollout once: all in one, or the k-th of every prompt in the k-th', () => {
    const sorted = (set: Int32Array) => [...set].sort((a, b) => a - b);
    const all = Array.from({ length: 12 }, (_, i) => i);
    const [one, ...none] = dataSets(12, 3, true, shuffled());
    expect(none).toEqual([]);
    expect(sorted(one)).toEqual(all);
    expect([...one]).not.toEqual(all);
    const apart = dataSets(12, 3, false, shuffled());
    expect(apart.map(sorted)).toEqual([0, 1, 2].map((k) => [k, k + 3, k + 6, k + 9]));
    expect(apart.some((set) => String(sorted(set)) !== String([...set]))).toBe(true);
  });
});

describe('the metagradient reward', () => {
  it('comes back in the order of the rollouts, whatever the shuffling, tokens too', async () => {
    const { values, tokens, baseline } = await metagradientReward(inner)(responses, GROUP, shuffled());
    const everyone = responses.map((_, i) => i);
    const { tau, tokenTau } = await tauOf(everyone, 1); // one step: the order within it does not matter
    expect(values).toBeAllClose(tau, { rtol: 1e-4 });
    expect(tokens!).toBeAllClose(tokenTau, { rtol: 1e-4 });
    expect(new Set(values).size).toBeGreaterThan(10);
    expect(baseline).toBe('group');
  });

  it.each([true, false])('is that of each data set over T steps (cross-group batching: %s)', async (crossGroupBatching) => {
    const innerSteps = 5;
    const rewards = await metagradientReward({ ...inner, innerSteps, crossGroupBatching })(responses, GROUP, shuffled());
    const phis: number[] = [];
    for (const members of dataSets(responses.length, GROUP, crossGroupBatching, shuffled())) {
      const { tau, phi } = await tauOf(members, innerSteps);
      expect(Array.from(members, (i) => rewards.values[i])).toEqual([...tau]);
      phis.push(phi);
    }
    expect(phis).toHaveLength(crossGroupBatching ? 1 : GROUP);
    expect(rewards.phi).toBeCloseTo(phis.reduce((a, b) => a + b) / phis.length, 6);
  });

  it('of a response without a predicted token is exactly 0; padding earns nothing', async () => {
    const { values, tokens } = await metagradientReward(inner)([...responses.slice(0, 7), []], GROUP, shuffled());
    expect([values[0], values[7]]).toEqual([0, 0]); // only the end of text; nothing at all
    responses.slice(0, 7).forEach((response, i) => {
      const row = [...tokens!.slice(i * LENGTH, (i + 1) * LENGTH)];
      expect(row.slice(Math.max(0, response.length - 1)).every((x) => x === 0)).toBe(true);
      expect(row.reduce((a, b) => a + b, 0)).toBeCloseTo(values[i], 6);
      if (i) expect(row.slice(0, response.length - 1)).not.toContain(0);
    });
  });

  it('comes with the fine-tuned target, and leaves no other tensor', async () => {
    const before = tf.memory().numTensors;
    const { tuned, targetLossFirst, targetLossLast } = await metagradientReward({
      ...inner,
      innerSteps: 5,
      crossGroupBatching: false,
    })(responses, GROUP, shuffled());
    expect(Number.isFinite(targetLossFirst) && targetLossFirst !== targetLossLast).toBe(true);
    disposeParams(tuned);
    expect(tf.memory().numTensors).toBe(before);
  });

  it.each([true, false])('refuses batches that do not come out even (cross-group batching: %s)', async (crossGroupBatching) => {
    const reward = metagradientReward({ ...inner, innerSteps: 3, crossGroupBatching });
    const count = crossGroupBatching ? 20 : 5;
    await expect(reward(responses, GROUP, shuffled())).rejects.toThrow(
      `innerSteps must divide the ${count} examples of a data set (got 3)`,
    );
  });
});

describe('a planted oracle', () => {
  it('wins: τ is highest for copies of the string whose likelihood is Φ, lower for halves of it, lowest for noise', async () => {
    const text = [3, 1, 4, 1, 5, 9];
    const noise = () => Array.from({ length: text.length }, () => draw.integer(10));
    const kinds = [() => text, () => [...text.slice(0, 3), ...noise().slice(3)], noise, noise, noise, noise];
    const planted = Array.from({ length: 96 }, (_, i) => kinds[i % kinds.length]());
    const objective = likelihoodObjective(inner.model, padExamples([text], LENGTH, TINY.vocab_size));
    const optimizer = adamw({ learningRate: 1e-3, epsRoot: 1e-3 });
    const { values } = await metagradientReward({ ...inner, objective, optimizer, innerSteps: 4 })(planted, GROUP, shuffled());
    const mean = (x: ArrayLike<number>) => Array.from(x).reduce((a, b) => a + b) / x.length;
    const deviation = Math.sqrt(mean(values.map((x) => (x - mean(values)) ** 2)));
    /** Mean τ of every kind, in standard deviations from the mean of all. */
    const [exact, half, ...random] = kinds.map(
      (_, kind) => (mean(values.filter((_, i) => i % kinds.length === kind)) - mean(values)) / deviation,
    );
    expect(exact).toBeGreaterThan(1.2);
    expect(half).toBeLessThan(exact - 1);
    expect(half).toBeGreaterThan(mean(random));
    for (const z of random) expect(z).toBeLessThan(0);
  });
});
