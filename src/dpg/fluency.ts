/**
 * How much like text a generator's responses still are (ours): of every training step cheaply, of a validation in full.
 *
 * Perplexities are per token at temperature 1, given the prompt: under the untouched generator, and under an evaluator, a model that took
 * no part in the run, so that no shared mistake of generator and target counts as fluent. A ratio of 1 is text as the untrained generator
 * writes it.
 */
import { padExamples } from '../model/batch';
import { modelFolder } from '../model/hub/hub';
import { atResponses, policyBatch, responsesOf, type Rollouts } from '../policy/rollouts';
import { disposeParams } from '../tensor/params';
import { distinctShare, perplexity, selfBleu } from '../text/fluency';
import { isSameTokenizer } from '../text/transcription';
import type { Tokenizer } from '../text/tokenizer';
import { meanVocabularyShare } from '../text/vocabulary';
import { loadActor } from './actor';
import type { Actor, Experiment, WrittenExample } from './experiment';

/** Responses of which repetition is measured, and in validation likelihood. */
export const FLUENCY_TEXTS = 256;

/** Responses of a training step whose likelihood is measured: all of them would be a tenth of the step's work. */
const SCORED = 64;

type Measures = Record<string, number>;

/** Indices spread over `size`, at most `count`. */
function spread(size: number, count: number): Int32Array {
  const taken = Math.min(size, count);
  return Int32Array.from({ length: taken }, (_, i) => Math.floor((i * size) / taken));
}

/** `words`, mean share of a response's words that are in the encyclopedia's vocabulary; `distinct_2` and `self_bleu` of 256 responses. */
export function repetition(examples: readonly WrittenExample[], { languages }: Pick<Experiment, 'languages'>): Measures {
  const texts = Array.from(spread(examples.length, FLUENCY_TEXTS), (i) => examples[i].response);
  return { words: meanVocabularyShare(examples, languages), distinct_2: distinctShare(texts), self_bleu: selfBleu(texts) };
}

/** Values [size, length] where the mask is 1. */
const counted = (values: Float32Array, mask: Float32Array): Float32Array => values.filter((_, cell) => mask[cell] === 1);

/**
 * `perplexity` of some responses under the untouched generator, and their `kl`: mean of log π − log π_ref a token, at the sampling
 * temperature.
 */
async function likelihood({ generator, config }: Experiment, rollouts: Rollouts, indices: Int32Array): Promise<Measures> {
  const { model, params } = generator;
  const { temperature, minibatch } = config;
  const [surprise, gaps]: [number[], number[]] = [[], []];
  for (let from = 0; from < indices.length; from += minibatch) {
    const piece = indices.subarray(from, from + minibatch);
    const batch = policyBatch(rollouts, piece);
    const reference = await model.logProbs(params, batch, temperature); // where some tokens alone may be written, among these
    const plain = await model.logProbs(params, { ...batch, support: undefined });
    surprise.push(...counted(plain, batch.mask));
    const drawn = counted(atResponses(rollouts, rollouts.logProbs, piece), batch.mask);
    counted(reference, batch.mask).forEach((logProb, i) => gaps.push(drawn[i] - logProb));
  }
  return { kl: gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length, perplexity: perplexity(surprise) };
}

/** The measures of a training step. */
export const stepFluency = async (
  experiment: Experiment,
  rollouts: Rollouts,
  examples: readonly WrittenExample[],
): Promise<Measures> => ({
  ...repetition(examples, experiment),
  ...(await likelihood(experiment, rollouts, spread(rollouts.size, SCORED))),
});

/** A prompt and its response as another model reads them: all token ids, and how many are the prompt's. */
function readBy(evaluator: Actor, generator: Tokenizer, prompt: readonly number[], response: readonly number[]) {
  const { tokenizer, model } = evaluator;
  const all = (before: readonly number[], after: readonly number[]) => ({
    ids: [...before, ...after].slice(0, model.config.n_positions + 1),
    from: before.length,
  });
  if (isSameTokenizer(generator, tokenizer)) return all(prompt, response);
  const text = generator.decode(prompt);
  const before = [...tokenizer.startIds, ...tokenizer.encode(text)];
  const whole = [...tokenizer.startIds, ...tokenizer.encode(text + generator.decode(response))];
  const end = generator.eosIds.includes(response[response.length - 1]) && tokenizer.eosId !== undefined ? [tokenizer.eosId] : [];
  return all(before, [...whole.slice(before.length), ...end]);
}

/** Perplexity of responses under an evaluator. @throws RangeError for a text that it cannot read */
async function evaluatorPerplexity(evaluator: Actor, { tokenizer }: Actor, rollouts: Rollouts): Promise<number> {
  const { model, params } = evaluator;
  const read = responsesOf(rollouts).map((response, i) =>
    readBy(evaluator, tokenizer, rollouts.prompts[Math.floor(i / rollouts.group)], response),
  );
  const logProbs: number[] = [];
  for (let start = 0; start < read.length; start += SCORED) {
    const piece = read.slice(start, start + SCORED);
    const length = Math.max(...piece.map(({ ids }) => ids.length)) - 1;
    const batch = padExamples(piece.map(({ ids }) => ids), length, model.config.vocab_size); // prettier-ignore
    const mask = batch.mask.map((m, cell) => (cell % length < piece[Math.floor(cell / length)].from - 1 ? 0 : m));
    logProbs.push(...counted(await model.logProbs(params, { ...batch, mask }), mask));
  }
  return perplexity(logProbs);
}

/** Both perplexities under the experiment's evaluator; none if it has no evaluator. */
async function evaluated(
  { evaluator, generator, config }: Experiment,
  written: Rollouts,
  untrained: Rollouts,
): Promise<Measures> {
  if (evaluator === undefined) return {};
  const actor = await loadActor(await modelFolder(evaluator), config);
  try {
    const after = await evaluatorPerplexity(actor, generator, written);
    const before = written === untrained ? after : await evaluatorPerplexity(actor, generator, untrained);
    return { evaluator_perplexity: after, evaluator_perplexity_ratio: after / before };
  } finally {
    actor.model.dispose();
    disposeParams(actor.params);
  }
}

/**
 * The measures of a validation, beside {@link repetition}.
 * @param written - responses to at most {@link FLUENCY_TEXTS} prompts
 * @param untrained - the untouched generator's responses to the same prompts
 */
export async function heldOutFluency(experiment: Experiment, written: Rollouts, untrained: Rollouts): Promise<Measures> {
  const of = (rollouts: Rollouts): Promise<Measures> => likelihood(experiment, rollouts, spread(rollouts.size, rollouts.size));
  const after = await of(written);
  const before = written === untrained ? after : await of(untrained);
  const ratio = after.perplexity / before.perplexity;
  return { ...after, perplexity_ratio: ratio, ...(await evaluated(experiment, written, untrained)) };
}
