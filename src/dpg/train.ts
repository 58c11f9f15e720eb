/**
 * The DPG loop (paper §3) as an async iterator of GRPO steps:
 *
 *     prompts → rollouts → fine-tune the target, metagradient of Φ → advantages → GRPO update of the generator → repeat
 *
 * The target starts every step from φ_0. All that a run is lies in its {@link TrainerState}: stop the loop and go on later with the same state.
 */
import { adamw, disposeState, sgd, type Optimizer, type TrainingState } from '../learn/optimizer';
import type { Objective } from '../learn/objective';
import type { LanguageModel } from '../model/types';
import { exampleAdvantages, tokenAdvantages } from '../policy/advantages';
import { grpoUpdate } from '../policy/grpo';
import { responsesOf, rollout, type Rollouts } from '../policy/rollouts';
import { metagradientReward, type InnerTraining } from '../reward/metagradient';
import { naiveReward } from '../reward/naive';
import type { Reward, Rewards } from '../reward/reward';
import { disposeParams, type Params } from '../tensor/params';
import { randomStream, restoreStream, type RandomStream } from '../tensor/random';
import type { Tokenizer } from '../text/tokenizer';
import { isSameTokenizer, transcriber, type Transcript } from '../text/transcription';
import type { Config } from './config';
import type { MetricsRow } from '../runs/runFolder';

/** A language model with its initial parameters and its tokenizer. */
export interface Actor {
  readonly model: LanguageModel;
  readonly params: Params;
  readonly tokenizer: Tokenizer;
}

/** What an experiment reads off a fine-tuned target, beside Φ. */
export interface Observation {
  /** Readable measures for the metrics row, e.g. `pixel_accuracy`. */
  readonly metrics: Readonly<Record<string, number>>;
  /** A picture to watch: the decoded patch of the LM head, [rows][columns]. */
  readonly image?: number[][];
}

/** One prompt and what was written for it. */
export interface WrittenExample {
  readonly prompt: string;
  readonly response: string;
}

/** Where prompts come from: training and held-out prompts never share an article. */
export type PromptSource = (split: 'train' | 'heldOut', count: number, random: RandomStream) => number[][];

/** Everything that defines a run. */
export interface Experiment {
  readonly name: string;
  /** For cards: what a model fine-tuned on the generated data becomes, as a clause; "… data, so that <purpose>". */
  readonly purpose?: string;
  readonly config: Config;
  readonly generator: Actor;
  readonly target: Actor;
  readonly objective: Objective;
  /** Φ during training where it sharpens from step to step (0-based); validation takes `objective`. */
  readonly objectiveAt?: (step: number) => Objective;
  /** Settings of a training step (0-based) where they change along the run; validation takes `config`. */
  readonly configAt?: (step: number) => Config;
  readonly prompts: PromptSource;
  readonly observe: (tuned: Params) => Observation;
  /** What independent programs read in the image that `observe` shows, e.g. two readers of QR codes. */
  readonly decode?: (image: number[][]) => Promise<Readonly<Record<string, string | null>>>;
  /** What it reads off the generator's text (and Φ), e.g. `language_share`; joins what `observe` shows. */
  readonly observeText?: (examples: readonly WrittenExample[], phi: number) => Promise<Observation> | Observation;
  /** What rollouts are paid; by default what the config says. */
  readonly reward?: Reward;
}

const STREAMS = ['prompts', 'sampling', 'batches', 'minibatches'] as const;
type Streams = Record<(typeof STREAMS)[number], RandomStream>;

const makeStreams = (make: (name: (typeof STREAMS)[number]) => RandomStream): Streams =>
  Object.fromEntries(STREAMS.map((name) => [name, make(name)])) as Streams;

/** A run between two steps; {@link train} changes it in place. */
export interface TrainerState {
  /** Steps done. */
  step: number;
  /** Consecutive steps with every pixel right. */
  perfect: number;
  /** Generator and its optimizer's moments. */
  training: TrainingState;
  streams: Streams;
}

/** One GRPO step: a row of numbers and what they were made of. */
export interface TrainStep {
  /** The row of metrics.jsonl; keys as in TRL. */
  readonly row: MetricsRow;
  readonly rollouts: Rollouts;
  readonly rewards: Float32Array;
  readonly advantages: Float32Array;
  readonly image?: number[][];
}

