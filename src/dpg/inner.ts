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
  const { innerLearningRate, initialInnerLearningRate, b1, b2, eps, epsRoot, weightDecay } = config;
  return {
    at(step, steps) {
      const learningRate = linear(innerLearningRate * initialInnerLearningRate, innerLearningRate, step, steps);
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

/** @throws RangeError for a reward that compares texts with an evaluation set */
export function requireWeightReward({ reward }: Pick<Config, 'reward'>): void {
  if (reward !== 'metagradient' && reward !== 'naive')
    throw new RangeError(`reward "${reward}" needs an evaluation set of texts, which only rephrase and uuid have`);
}

/** What the rollouts of a training step are paid. @throws RangeError for a reward on texts that the experiment does not bring */
export function rewardOf({ reward, ...experiment }: InnerSetting & Pick<Experiment, 'reward'>, step?: number): Reward {
  const inner = innerTraining(experiment, step);
  if (reward) return reward(inner);
  requireWeightReward(experiment.config);
  const { config } = experiment;
  if (config.reward === 'naive') return naiveReward(inner);
  return metagradientReward({ ...inner, crossGroupBatching: config.crossGroupBatching });
}
