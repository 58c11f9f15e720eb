/**
 * The paper's "67": 42 weights of the LM head (paper §4).
 */
import { SIXTY_SEVEN } from '../objective/pattern';
import type { Experiment } from '../dpg/experiment';
import type { ModelFolders } from '../dpg/models';
import { makeExperiment, type Definition } from './definition';
import { smollm2, weightPresets } from './paper';
import { patternKeys, patternParts, type PatternConfig, type PatternParts } from './pattern';
import { CHARACTER_MODELS, weightSpaceMethods } from './weightSpace';

/** What the compared methods share: free text, of which KL is the only price, and credit for responses; all see as many examples. */
const COMPARED = {
  prompts: 64,
  groupSize: 8,
  maxNewTokens: 24,
  supportMinP: 0,
  strengthEnd: 6000,
  credit: 'example',
  klCoef: 0.06,
  stopAfterDone: 0,
  heldOutExamples: 512,
} as const;

export const sixtySevenDefinition: Definition<PatternConfig, PatternParts> = {
  name: 'sixty-seven',
  keys: patternKeys,
  models: CHARACTER_MODELS,
  defaults: {
    steps: 40,
    stopAfterDone: 0, // what is right in one data set may be wrong in the next: the rest of the run makes it last
    prompts: 128,
    maxNewTokens: 48,
    supportMinP: 0.03, // each character is one that the untrained generator might have written: words stay words
    heldOutExamples: 4096,
    strength: 6000,
    strengthEnd: 30_000, // moves that readable text can make are small: by and by, they count as done
    innerEpsRoot: 1e-3,
    credit: 'token',
    learningRate: 1e-3,
    learningRateEnd: 1e-4,
    klCoef: 0.05,
    entropyCoef: 0,
  },
  presets: {
    ...weightPresets<PatternConfig>({
      paper: { steps: 3840, strength: 20, strengthEnd: 20 }, // paper: 3,840 / 480 / 40; 20
      gpt2: { strength: 1e6, strengthEnd: 1e6 }, // strength · learning rate · innerSteps = 5, so that pixels which are right stop pulling
    }),
    // its vocabulary begins with control tokens that nobody writes
    smollm2: smollm2<PatternConfig>({ strength: 1e6, strengthEnd: 1e6, patchTokens: 'frequent' }),
  },
  sweep: {
    examples: 16_384, // 32 steps of 512
    tuningExamples: 8_192,
    every: 1_024,
    seeds: [0, 1, 2],
    minWords: 0.5,
    config: COMPARED,
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
