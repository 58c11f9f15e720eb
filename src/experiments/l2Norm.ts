/**
 * "L2 norm": text that makes the fine-tuned LM head smaller (paper §4).
 */
import * as tf from '@tensorflow/tfjs-core';
import { negativeNorm } from '../objective/norm';
import type { Params } from '../tensor/params';
import type { Experiment } from '../dpg/experiment';
import type { ModelFolders } from '../dpg/models';
import { makeExperiment, type Definition } from './definition';
import { weightPresets } from './paper';
import { articlePrompts, CHARACTER_MODELS, promptedKeys, weightSpaceMethods, type PromptedConfig } from './weightSpace';

const headNorm = (params: Params): number => tf.tidy(() => tf.norm(params['lm_head.weight']).dataSync()[0]);

/** The paper's L2 norm experiment; `norm_change` is ‖W‖ after fine-tuning minus ‖W₀‖. */
export const l2NormDefinition: Definition<PromptedConfig> = {
  name: 'l2-norm',
  keys: promptedKeys,
  models: CHARACTER_MODELS,
  defaults: {
    steps: 150,
    innerLearningRate: 1e-2,
    innerEpsRoot: 1e-3,
    learningRate: 2e-4,
    klCoef: 0.2,
    entropyCoef: 0,
  },
  presets: weightPresets({ paper: { steps: 960 } }), // paper: a quarter of those of 67
  sweep: {
    examples: 12_288, // 48 steps of 256
    tuningExamples: 4_096,
    every: 1_024,
    seeds: [0, 1, 2],
    minWords: 0.5,
    config: { prompts: 32, groupSize: 8 },
    methods: weightSpaceMethods({ adamw: 1e-2, sgd: 0.3, learningRates: [2e-4, 3.5e-4, 6e-4, 1.8e-3], batchRates: 'adamw' }),
  },
  make(config, { generator, target }) {
    const initial = headNorm(target.params);
    return {
      purpose: 'the LM head of a model that is fine-tuned on its text has a smaller norm',
      prompts: articlePrompts(generator, config),
      objective: negativeNorm,
      observe: ({ tuned }) => {
        const norm = headNorm(tuned);
        return { metrics: { norm, norm_change: norm - initial } };
      },
    };
  },
};

/** The paper's L2 norm. @param input - keys that differ from its defaults @throws as {@link makeExperiment} */
export const l2Norm = (input: Partial<PromptedConfig> = {}, models: ModelFolders = {}): Promise<Experiment<PromptedConfig>> =>
  makeExperiment(l2NormDefinition, input, models);
