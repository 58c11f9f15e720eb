/** Φ = −‖W‖₂ of the LM head (paper §4, "L2 norm"). */
import * as tf from '@tensorflow/tfjs-core';
import type { TensorObjective } from '../learn/objective';

/** Rewards data that makes the fine-tuned LM head smaller. */
export const negativeNorm: TensorObjective = (params) => tf.neg(tf.norm(params['lm_head.weight']));
