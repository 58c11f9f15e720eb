/**
 * The DPG loop (paper §3) as an async iterator of GRPO steps:
 *
 *     prompts → rollouts → fine-tune the target, metagradient of Φ → advantages → GRPO update of the generator → repeat
 *
 * The target starts every step from φ_0. All that a run is lies in its {@link TrainerState}: stop the loop and go on later with the same
 * state.
 */
import { disposeState, type TrainingState } from '../learn/optimizer';
import { exampleAdvantages, tokenAdvantages } from '../policy/advantages';
import { grpoUpdate } from '../policy/grpo';
import { responsesOf, rollout, type Rollouts } from '../policy/rollouts';
import type { Rewards } from '../reward/reward';
import type { Params } from '../tensor/params';
import { randomStream, restoreStream, type RandomStream } from '../tensor/random';
import type { Config } from './config';
import type { Experiment } from './experiment';
import { stepFluency } from './fluency';
import { experimentAt, payResponses } from './inner';
import { policyOptimizer } from './policyOptimizer';
import { reading, writtenExamples } from './reading';

import { supportRule } from './supportRule';

/** What one GRPO step logs; keys are TRL's where TRL has the quantity. */
export interface MetricsRow {
  readonly step: number;
  readonly phi: number;
  readonly reward: number;
  readonly reward_std: number;
  /** Share of prompts whose rollouts all have the same reward. */
  readonly frac_reward_zero_std: number;
  /** Nats per token. */
  readonly entropy: number;
  /** To the untouched generator, nats per token. */
  readonly kl: number;
  readonly 'clip_ratio/region_mean': number;
  /** Of the generator, before it is shortened. */
  readonly grad_norm: number;
  /** Tokens of a response, its end included. */
  readonly 'completions/mean_length': number;
  /** Loss of the target on its first and last batch. */
  readonly target_loss_first: number;
  readonly target_loss_last: number;
  readonly seconds: number;
  /** Further numbers of an experiment, e.g. `pixel_accuracy`, and of its text: `words`, `distinct_2`, `self_bleu`, `perplexity`. */
  readonly [key: string]: number;
}

const STREAMS = ['prompts', 'sampling', 'batches', 'minibatches'] as const;
type Streams = Record<(typeof STREAMS)[number], RandomStream>;

const makeStreams = (make: (name: (typeof STREAMS)[number]) => RandomStream): Streams =>
  Object.fromEntries(STREAMS.map((name) => [name, make(name)])) as Streams;

/** A run between two steps; {@link train} changes it in place. */
export interface TrainerState {
  /** Steps done. */
  step: number;
  /** Consecutive steps that were observed to be done. */
  done: number;
  /** The most that was observed to be there of what is wanted, 0 to 1. */
  reached: number;
  /** Generator and its optimizer's moments. */
  training: TrainingState;
  streams: Streams;
}

/** One GRPO step: a row of numbers and what they were made of. */
export interface TrainStep {
  /** The row of metrics.jsonl. */
  readonly row: MetricsRow;
  readonly rollouts: Rollouts;
  readonly rewards: Float32Array;
  /**
   * τ of every token that the target predicts, the second of a response first, [rollouts, maxNewTokens − 1]; only metagradients have them.
   */
  readonly tokenRewards?: Float32Array;
  readonly advantages: Float32Array;
  readonly image?: number[][];
  /** Steps left if those to come are like this one: where all that is wanted is there, those of `stopAfterDone`. */
  readonly left: number;
  /** Of a last step before the last that was planned: why it is. */
  readonly ended?: string;
  /** What people should know of this step, in a sentence. */
  readonly warning?: string;
}

/** The step that schedules take the next one for: they follow what has been reached where that is ahead of the clock. */
const positionOf = ({ step, reached }: TrainerState, { steps }: Config): number => Math.max(step, reached * (steps - 1));

/** A run that has not begun. */
export function startTraining({ generator, config }: Pick<Experiment, 'generator' | 'config'>): TrainerState {
  const streams = makeStreams((name) => randomStream(config.seed, name));
  return { step: 0, done: 0, reached: 0, training: policyOptimizer(config, 0).init(generator.params), streams };
}

/** Advantage of every response token, [size, maxNewTokens], and the share of groups without signal. */
function advantagesOf(
  rewards: Omit<Rewards, 'tuned'>,
  rollouts: Rollouts,
  { credit, discount, advantageScale, advantageClip }: Config,
) {
  const options = { scale: advantageScale, clip: advantageClip };
  const group = rewards.baseline === 'batch' ? rollouts.size : rollouts.group;
  const { values, degenerateGroups } = exampleAdvantages(rewards.values, group, options);
  const { mask, maxNewTokens } = rollouts;
  const whole = Float32Array.from(mask, (m, cell) => m * values[Math.floor(cell / maxNewTokens)]);
  if (credit === 'example' || !rewards.tokens) return { advantages: whole, degenerateGroups };
  const tokens = tokenAdvantages(rewards.tokens, mask, maxNewTokens, discount, options);
  return { advantages: credit === 'token' ? tokens : tokens.map((a, cell) => a + whole[cell]), degenerateGroups };
}

function meanAndDeviation(values: Float32Array): [number, number] {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return [mean, Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length)];
}

