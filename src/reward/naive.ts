/**
 * The paper's naive baseline: every example of a data set gets the data set's Φ, compared over the whole batch of data sets.
 */
import { fineTune } from '../learn/fineTune';
import { valueAndGradient } from '../learn/objective';
import { disposeParams } from '../tensor/params';
import { batchSizeOf, dataSets, summarize, type InnerTraining } from './metagradient';
import type { Reward } from './reward';

/** One Φ per data set; data set k takes the k-th rollout of every prompt. */
export function naiveReward({ innerSteps, objective, ...inner }: InnerTraining): Reward {
  return async (responses, group, random) => {
    const values = new Float32Array(responses.length);
    const results = [];
    for (const members of dataSets(responses.length, group, false, random)) {
      const examples = Array.from(members, (i) => responses[i]);
      const { params: finalParams, trainLosses } = await fineTune({
        ...inner,
        examples,
        batchSize: batchSizeOf(examples.length, innerSteps),
      });
      const { phi, gradient } = await valueAndGradient(objective, finalParams);
      disposeParams(gradient);
      members.forEach((rollout) => (values[rollout] = phi));
      results.push({ phi, trainLosses, finalParams });
    }
    return { values, baseline: 'batch', ...summarize(results) };
  };
}
