/**
 * What notebooks import: `import * as dpg from '../dist'`.
 */
export { startBackend, describeBackend } from './tensor/backend';
export { disposeParams, type Params } from './tensor/params';
export { randomStream, type RandomStream } from './tensor/random';
export * from './model/types';
export { gpt2, type EngineOptions } from './model/engine';
export { loadCheckpoint, saveCheckpoint } from './model/checkpoint';
export { padExamples } from './model/batch';
export { fineTune } from './learn/fineTune';
export { metagradient, type Metagradient, type MetagradientOptions } from './learn/metagradient';
export { valueAndGradient, type Objective } from './learn/objective';
export { adamw, sgd, type Optimizer } from './learn/optimizer';
export { likelihoodObjective } from './objective/likelihood';
export { negativeNorm } from './objective/norm';
export { patternObjective, readPattern, SIXTY_SEVEN, type Pattern, type PatternReading } from './objective/pattern';
export { metagradientReward } from './reward/metagradient';
export { naiveReward } from './reward/naive';
export { exampleAdvantages, tokenAdvantages } from './policy/advantages';
export { grpoUpdate } from './policy/grpo';
export { rollout, responsesOf, type Rollouts } from './policy/rollouts';
export { vocabularyShare } from './text/vocabulary';
export { identifyLanguage } from './text/languages';
export { loadActor } from './experiment/actor';
export { configKeys, parseConfig, type Config, type ConfigInput } from './experiment/config';
export { EXPERIMENTS } from './experiment/experiments';
export { patternExperiment, sixtySeven, type PatternExperiment } from './experiment/patternExperiment';
export { newRun, record, resumedRun, type Run } from './experiment/record';
export { startTraining, train, type Experiment, type TrainerState, type TrainStep } from './experiment/train';
export { validate, type Validation } from './experiment/validate';
