/**
 * The fine-tuning of the target as a step of an experiment has it, and what it pays.
 */
import type { Optimizer } from '../learn/optimizer';
import { OPTIMIZERS } from '../learn/optimizers';
import { metagradientReward, type InnerTraining } from '../reward/metagradient';
import { naiveReward } from '../reward/naive';
import type { Reward, Rewards } from '../reward/reward';
import { disposeParams } from '../tensor/params';
import type { RandomStream } from '../tensor/random';
import type { Config } from './config';
import type { Experiment, Observation, WrittenExample } from './experiment';
import { atStep, linear, type Scheduled } from './schedule';

/** What of an experiment says how its target is fine-tuned. */
export type InnerSetting = Pick<Experiment, 'config' | 'target' | 'objective' | 'optimizer'>;

/** The optimizer that a configuration names, its learning rate rising or falling along the run. */
export function innerOptimizer({ innerOptimizer, ...config }: Config): Scheduled<Optimizer> {
  const { innerLearningRate: start, innerLearningRateEnd: end, innerWeightDecay: weightDecay } = config;
  const { innerB1: b1, innerB2: b2, innerEps: eps, innerEpsRoot: epsRoot, innerMomentum: momentum } = config;
  return {
    at(step, steps) {
      const learningRate = linear(start, end, step, steps);
      return OPTIMIZERS[innerOptimizer].make({ learningRate, momentum, b1, b2, eps, epsRoot, weightDecay });
    },
  };
}

/** The fine-tuning of a training step, counted from 0; by default of the last one, which validation takes. */
export function innerTraining({ config, target, objective, optimizer }: InnerSetting, step = config.steps - 1): InnerTraining {
  return {
    model: target.model,
    params: target.params,
    optimizer: atStep(optimizer ?? innerOptimizer(config), step, config.steps),
    objective: atStep(objective, step, config.steps),
    innerSteps: config.innerSteps,
    sequenceLength: config.maxNewTokens - 1,
  };
}

/** What the rollouts of a training step, counted from 0, are paid. */
export function rewardOf(
  { reward, ...experiment }: InnerSetting & Pick<Experiment, 'reward'>,
  step?: number,
  checkRounding = false,
): Reward {
  const inner = { ...innerTraining(experiment, step), checkRounding };
  if (reward) return reward(inner);
  const { config } = experiment;
  if (config.reward === 'naive') return naiveReward(inner);
  return metagradientReward({ ...inner, crossGroupBatching: config.crossGroupBatching });
}

/**
 * The experiment as one training step, counted from 0, sees it.
 * @param position - the step that schedules take it for; ahead of it where much has been reached
 */
export function experimentAt<E extends Experiment>(experiment: E, step: number, position = step): E {
  const config = { ...experiment.config, ...experiment.configAt?.(step) };
  const { entropyCoef, entropyCoefEnd, steps } = config;
  return { ...experiment, config: { ...config, entropyCoef: linear(entropyCoef, entropyCoefEnd, position, steps) } };
}

/** The responses of a training step. */
export interface Responses {
  /** As the target reads them, token ids of its vocabulary; response i belongs to prompt ⌊i / group⌋. */
  readonly responses: readonly (readonly number[])[];
  /** As people read them. */
  readonly examples: readonly WrittenExample[];
  readonly group: number;
  /** Shuffles them into batches. */
  readonly random: RandomStream;
  /** Whether to look if float32 carries the rewards. */
  readonly checkRounding?: boolean;
}

/** What the responses of a training step are paid, and what there is to observe after the target was fine-tuned on them. */
export interface Paid {
  readonly rewards: Omit<Rewards, 'tuned'>;
  readonly observation: Observation;
}

/**
 * Fine-tunes the target on the responses of a training step, counted from 0.
 * @param experiment - as {@link experimentAt} has it at that step
 * @throws Error for a reward that cannot be computed, or rewards that are not one for each response
 */
export async function payResponses(
  experiment: Experiment,
  step: number,
  { responses, examples, group, random, checkRounding }: Responses,
): Promise<Paid> {
  const { tuned, ...rewards } = await rewardOf(experiment, step, checkRounding)(responses, group, random);
  try {
    if (rewards.values.length !== responses.length)
      throw new Error(`the reward function returned ${rewards.values.length} rewards for ${responses.length} rollouts`);
    return { rewards, observation: await experiment.observe({ tuned, examples, phi: rewards.phi }) };
  } finally {
    disposeParams(tuned);
  }
}
