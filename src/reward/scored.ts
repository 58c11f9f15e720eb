/**
 * Rewards that need no metagradient: a score of every response by itself, as in the paper's baselines.
 */
import { plainTraining, summarize, type InnerTraining } from './metagradient';
import type { Reward } from './reward';

/** A number for every response, higher is better. */
export type Score = (responses: readonly (readonly number[])[]) => Promise<Float32Array> | Float32Array;

/** Pays the score. The target is fine-tuned as well, to see what Φ becomes of it. */
export function scoredReward(inner: InnerTraining, score: Score): Reward {
  return async (responses, _group, random) => {
    const values = await score(responses);
    const examples = Array.from(random.permutation(responses.length), (i) => responses[i]);
    return { values, baseline: 'group', ...summarize([await plainTraining(inner, examples)]) };
  };
}
