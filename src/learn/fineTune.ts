/**
 * The learning algorithm A: supervised fine-tuning of the target, one optimizer step per batch, all example weights 1.
 */
import { requireWhole } from '../tensor/numbers';
import { holding, requireFiniteParams, type Holding, type Params } from '../tensor/params';
import { padExamples } from '../model/batch';
import type { LanguageModel, TokenBatch } from '../model/types';
import { treesOf, updated, type Optimizer, type TrainingState } from './optimizer';

/** What fine-tuning learns from. */
export interface TrainingData {
  /** Token ids, used once each, in order. */
  readonly examples: readonly ArrayLike<number>[];
  /** Examples per optimizer step; must divide the number of examples. A list gives the size of every step. */
  readonly batchSize: number | readonly number[];
  /** S, the number of predicted positions every example is padded to and divided by. Default: the longest example − 1. */
  readonly sequenceLength?: number;
}

/**
 * The batches of the optimizer steps.
 * @throws RangeError if the examples do not fill the batches, or do not fit the model's positions or vocabulary
 */
export function batchesOf(model: LanguageModel, { examples, batchSize, sequenceLength }: TrainingData): TokenBatch[] {
  const sizes = typeof batchSize === 'number' ? equalSizes(examples.length, batchSize) : batchSize;
  if (sizes.length === 0) throw new RangeError('batchSize must give the size of at least one batch (got [])');
  sizes.forEach((size, i) => requireWhole(`batchSize[${i}]`, size));
  const total = sizes.reduce((a, b) => a + b, 0);
  if (total !== examples.length) throw new RangeError(`the batches hold ${total} examples, but there are ${examples.length}`);
  const length = sequenceLength ?? longestOf(examples) - 1;
  if (length > model.config.n_positions)
    throw new RangeError(
      `sequenceLength ${length} exceeds the model's ${model.config.n_positions} positions; shorten the examples`,
    );
  let from = 0;
  return sizes.map((size) => padExamples(examples.slice(from, (from += size)), length, model.config.vocab_size));
}

/** @throws RangeError if nothing can be predicted */
function longestOf(examples: TrainingData['examples']): number {
  const longest = examples.reduce((most, x) => Math.max(most, x.length), 0);
  if (longest < 2) throw new RangeError(`an example needs two tokens to be learnt from (the longest has ${longest})`);
  return longest;
}

function equalSizes(count: number, batchSize: number): number[] {
  if (!(Number.isInteger(batchSize) && batchSize > 0 && count % batchSize === 0 && count > 0))
    throw new RangeError(`batchSize must be a positive whole number that divides the ${count} examples (got ${batchSize})`);
  return new Array<number>(count / batchSize).fill(batchSize);
}

/** One optimizer step and what its reversal needs. */
export interface Step {
  readonly before: TrainingState;
  readonly batch: TokenBatch;
  readonly gradient: Params;
  readonly after: TrainingState;
}

/** A fine-tuning under way. */
export interface FineTuning {
  readonly model: LanguageModel;
  readonly optimizer: Optimizer;
  readonly trees: Holding;
  /** Mean loss of the batch before every step so far, nats. */
  readonly losses: number[];
}

/** A loss so many times that of guessing, and of the first batch, has exploded. */
const EXPLODED = 10;

/** @throws Error naming the step, and the example or the weights, if a loss is not finite or has exploded */
function requireLearning({ model, losses: seen }: FineTuning, { params, step }: TrainingState, losses: Float32Array): number {
  const doing = `fine-tuning step ${step + 1}`;
  const broken = losses.findIndex((loss) => !Number.isFinite(loss));
  if (broken >= 0) {
    requireFiniteParams(params, doing);
    throw new Error(`${doing}: the loss of example ${broken} of its batch is ${losses[broken]}; lower the inner learning rate`);
  }
  const loss = losses.reduce((a, b) => a + b, 0) / losses.length;
  const { vocab_size: vocab } = model.config;
  const [first = loss] = seen;
  if (loss > EXPLODED * Math.max(first, Math.log(vocab)))
    throw new Error(
      `${doing}: the loss is ${loss.toPrecision(3)}, at first it was ${first.toPrecision(3)}, and guessing costs ln ${vocab} = ` +
        `${Math.log(vocab).toPrecision(3)}: the fine-tuning explodes; lower the inner learning rate`,
    );
  return loss;
}

/** One step of fine-tuning. @throws Error naming the step if a loss or a weight is not finite, or the loss explodes */
export async function trainingStep(run: FineTuning, before: TrainingState, batch: TokenBatch): Promise<Step> {
  const { model, optimizer, trees } = run;
  const { losses, gradient } = await model.gradient(before.params, batch);
  trees.hold(gradient);
  run.losses[before.step] = requireLearning(run, before, losses);
  const after = updated(optimizer, trees, before, gradient);
  requireFiniteParams(after.params, `fine-tuning step ${after.step}`);
  return { before, batch, gradient, after };
}

/** Result of {@link fineTune}. */
export interface FineTuned {
  /** The fine-tuned parameters; the caller disposes them. */
  readonly params: Params;
  /** Mean loss of every batch before its step, nats. */
  readonly trainLosses: number[];
}

/**
 * Plain supervised fine-tuning; `params` stay as they are.
 * @throws RangeError for examples that do not fit the model or the batches
 * @throws Error naming the step for a loss that is not finite or explodes, and the tensor for weights that are not finite
 */
export function fineTune(
  setting: TrainingData & { model: LanguageModel; params: Params; optimizer: Optimizer },
): Promise<FineTuned> {
  return holding(async (trees) => {
    const { model, optimizer } = setting;
    const batches = batchesOf(model, setting);
    const run = { model, optimizer, trees, losses: [] };
    let state = optimizer.init(setting.params);
    trees.hold(...treesOf(state));
    for (const batch of batches) {
      const step = await trainingStep(run, state, batch);
      trees.free(step.gradient, ...treesOf(state));
      state = step.after;
    }
    trees.free(...Object.values(state.moments));
    return { params: state.params, trainLosses: run.losses };
  });
}
