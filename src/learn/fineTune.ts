/**
 * The learning algorithm A: supervised fine-tuning of the target, one optimizer step per batch, all example weights 1.
 */
import { disposeParams, type Params } from '../tensor/params';
import { padExamples } from '../model/batch';
import type { LanguageModel, TokenBatch } from '../model/types';
import { disposeState, type Optimizer, type TrainingState } from './optimizer';

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
  const length = sequenceLength ?? examples.reduce((longest, x) => Math.max(longest, x.length), 0) - 1;
  if (length > model.config.n_positions)
    throw new RangeError(
      `sequenceLength ${length} exceeds the model's ${model.config.n_positions} positions; shorten the examples`,
    );
  const sizes = typeof batchSize === 'number' ? equalSizes(examples.length, batchSize) : batchSize;
  const total = sizes.reduce((a, b) => a + b, 0);
  if (total !== examples.length) throw new RangeError(`the batches hold ${total} examples, but there are ${examples.length}`);
  let from = 0;
  return sizes.map((size) => padExamples(examples.slice(from, (from += size)), length, model.config.vocab_size));
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
  /** Mean loss of the batch before the step, nats. */
  readonly loss: number;
}

/** One step of fine-tuning. @throws Error naming step and example if a loss is not finite */
export async function trainingStep(
  model: LanguageModel,
  optimizer: Optimizer,
  before: TrainingState,
  batch: TokenBatch,
): Promise<Step> {
  const { losses, gradient } = await model.gradient(before.params, batch);
  const broken = losses.findIndex((loss) => !Number.isFinite(loss));
  if (broken >= 0) {
    disposeParams(gradient);
    throw new Error(
      `fine-tuning step ${before.step + 1}: the loss of example ${broken} of its batch is ${losses[broken]}; lower the inner learning rate`,
    );
  }
  const loss = losses.reduce((a, b) => a + b, 0) / batch.size;
  return { before, batch, gradient, after: optimizer.update(before, gradient), loss };
}

/** Result of {@link fineTune}. */
export interface FineTuned {
  /** The fine-tuned parameters; the caller disposes them. */
  readonly params: Params;
  /** Mean loss of every batch before its step, nats. */
  readonly trainLosses: number[];
}

/** Plain supervised fine-tuning; `params` stay as they are. */
export async function fineTune(
  setting: TrainingData & { model: LanguageModel; params: Params; optimizer: Optimizer },
): Promise<FineTuned> {
  const { model, optimizer } = setting;
  const trainLosses: number[] = [];
  let state = optimizer.init(setting.params);
  for (const batch of batchesOf(model, setting)) {
    const step = await trainingStep(model, optimizer, state, batch);
    trainLosses.push(step.loss);
    disposeParams(step.gradient);
    disposeState(state);
    state = step.after;
  }
  disposeParams(...Object.values(state.moments));
  return { params: state.params, trainLosses };
}
