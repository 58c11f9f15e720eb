/**
 * Pretraining of the small models on the mini-encyclopedia.
 */
import { adamw, disposeState } from '../learn/optimizer';
import type { LanguageModel, TokenBatch } from '../model/types';
import { disposeParams, type Params } from '../tensor/params';

/** Arguments of {@link pretrain}. */
export interface PretrainOptions {
  readonly model: LanguageModel;
  /** Initial parameters; stay as they are. */
  readonly params: Params;
  /** The training batch of a step, counted from 0. */
  readonly nextBatch: (step: number) => TokenBatch;
  readonly steps: number;
  /** Peak learning rate: reached after 50 steps, then falling linearly to a tenth. */
  readonly learningRate: number;
  readonly onStep?: (step: number, loss: number) => void;
}

const WARM_UP = 50;

const mean = (values: Float32Array): number => values.reduce((a, b) => a + b, 0) / values.length;

/**
 * Ordinary language-model training with Adam.
 * @returns trained parameters, which the caller disposes
 * @throws Error naming the step if a loss is not finite
 */
export async function pretrain({ model, params, nextBatch, steps, learningRate, onStep }: PretrainOptions): Promise<Params> {
  const optimizer = (step: number) =>
    adamw({
      learningRate: learningRate * Math.min(1, (step + 1) / WARM_UP) * Math.max(0.1, 1 - step / steps),
      b2: 0.99,
      epsRoot: 0,
      weightDecay: 0.01,
    });
  let state = optimizer(0).init(params);
  for (let step = 0; step < steps; step++) {
    const { losses, gradient } = await model.gradient(state.params, nextBatch(step));
    const loss = mean(losses);
    if (!Number.isFinite(loss))
      throw new Error(`pretraining step ${step + 1}: the loss is ${loss}; lower the learning rate (${learningRate})`);
    const next = optimizer(step).update(state, gradient);
    disposeParams(gradient);
    disposeState(state);
    state = next;
    onStep?.(step + 1, loss);
  }
  disposeParams(...Object.values(state.moments));
  return state.params;
}

/** Mean loss per predicted token, nats, over some batches. */
export async function meanLoss(model: LanguageModel, params: Params, batches: readonly TokenBatch[]): Promise<number> {
  let [sum, count] = [0, 0];
  for (const batch of batches) {
    const logProbs = await model.logProbs(params, batch);
    sum -= logProbs.reduce((a, b) => a + b, 0);
    count += batch.mask.reduce((a, b) => a + b, 0);
  }
  return sum / count;
}
