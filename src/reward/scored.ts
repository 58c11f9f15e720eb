/**
 * Rewards that need no metagradient: a score of every response by itself, as in the paper's baselines.
 */
import { fineTune } from '../learn/fineTune';
import { valueAndGradient } from '../learn/objective';
import { disposeParams } from '../tensor/params';
import { batchSizeOf, summarize, type InnerTraining } from './metagradient';
import type { Reward } from './reward';

/** A number for every response, higher is better. */
export type Score = (responses: readonly (readonly number[])[]) => Promise<Float32Array> | Float32Array;

/** Pays the score. The target is fine-tuned as well, to see what Φ becomes of it. */
export function scoredReward({ innerSteps, objective, ...inner }: InnerTraining, score: Score): Reward {
  return async (responses, _group, random) => {
    const values = await score(responses);
    const examples = Array.from(random.permutation(responses.length), (i) => responses[i]);
    const { params: finalParams, trainLosses } = await fineTune({
      ...inner,
      examples,
      batchSize: batchSizeOf(examples.length, innerSteps),
    });
    const { phi, gradient } = await valueAndGradient(objective, finalParams);
    disposeParams(gradient);
    return { values, baseline: 'group', ...summarize([{ phi, trainLosses, finalParams }]) };
  };
}