/** The optimizer of the inner training that is differentiated. */
export function innerOptimizer({ innerOptimizer, innerLearningRate, b1, b2, eps, epsRoot, weightDecay }: Config): Optimizer {
  if (innerOptimizer === 'sgd') return sgd({ learningRate: innerLearningRate });
  return adamw({ learningRate: innerLearningRate, b1, b2, eps, epsRoot, weightDecay });
}

/** A factor that goes from 1 to `end` while `progress` goes from 0 to 1. */
const linear = (end: number, progress: number): number => 1 - (1 - end) * progress;

/** The experiment as one step sees it. */
function experimentAt(experiment: Experiment, step: number): Experiment {
  const { config, configAt, objective, objectiveAt } = experiment;
  const current = configAt?.(step) ?? config;
  const progress = step / config.steps;
  const scheduled = {
    innerLearningRate: current.innerLearningRate * linear(config.initialInnerLearningRate, 1 - progress),
    entropyCoef: current.entropyCoef * linear(config.finalEntropy, progress),
  };
  return { ...experiment, config: { ...current, ...scheduled }, objective: objectiveAt?.(step) ?? objective };
}

/** The generator's Adam; its learning rate falls linearly to `finalLearningRate` × `learningRate` at the last step. */
function policyOptimizer({ learningRate, finalLearningRate, steps }: Config, step: number): Optimizer {
  return adamw({ learningRate: learningRate * linear(finalLearningRate, step / steps), b2: 0.95 });
}

/** A run that has not begun. */
export function startTraining({ generator, config }: Pick<Experiment, 'generator' | 'config'>): TrainerState {
  const streams = makeStreams((name) => randomStream(config.seed, name));
  return { step: 0, perfect: 0, training: policyOptimizer(config, 0).init(generator.params), streams };
}

/** The fine-tuning that an experiment differentiates. */
export const innerTraining = ({
  config,
  target,
  objective,
}: Pick<Experiment, 'config' | 'target' | 'objective'>): InnerTraining => ({
  model: target.model,
  params: target.params,
  optimizer: innerOptimizer(config),
  objective,
  innerSteps: config.innerSteps,
  sequenceLength: config.maxNewTokens - 1,
});

/** @throws RangeError for a reward that compares texts with an evaluation set */
export function requireWeightReward({ reward }: Pick<Config, 'reward'>): void {
  if (reward !== 'metagradient' && reward !== 'naive')
    throw new RangeError(`reward "${reward}" needs an evaluation set of texts, which only rephrase and uuid have`);
}

/** The reward that a configuration names. @throws RangeError for one on texts: experiments that have an evaluation set bring it */
export function rewardOf(experiment: Pick<Experiment, 'config' | 'target' | 'objective'>): Reward {
  const { reward, crossGroupBatching } = experiment.config;
  requireWeightReward(experiment.config);
  const inner = innerTraining(experiment);
  return reward === 'naive' ? naiveReward(inner) : metagradientReward({ ...inner, crossGroupBatching });
}

