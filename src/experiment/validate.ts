/**
 * Validation: the trained generator on held-out prompts, a fresh target, plain fine-tuning on what was written, and what the weights then show.
 */
import { fineTune } from '../learn/fineTune';
import { valueAndGradient } from '../learn/objective';
import { responsesOf, rollout } from '../policy/rollouts';
import { batchSizeOf } from '../reward/metagradient';
import { disposeParams, type Params } from '../tensor/params';
import { randomStream } from '../tensor/random';
import { innerOptimizer, type Experiment, type Observation } from './train';

/** One prompt and what was written for it. */
export interface WrittenExample {
  readonly prompt: string;
  readonly response: string;
}

/** Result of {@link validate}. */
export interface Validation extends Observation {
  /** Φ of the fine-tuned target. */
  readonly phi: number;
  /** Held-out prompts and the generator's responses: the data set. */
  readonly examples: readonly WrittenExample[];
  /** The fine-tuned target; the caller disposes it. */
  readonly tuned: Params;
}

/**
 * One response to each of `config.heldOutExamples` held-out prompts, and plain SFT of a fresh target on them.
 * @param generator - parameters of the generator to validate, e.g. before or after training
 * @param seed - of prompts, sampling and order; the default is the same for every run, so that runs are compared on the same prompts
 */
export async function validate(experiment: Experiment, generator: Params, seed = 12_345): Promise<Validation> {
  const { config, target } = experiment;
  const { model, tokenizer } = experiment.generator;
  const count = config.heldOutExamples;
  const prompts = experiment.prompts('heldOut', count, randomStream(seed, 'held-out prompts'));
  const { maxNewTokens, temperature } = config;
  const random = randomStream(seed, 'held-out sampling');
  const rollouts = await rollout({
    model,
    params: generator,
    prompts,
    group: 1,
    maxNewTokens,
    temperature,
    endOfText: tokenizer.eosId,
    random,
  });
  const responses = responsesOf(rollouts);
  const order = randomStream(seed, 'held-out order').permutation(count);
  const { params: tuned } = await fineTune({
    model: target.model,
    params: target.params,
    optimizer: innerOptimizer(config),
    examples: Array.from(order, (i) => responses[i]),
    batchSize: batchSizeOf(count, config.innerSteps),
    sequenceLength: maxNewTokens - 1,
  });
  const { phi, gradient } = await valueAndGradient(experiment.objective, tuned);
  disposeParams(gradient);
  const examples = responses.map((ids, i) => ({ prompt: tokenizer.decode(prompts[i]), response: tokenizer.decode(ids) }));
  return { phi, ...experiment.observe(tuned), examples, tuned };
}