/** Responses to new training prompts. */
function sampleRollouts(experiment: Experiment, params: Params, streams: Streams): Promise<Rollouts> {
  const { config, generator, prompts } = experiment;
  const { maxNewTokens, temperature, groupSize: group } = config;
  return rollout({
    model: generator.model,
    params,
    prompts: prompts('train', config.prompts, streams.prompts),
    group,
    maxNewTokens,
    temperature,
    endTokens: generator.tokenizer.eosIds,
    rule: supportRule(experiment, params),
    random: streams.sampling,
  });
}

/** What of a configuration an update of the generator takes. */
const updateOptions = ({ epochs, minibatch, clip, klCoef, entropyCoef, maxGradientNorm, temperature }: Config) => ({
  epochs,
  minibatch,
  clip,
  klCoef,
  entropyCoef,
  maxGradientNorm,
  temperature,
});

/** What a step takes beside the state. */
interface Stepping {
  readonly experiment: Experiment;
  readonly read: ReturnType<typeof reading>;
  /** Of those that this process takes: on it, it is checked whether float32 carries the rewards. */
  readonly isFirst: boolean;
}

/** What fine-tuning on the rollouts shows and pays. */
async function rewardRollouts({ experiment, read, isFirst }: Stepping, rollouts: Rollouts, state: TrainerState) {
  const { responses, metrics: exchange } = read(responsesOf(rollouts));
  const examples = writtenExamples(experiment.generator, rollouts);
  const { rewards, observation } = await payResponses(experiment, positionOf(state, experiment.config), {
    ...{ responses, examples, group: rollouts.group, random: state.streams.batches },
    checkRounding: isFirst,
  });
  return { rewards, exchange, observation, fluency: await stepFluency(experiment, rollouts, examples) };
}

/** One step: rollouts, rewards, advantages, update. */
async function trainStep({ experiment, read, isFirst }: Stepping, state: TrainerState): Promise<TrainStep> {
  const started = performance.now();
  const position = positionOf(state, experiment.config);
  const current = experimentAt(experiment, state.step, position);
  const { config } = current;
  const streams = makeStreams((name) => restoreStream(state.streams[name].state())); // a step that fails has drawn nothing
  const rollouts = await sampleRollouts(current, state.training.params, streams);
  const { rewards, observation, ...observed } = await rewardRollouts({ experiment: current, read, isFirst }, rollouts, {
    ...state,
    streams,
  });
  const { advantages, degenerateGroups } = advantagesOf(rewards, rollouts, config);
  const { state: training, metrics } = await grpoUpdate({
    model: experiment.generator.model,
    optimizer: policyOptimizer(config, position),
    state: state.training,
    reference: experiment.generator.params,
    rollouts,
    advantages,
    options: updateOptions(config),
    random: streams.minibatches,
  });
  const { done, reached = 0, image } = observation;
  Object.assign(state, {
    ...{ training, streams, step: state.step + 1, done: done ? state.done + 1 : 0 },
    reached: Math.max(state.reached, reached),
  });
  const [rewardMean, rewardStd] = meanAndDeviation(rewards.values);
  const row = {
    step: state.step,
    phi: rewards.phi,
    ...observation.metrics,
    reward: rewardMean,
    reward_std: rewardStd,
    frac_reward_zero_std: degenerateGroups,
    'completions/mean_length': rollouts.mask.reduce((sum, counts) => sum + counts, 0) / rollouts.size,
    ...observed.exchange,
    ...metrics,
    ...observed.fluency, // its kl is that of what was written: GRPO's estimate is one rare token's after a long first step
    target_loss_first: rewards.targetLossFirst,
    target_loss_last: rewards.targetLossLast,
    seconds: (performance.now() - started) / 1000,
  };
  const { values, tokens: tokenRewards, warning } = rewards;
  return { row, rollouts, rewards: values, tokenRewards, advantages, image, warning, left: stepsLeft(state, config) };
}

/**
 * Trains the generator. Yields after every step; ends after `config.steps`, after `config.stopAfterDone` steps that were done, or when
 * `signal` aborts.
 * @param state - where to start; it holds the result, also when the loop is left early
 * @throws Error for anything that makes a reward impossible; the state stays that of the last whole step
 */
export async function* train(
  experiment: Experiment & { state: TrainerState; signal?: AbortSignal },
): AsyncGenerator<TrainStep, void, undefined> {
  const { state, signal } = experiment;
  const read = reading(experiment);
  const { step: first } = state;
  while (!isDone(experiment, state) && !signal?.aborted) {
    const step = await trainStep({ experiment, read, isFirst: state.step === first }, state);
    const ended = `ended: all that is wanted is there (stopAfterDone ${state.done})`;
    yield isDone(experiment, state) && state.step < experiment.config.steps ? { ...step, ended } : step;
  }
}

/** Steps to the end if the coming ones are like the last. */
const stepsLeft = ({ step, done }: TrainerState, { steps, stopAfterDone }: Config): number =>
  Math.max(0, Math.min(steps - step, done > 0 && stopAfterDone > 0 ? stopAfterDone - done : Infinity));

/** Whether training has come to its end: all steps, or `config.stopAfterDone` steps in a row that were done. */
export const isDone = ({ config }: Pick<Experiment, 'config'>, { step, done }: TrainerState): boolean =>
  step >= config.steps || (config.stopAfterDone > 0 && done >= config.stopAfterDone);

/** Frees what a run holds beside its experiment. */
export const disposeTrainer = (state: TrainerState): void => disposeState(state.training);
