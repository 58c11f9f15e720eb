/**
 * "L2 norm": text that makes the fine-tuned LM head smaller (paper §4).
 */
import * as tf from '@tensorflow/tfjs-core';
import { negativeNorm } from '../objective/norm';
import type { Params } from '../tensor/params';
import { parseConfig, type ConfigInput } from '../dpg/config';
import type { Experiment } from '../dpg/experiment';
import type { ModelFolders } from '../dpg/models';
import { weightSpaceActors } from './weightSpace';

/** Settings found for the small models; every key can be overridden. */
export const L2_NORM_DEFAULTS: ConfigInput = {
  steps: 150,
  innerLearningRate: 1e-2,
  epsRoot: 1e-3,
  learningRate: 2e-4,
  klCoef: 0.2,
  entropyCoef: 0,
};

const headNorm = (params: Params): number => tf.tidy(() => tf.norm(params['lm_head.weight']).dataSync()[0]);

/** The paper's L2 norm experiment; `norm_change` is ‖W‖ after fine-tuning minus ‖W₀‖. */
export async function l2Norm(input: ConfigInput = {}, folders?: ModelFolders): Promise<Experiment> {
  const actors = await weightSpaceActors(parseConfig(input, L2_NORM_DEFAULTS), folders);
  const initial = headNorm(actors.target.params);
  const observe: Experiment['observe'] = ({ tuned }) => {
    const norm = headNorm(tuned);
    return { metrics: { norm, norm_change: norm - initial } };
  };
  const purpose = 'the LM head of a model that is fine-tuned on its text has a smaller norm';
  return { name: 'l2-norm', purpose, ...actors, objective: negativeNorm, observe };
}
