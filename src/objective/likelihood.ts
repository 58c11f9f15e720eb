/**
 * Φ = −(language-modelling loss) of the fine-tuned target on an evaluation set that the generator never sees (paper §4, "language" and "UUID").
 */
import type { ObjectiveWithGradient } from '../learn/objective';
import type { LanguageModel, TokenBatch } from '../model/types';
import { mapParams, disposeParams } from '../tensor/params';
import * as tf from '@tensorflow/tfjs';

/**
 * Minus the mean per-example loss on `evaluation`, nats per position.
 * @param model - the target model, which computes loss and gradient
 */
export function likelihoodObjective(model: LanguageModel, evaluation: TokenBatch): ObjectiveWithGradient {
  return {
    async valueAndGradient(params) {
      const { losses, gradient } = await model.gradient(params, evaluation);
      const phi = -losses.reduce((a, b) => a + b, 0) / losses.length;
      if (!Number.isFinite(phi))
        throw new Error(`the loss on the evaluation set is ${-phi}; the fine-tuned weights are broken: lower the learning rate`);
      const negative = mapParams((_, g) => tf.neg(g), gradient);
      disposeParams(gradient);
      return { phi, gradient: negative };
    },
  };
}
