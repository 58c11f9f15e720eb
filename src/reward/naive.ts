/**
 * The paper's naive baseline: every example of a data set gets the data set's Φ, compared over the whole batch of data sets.
 */
import { dataSets, plainTraining, summarize, type InnerTraining } from './metagradient';
import { holding } from '../tensor/params';
import type { Reward } from './reward';

/** One Φ per data set; data set k takes the k-th rollout of every prompt. */
export function naiveReward(inner: InnerTraining): Reward {
  return (responses, group, random) =>
    holding(async (trees) => {
      const values = new Float32Array(responses.length);
      const results = [];
      for (const members of dataSets(responses.length, group, false, random)) {
        const examples = Array.from(members, (i) => responses[i]);
        const result = await plainTraining(inner, examples);
        trees.hold(result.finalParams);
        members.forEach((rollout) => (values[rollout] = result.phi));
        results.push(result);
      }
      return { values, baseline: 'batch', ...summarize(results) };
    });
}
