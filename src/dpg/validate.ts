/**
 * Validation: the trained generator on held-out prompts, a fresh target, plain fine-tuning on what was written, and what the weights then
 * show.
 */
import { firstOf, responsesOf, rollout, type Rollouts } from '../policy/rollouts';
import { plainTraining } from '../reward/metagradient';
import { holding, type Params } from '../tensor/params';
import { randomStream } from '../tensor/random';
import { continuationExamples } from '../text/prompts';
import { FLUENCY_TEXTS, heldOutFluency, repetition } from './fluency';
import type { Experiment, Observation, WrittenExample } from './experiment';
import { innerTraining } from './inner';
import { reading, writtenExamples } from './reading';
import { supportRule } from './supportRule';

/** Result of {@link validate}. */
export interface Validation extends Observation {
  /** GRPO steps that the validated generator had taken. */
  readonly step: number;
  /** Φ of the fine-tuned target. */
  readonly phi: number;
  /** Held-out prompts and the generator's responses: the data set. */
  readonly examples: readonly WrittenExample[];
  /** What the untrained generator answers to the first of these prompts, 256 at most. */
  readonly untrained: readonly string[];
  /** The fine-tuned target; the caller disposes it. */
  readonly tuned: Params;
}

/** A fresh target after plain SFT on some responses: its Φ, and what is observed of it. */
async function fineTuneFresh(
  experiment: Experiment,
  responses: readonly (readonly number[])[],
  examples: readonly WrittenExample[],
  seed: number,
): Promise<Omit<Validation, 'step' | 'untrained'>> {
  const order = randomStream(seed, 'held-out order').permutation(responses.length);
  const { phi, finalParams } = await plainTraining(
    innerTraining(experiment),
    Array.from(order, (i) => responses[i]),
  );
  return holding(async (trees) => {
    trees.hold(finalParams);
    const result = { phi, tuned: finalParams, examples };
    return { ...result, ...(await experiment.observe(result)) };
  });
}

/** Of every run, so that runs are compared on the same held-out prompts. */
const VALIDATION_SEED = 12_345;

/** A generator after so many steps: the part of a run's state that validation needs. */
export interface Trained {
  readonly step: number;
  readonly training: { readonly params: Params };
}

/** Held-out prompts and a generator's responses; the same seed draws the same prompts and random numbers, whatever the generator. */
function heldOutRollouts(experiment: Experiment, params: Params, count: number, seed: number): Promise<Rollouts> {
  const { config, generator, prompts } = experiment;
  const { maxNewTokens, temperature, heldOutExamples } = config;
  return rollout({
    model: generator.model,
    params,
    prompts: prompts('heldOut', heldOutExamples, randomStream(seed, 'held-out prompts')).slice(0, count),
    group: 1,
    maxNewTokens,
    temperature,
    endTokens: generator.tokenizer.eosIds,
    rule: supportRule(experiment, params),
    random: randomStream(seed, 'held-out sampling'),
  });
}

/** How much like text the responses are, beside the untrained generator's to the same prompts. */
async function fluency(experiment: Experiment, params: Params, rollouts: Rollouts, seed: number) {
  const count = Math.min(FLUENCY_TEXTS, rollouts.size);
  const written = firstOf(rollouts, count);
  const { generator, config } = experiment;
  const free = { ...experiment, config: { ...config, supportMinP: 0 } }; // untrained text is what the generator writes by itself
  const isUntrained = params === generator.params && config.supportMinP === 0;
  const untrained = isUntrained ? written : await heldOutRollouts(free, generator.params, count, seed);
  const metrics = {
    ...repetition(writtenExamples(generator, rollouts), experiment),
    ...(await heldOutFluency(experiment, written, untrained)),
  };
  return { metrics, untrained: writtenExamples(generator, untrained).map(({ response }) => response) };
}

/**
 * One response to each of `config.heldOutExamples` held-out prompts, and plain SFT of a fresh target on them.
 * @param trained - the state of a run, by default the untrained generator
 * @param seed - of prompts, sampling and order
 */
export async function validate(
  experiment: Experiment,
  { step, training: { params } }: Trained = { step: 0, training: experiment.generator },
  seed = VALIDATION_SEED,
): Promise<Validation> {
  const rollouts = await heldOutRollouts(experiment, params, experiment.config.heldOutExamples, seed);
  const { responses } = reading(experiment)(responsesOf(rollouts));
  const measured = await fluency(experiment, params, rollouts, seed);
  const result = await fineTuneFresh(experiment, responses, writtenExamples(experiment.generator, rollouts), seed);
  return { ...result, metrics: { ...result.metrics, ...measured.metrics }, untrained: measured.untrained, step };
}

/** The control: plain SFT of a fresh target on held-out encyclopedia text, as many examples of the same length. */
export async function validateControl(
  experiment: Experiment,
  seed = VALIDATION_SEED,
): Promise<Omit<Validation, 'step' | 'untrained'>> {
  const { maxNewTokens, heldOutExamples, promptLength } = experiment.config;
  const { tokenizer } = experiment.target;
  const options = { promptLength, responseLength: maxNewTokens, split: 'heldOut' as const };
  const pieces = continuationExamples(tokenizer, heldOutExamples, randomStream(seed, 'held-out prompts'), options);
  const examples = pieces.map(({ prompt, response }) => ({
    prompt: tokenizer.decode(prompt),
    response: tokenizer.decode(response),
  }));
  const responses = pieces.map(({ response }) => response);
  const result = await fineTuneFresh(experiment, responses, examples, seed);
  return { ...result, metrics: { ...result.metrics, ...repetition(examples, experiment) } };
}
