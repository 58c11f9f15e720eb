/**
 * Validation: the trained generator on held-out prompts, a fresh target, plain fine-tuning on what was written, and what the weights then show.
 */
import { responsesOf, rollout } from '../policy/rollouts';
import { plainTraining } from '../reward/metagradient';
import type { Params } from '../tensor/params';
import { randomStream } from '../tensor/random';
import { continuationExamples } from '../text/prompts';
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
  /** The fine-tuned target; the caller disposes it. */
  readonly tuned: Params;
}

/** A fresh target after plain SFT on some responses, and its Φ. */
async function fineTuneFresh(
  experiment: Experiment,
  responses: readonly (readonly number[])[],
  seed: number,
): Promise<Pick<Validation, 'phi' | 'tuned'>> {
  const order = randomStream(seed, 'held-out order').permutation(responses.length);
  const { phi, finalParams } = await plainTraining(
    innerTraining(experiment),
    Array.from(order, (i) => responses[i]),
  );
  return { phi, tuned: finalParams };
}

/** Of every run, so that runs are compared on the same held-out prompts. */
const VALIDATION_SEED = 12_345;

/** A generator after so many steps: the part of a run's state that validation needs. */
export interface Trained {
  readonly step: number;
  readonly training: { readonly params: Params };
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
  const { maxNewTokens, temperature, heldOutExamples } = experiment.config;
  const { model, tokenizer } = experiment.generator;
  const prompts = experiment.prompts('heldOut', heldOutExamples, randomStream(seed, 'held-out prompts'));
  const random = randomStream(seed, 'held-out sampling');
  const rollouts = await rollout({
    model,
    params,
    prompts,
    group: 1,
    maxNewTokens,
    temperature,
    endTokens: tokenizer.eosIds,
    rule: supportRule(experiment),
    random,
  });
  const result = await fineTuneFresh(experiment, reading(experiment)(responsesOf(rollouts)).responses, seed);
  const examples = writtenExamples(experiment.generator, rollouts);
  return { ...result, ...(await experiment.observe({ ...result, examples })), examples, step };
}

/** The control: plain SFT of a fresh target on held-out encyclopedia text, as many examples of the same length. */
export async function validateControl(experiment: Experiment, seed = VALIDATION_SEED): Promise<Omit<Validation, 'step'>> {
  const { maxNewTokens, heldOutExamples, promptLength } = experiment.config;
  const { tokenizer } = experiment.target;
  const options = { promptLength, responseLength: maxNewTokens, split: 'heldOut' as const };
  const pieces = continuationExamples(tokenizer, heldOutExamples, randomStream(seed, 'held-out prompts'), options);
  const examples = pieces.map(({ prompt, response }) => ({
    prompt: tokenizer.decode(prompt),
    response: tokenizer.decode(response),
  }));
  const responses = pieces.map(({ response }) => response);
  const result = await fineTuneFresh(experiment, responses, seed);
  return { ...result, ...(await experiment.observe({ ...result, examples })), examples };
}
