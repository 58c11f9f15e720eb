import { beforeAll, describe, expect, it } from 'vitest';
import { innerTraining } from '../../src/dpg/inner';
import { fineTune } from '../../src/learn/fineTune';
import { valueAndGradient } from '../../src/learn/objective';
import { scoredReward } from '../../src/reward/scored';
import { disposeParams } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { useBackend } from '../support/backend';
import { tinyExperiment, valuesOf } from '../support/tinyExperiment';

beforeAll(() => useBackend('cpu'));

describe('a scored reward', () => {
  it('pays the scores, within groups, and shows the Φ of a target fine-tuned on all responses', async () => {
    const experiment = tinyExperiment({ innerSteps: 3 });
    const responses = Array.from({ length: 6 }, (_, i) => [i, i + 1, 2]);
    const inner = innerTraining(experiment);
    const reward = scoredReward(inner, (all) => Float32Array.from(all, ([first]) => -first));
    const { values, baseline, tokens, phi, tuned, targetLossFirst } = await reward(responses, 2, randomStream(1, 'order'));
    expect([...values]).toEqual([-0, -1, -2, -3, -4, -5]);
    expect([baseline, tokens]).toEqual(['group', undefined]);

    const order = randomStream(1, 'order').permutation(6);
    const examples = Array.from(order, (i) => responses[i]);
    const { params, trainLosses } = await fineTune({ ...inner, examples, batchSize: 2 });
    expect(valuesOf(tuned)).toEqual(valuesOf(params));
    expect(phi).toBe((await valueAndGradient(inner.objective, params)).phi);
    expect(targetLossFirst).toBe(trainLosses[0]);
    disposeParams(tuned, params);
  });
});
