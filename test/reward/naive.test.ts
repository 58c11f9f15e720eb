import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { fineTune } from '../../src/learn/fineTune';
import { valueAndGradient } from '../../src/learn/objective';
import { sgd } from '../../src/learn/optimizer';
import { fusedModel } from '../../src/model/fused';
import { negativeNorm } from '../../src/objective/norm';
import { dataSets, type InnerTraining } from '../../src/reward/metagradient';
import { naiveReward } from '../../src/reward/naive';
import { disposeParams } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { useBackend } from '../support/backend';
import { TINY, tinyParams } from '../support/tinyExperiment';

const [PROMPTS, GROUP] = [6, 3];
const draw = randomStream(1, 'responses');
const responses = Array.from({ length: PROMPTS * GROUP }, () => Array.from({ length: 4 }, () => draw.integer(10)));
let inner: InnerTraining;
beforeAll(async () => {
  await useBackend('cpu');
  const model = fusedModel(TINY, { workers: 0 });
  const optimizer = sgd({ learningRate: 0.1 });
  inner = { model, params: tinyParams(2), optimizer, objective: negativeNorm, innerSteps: 2, sequenceLength: 3 };
});
const shuffled = () => randomStream(7, 'batches');

describe('the naive reward', () => {
  it('pays every example the Φ of its data set, the k-th holding the k-th rollout of every prompt', async () => {
    const { values, tokens, baseline, phi, tuned } = await naiveReward(inner)(responses, GROUP, shuffled());
    const phis: number[] = [];
    for (const members of dataSets(responses.length, GROUP, false, shuffled())) {
      const examples = Array.from(members, (i) => responses[i]);
      const { params } = await fineTune({ ...inner, examples, batchSize: PROMPTS / 2 });
      phis.push((await valueAndGradient(negativeNorm, params)).phi);
    }
    expect(new Set(phis).size).toBe(GROUP);
    expect([...values]).toEqual(responses.map((_, i) => Math.fround(phis[i % GROUP])));
    expect(phi).toBeCloseTo(phis.reduce((a, b) => a + b) / GROUP, 6);
    expect([tokens, baseline]).toEqual([undefined, 'batch']);
    expect((await valueAndGradient(negativeNorm, tuned)).phi).toBe(phis[0]);
  });

  it('leaves no tensor but the fine-tuned target', async () => {
    const before = tf.memory().numTensors;
    disposeParams((await naiveReward(inner)(responses, GROUP, shuffled())).tuned);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('refuses batches that do not come out even', async () => {
    const reward = naiveReward({ ...inner, innerSteps: 4 });
    await expect(reward(responses, GROUP, shuffled())).rejects.toThrow(
      'innerSteps must divide the 6 examples of a data set (got 4)',
    );
  });
});
