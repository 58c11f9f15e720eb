/**
 * The fine-tuning of the target as a step of an experiment has it, and what it pays.
 */
import { adamw, sgd, type Optimizer } from '../learn/optimizer';
import { metagradientReward, type InnerTraining } from '../reward/metagradient';
import { naiveReward } from '../reward/naive';
import type { Reward } from '../reward/reward';
import type { Config } from './config';
import type { Experiment } from './experiment';
import { atStep, linear, type Scheduled } from './schedule';

/** What of an experiment says how its target is fine-tuned. */
export type InnerSetting = Pick<Experiment, 'config' | 'target' | 'objective' | 'optimizer'>;

/** The optimizer that a configuration names, its learning rate rising or falling along the run. */
export function innerOptimizer({ innerOptimizer, ...config }: Config): Scheduled<Optimizer> {
  const { innerLearningRate: start, innerLearningRateEnd: end, innerWeightDecay: weightDecay } = config;
  const { innerB1: b1, innerB2: b2, innerEps: eps, innerEpsRoot: epsRoot } = config;
  return {
    at(step, steps) {
      const learningRate = linear(start, end, step, steps);
      return innerOptimizer === 'sgd' ? sgd({ learningRate }) : adamw({ learningRate, b1, b2, eps, epsRoot, weightDecay });
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
