/**
 * The paper's reward: every response gets its own metagradient τ_i = ∂Φ/∂w_i (paper §3, algorithm 1).
 */
import { metagradient, type Metagradient } from '../learn/metagradient';
import { fineTune } from '../learn/fineTune';
import { requireObjective, valueOf, type Objective } from '../learn/objective';
import type { Optimizer } from '../learn/optimizer';
import type { LanguageModel } from '../model/types';
import { disposeParams, holding, type Params } from '../tensor/params';
import { requireWhole } from '../tensor/numbers';
import type { RandomStream } from '../tensor/random';
import type { Reward, Rewards } from './reward';

/** The target and how it is fine-tuned. */
export interface InnerTraining {
  readonly model: LanguageModel;
  /** φ_0. */
  readonly params: Params;
  readonly optimizer: Optimizer;
  readonly objective: Objective;
  /** T: optimizer steps per data set. */
  readonly innerSteps: number;
  /** S: predicted positions per example. */
  readonly sequenceLength: number;
  /** As {@link metagradient} has it. */
  readonly checkRounding?: boolean;
}

/** Options of {@link metagradientReward}. */
export interface MetagradientRewardOptions extends InnerTraining {
  /**
   * true (the paper's method): all rollouts share one data set. false (its ablation): rollouts of one prompt never meet; data set k takes
   * the k-th rollout of every prompt.
   */
  readonly crossGroupBatching?: boolean;
}

/** Indices of the rollouts of every data set. */
export function dataSets(count: number, group: number, crossGroup: boolean, random: RandomStream): Int32Array[] {
  if (!(Number.isInteger(group) && group >= 1 && count % group === 0))
    throw new RangeError(`group must be a whole number that divides the ${count} responses (got ${group})`);
  if (crossGroup) return [random.permutation(count)];
  return Array.from({ length: group }, (_, k) => random.permutation(count / group).map((prompt) => prompt * group + k));
}

/** T equal batches. @throws RangeError if they do not come out even */
export function batchSizeOf(count: number, innerSteps: number): number {
  requireWhole('innerSteps', innerSteps);
  if (count % innerSteps !== 0)
    throw new RangeError(`innerSteps must divide the ${count} examples of a data set (got ${innerSteps})`);
  return count / innerSteps;
}

/** Rewards from one exact metagradient per data set. */
export function metagradientReward({ crossGroupBatching = true, innerSteps, ...inner }: MetagradientRewardOptions): Reward {
  const { sequenceLength: width } = inner;
  return (responses, group, random) =>
    holding(async (trees) => {
      const values = new Float32Array(responses.length);
      const tokens = new Float32Array(responses.length * width);
      const results: Metagradient[] = [];
      for (const members of dataSets(responses.length, group, crossGroupBatching, random)) {
        const examples = Array.from(members, (i) => responses[i]);
        const result = await metagradient({ ...inner, examples, batchSize: batchSizeOf(examples.length, innerSteps) });
        trees.hold(result.finalParams);
        members.forEach((rollout, i) => {
          values[rollout] = result.tau[i];
          tokens.set(result.tokenTau.subarray(i * width, (i + 1) * width), rollout * width);
        });
        results.push(result);
      }
      const warning = results.find((result) => result.warning)?.warning;
      return { values, tokens, baseline: 'group', warning, ...summarize(results) };
    });
}

/**
 * Plain fine-tuning on some responses, and Φ of the result, whose parameters the caller frees.
 * @throws RangeError as {@link batchSizeOf}
 */
export async function plainTraining(
  { objective, innerSteps, ...inner }: InnerTraining,
  examples: readonly (readonly number[])[],
) {
  const batchSize = batchSizeOf(examples.length, innerSteps);
  requireObjective(objective, inner.params);
  const { params: finalParams, trainLosses } = await fineTune({ ...inner, examples, batchSize });
  return holding(async (trees) => {
    trees.hold(finalParams);
    return { phi: await valueOf(objective, finalParams), trainLosses, finalParams };
  });
}

/** Means over data sets; keeps the first fine-tuned target and frees the others. */
export function summarize(
  results: readonly { phi: number; trainLosses: readonly number[]; finalParams: Params }[],
): Pick<Rewards, 'phi' | 'targetLossFirst' | 'targetLossLast' | 'tuned'> {
  const mean = (f: (result: (typeof results)[number]) => number): number =>
    results.reduce((sum, r) => sum + f(r), 0) / results.length;
  disposeParams(...results.slice(1).map((r) => r.finalParams));
  return {
    phi: mean((r) => r.phi),
    targetLossFirst: mean((r) => r.trainLosses[0]),
    targetLossLast: mean((r) => r.trainLosses[r.trainLosses.length - 1]),
    tuned: results[0].finalParams,
  };
}