/** Advantage of every response token, [size, maxNewTokens], and the share of groups without signal. */
function advantagesOf(rewards: Rewards, rollouts: Rollouts, { credit, discount, advantageScale, advantageClip }: Config) {
  if (rewards.values.length !== rollouts.size)
    throw new Error(`the reward function returned ${rewards.values.length} rewards for ${rollouts.size} rollouts`);
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
function sampleRollouts({ config, generator, prompts }: Experiment, params: Params, streams: Streams): Promise<Rollouts> {
  const { maxNewTokens, temperature, rollouts: group } = config;
  return rollout({
    model: generator.model,
    params,
    prompts: prompts('train', config.prompts, streams.prompts),
    group,
    maxNewTokens,
    temperature,
    endOfText: generator.tokenizer.eosId,
    random: streams.sampling,
  });
}

/**
 * How the target reads the generator's responses: as their ids where both have one tokenizer, else through text.
 * @throws RangeError for token-level credit between different tokenizers, and for a character that the target cannot read
 */
export function reading({
  config,
  generator,
  target,
}: Pick<Experiment, 'config' | 'generator' | 'target'>): (responses: Transcript['responses']) => Transcript {
  if (isSameTokenizer(generator.tokenizer, target.tokenizer)) return (responses) => ({ responses, metrics: {} });
  if (config.credit !== 'example')
    throw new RangeError(
      `config: credit '${config.credit}' needs one tokenizer for generator and target (a token of one is none of the other's); take 'example'`,
    );
  return transcriber(generator.tokenizer, target.tokenizer, config.maxNewTokens);
}

/** Rollouts as text. */
export function writtenExamples({ tokenizer }: Actor, rollouts: Rollouts): WrittenExample[] {
  const prompts = rollouts.prompts.map((ids) => tokenizer.decode(ids));
  return responsesOf(rollouts).map((ids, i) => ({
    prompt: prompts[Math.floor(i / rollouts.group)],
    response: tokenizer.decode(ids),
  }));
}

/** What a fine-tuned target shows, and the text that it learnt from. */
export async function observeAll(
  { observe, observeText }: Experiment,
  { tuned, phi }: Pick<Rewards, 'tuned' | 'phi'>,
  examples: () => readonly WrittenExample[],
): Promise<Observation> {
  const ofWeights = observe(tuned);
  const ofText = await observeText?.(examples(), phi);
  return { ...ofWeights, ...ofText, metrics: { ...ofWeights.metrics, ...ofText?.metrics } };
}

/** One step: rollouts, rewards, advantages, update. */
async function trainStep(experiment: Experiment, read: ReturnType<typeof reading>, state: TrainerState): Promise<TrainStep> {
  const started = performance.now();
  const { config, generator, reward = rewardOf(experiment) } = experiment;
  const streams = makeStreams((name) => restoreStream(state.streams[name].state())); // a step that fails has drawn nothing
  const rollouts = await sampleRollouts(experiment, state.training.params, streams);
  const { responses, metrics: exchange } = read(responsesOf(rollouts));
  const rewards = await reward(responses, config.rollouts, streams.batches);
  const { metrics: observed, image } = await observeAll(experiment, rewards, () => writtenExamples(generator, rollouts));
  disposeParams(rewards.tuned);
  const { advantages, degenerateGroups } = advantagesOf(rewards, rollouts, config);
  const optimizer = policyOptimizer(config, state.step);
  const update = {
    model: generator.model,
    optimizer,
    state: state.training,
    reference: generator.params,
    rollouts,
    advantages,
    options: config,
    random: streams.minibatches,
  };
  const { state: training, metrics } = await grpoUpdate(update);
  Object.assign(state, { training, streams, step: state.step + 1 });
  const [rewardMean, rewardStd] = meanAndDeviation(rewards.values);
  const row = {
    step: state.step,
    phi: rewards.phi,
    ...observed,
    reward_mean: rewardMean,
    reward_std: rewardStd,
    degenerate_groups: degenerateGroups,
    ...exchange,
    ...metrics,
    target_loss_first: rewards.targetLossFirst,
    target_loss_last: rewards.targetLossLast,
    seconds: (performance.now() - started) / 1000,
  };
  return { row, rollouts, rewards: rewards.values, advantages, image };
}

/**
 * Trains the generator. Yields after every step; ends after `config.steps`, after `config.stopAfterPerfect` perfect steps, or when `signal` aborts.
 * @param state - where to start; it holds the result, also when the loop is left early
 * @throws Error for anything that makes a reward impossible; the state stays that of the last whole step
 */
export async function* train(
  experiment: Experiment & { state: TrainerState; signal?: AbortSignal },
): AsyncGenerator<TrainStep, void, undefined> {
  const { config, state, signal } = experiment;
  const read = reading(experiment);
  const isDone = (): boolean =>
    state.step >= config.steps || (config.stopAfterPerfect > 0 && state.perfect >= config.stopAfterPerfect);
  while (!isDone() && !signal?.aborted) {
    const step = await trainStep(experimentAt(experiment, state.step), read, state);
    state.perfect = step.row.pixel_accuracy === 1 ? state.perfect + 1 : 0;
    yield step;
  }
}

/** Frees what a run holds beside its experiment. */
export const disposeTrainer = (state: TrainerState): void => disposeState(state.training);
