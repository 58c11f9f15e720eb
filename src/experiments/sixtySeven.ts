/**
 * The paper's "67": 42 weights of the LM head (paper §4).
 */
import { SIXTY_SEVEN } from '../objective/pattern';
import type { Experiment } from '../dpg/experiment';
import type { ModelFolders } from '../dpg/models';
import { makeExperiment, type Definition } from './definition';
import { weightPresets } from './paper';
import { patternKeys, patternParts, type PatternConfig, type PatternParts } from './pattern';
import { CHARACTER_MODELS, weightSpaceMethods } from './weightSpace';

export const sixtySevenDefinition: Definition<PatternConfig, PatternParts> = {
  name: 'sixty-seven',
  keys: patternKeys,
  models: CHARACTER_MODELS,
  defaults: {
    steps: 200,
    stopAfterDone: 5,
    prompts: 64,
    heldOutExamples: 512,
    strength: 6000,
    innerEpsRoot: 1e-3,
    learningRate: 4e-4,
    learningRateEnd: 4e-5,
    klCoef: 0.06,
    entropyCoef: 0,
  },
  presets: weightPresets<PatternConfig>({
    paper: { steps: 3840, strength: 20 }, // paper: 3,840 / 480 / 40; 20
    gpt2: { strength: 1e6 }, // strength · learning rate · innerSteps = 5, so that pixels which are right stop pulling
  }),
  sweep: {
    examples: 16_384, // 32 steps of 512
    tuningExamples: 8_192,
    every: 1_024,
    seeds: [0, 1, 2],
    minWords: 0.5,
    config: { prompts: 64, groupSize: 8, klCoef: 0.06, stopAfterDone: 0 }, // all see as many examples, also those that are done early
    methods: [
      ...weightSpaceMethods({ adamw: 1e-3, sgd: 0.0298, learningRates: [2e-4, 6e-4, 1.8e-3] }),
      ...[0, 0.2].map((klCoef) => ({ name: `kl-${klCoef}`, config: { klCoef }, learningRates: 'adamw' })),
    ],
  },
  make: (config, actors) => patternParts(SIXTY_SEVEN, config, actors),
};

/** The experiment whose Φ is a picture, ready to be trained. */
export type PatternExperiment = Experiment<PatternConfig> & PatternParts;

/** The paper's "67". @param input - keys that differ from its defaults @throws as {@link makeExperiment} */
export const sixtySeven = (input: Partial<PatternConfig> = {}, models: ModelFolders = {}): Promise<PatternExperiment> =>
  makeExperiment(sixtySevenDefinition, input, models);
