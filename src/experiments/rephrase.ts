/**
 * "Language": the generator is shown an English article and rephrases it; the fine-tuned target is to be good at another language (paper
 * §4). Neither prompts nor rewards name the language: Φ is minus the target's loss on texts in it that the generator never sees.
 */
import { randomStream } from '../tensor/random';
import { lambada } from '../text/encyclopedia/article';
import { LANGUAGES } from '../text/encyclopedia/fact';
import { identifyLanguage } from '../text/languages';
import { runningText } from '../text/prompts';
import { keptDetails } from '../text/vocabulary';
import { sharedKeys } from '../dpg/config';
import type { Experiment, Observation, WrittenExample } from '../dpg/experiment';
import { oneOf, type ConfigOf } from '../dpg/keys';
import type { ModelFolders } from '../dpg/models';
import type { PlantedTexts } from '../dpg/oracle';
import { makeExperiment, type Definition } from './definition';
import { outputMethods, outputParts, PIECE_MODELS, type OutputParts } from './outputSpace';
import { outputPresets } from './paper';

export const rephraseKeys = {
  ...sharedKeys,
  reward: oneOf<string>(['metagradient', 'naive', 'levenshtein', 'embedding', 'languageId'], {
    default: 'metagradient',
    description: 'What a response is paid; the last three compare it with the evaluation set, or are told the language',
    paper: 'metagradient; others as baselines',
  }),
  language: oneOf(['es', 'fr', 'de', 'it'], { default: 'es', description: 'The language to reach', paper: 'es, fr, de, it' }),
};

/** The configuration of the language experiment. */
export type RephraseConfig = ConfigOf<typeof rephraseKeys>;

/** Texts of an evaluation set, and the seed they are drawn with. */
const [PASSAGES, EVALUATION_SEED] = [128, 1];

/** Whether eld takes every sentence of at least three words for the same language; initials such as `K.` end no sentence. */
async function isInOneLanguage(text: string): Promise<boolean> {
  const sentences = text.split(/(?<=(?<!(?<!\p{L})\p{Lu})[.!?])\s+/u).filter((sentence) => sentence.split(/\s+/).length >= 3);
  const languages = await Promise.all(sentences.map(identifyLanguage));
  return new Set(languages.map(({ language }) => language)).size <= 1;
}

/**
 * Shares of responses that eld takes for `language`, and in one language throughout; share of the articles' names and numbers that
 * responses keep.
 */
export async function observeLanguage(examples: readonly WrittenExample[], language: string): Promise<Observation> {
  const identified = await Promise.all(examples.map(({ response }) => identifyLanguage(response)));
  const whole = await Promise.all(examples.map(({ response }) => isInOneLanguage(response)));
  const kept = examples.reduce((sum, { prompt, response }) => sum + keptDetails(prompt, response), 0);
  return {
    metrics: {
      language_share: identified.filter((each) => each.language === language).length / examples.length,
      kept_details: kept / examples.length,
      one_language: whole.filter(Boolean).length / examples.length,
    },
  };
}

/** The paper's language experiment for `config.language`; the evaluation set is in the manner of LAMBADA. */
export const rephraseDefinition: Definition<RephraseConfig, OutputParts<RephraseConfig>> = {
  name: 'rephrase',
  keys: rephraseKeys,
  models: PIECE_MODELS,
  defaults: {
    steps: 60,
    prompts: 128,
    groupSize: 8,
    promptLength: 40,
    maxNewTokens: 40,
    innerSteps: 1,
    innerLearningRate: 5e-4,
    innerEpsRoot: 1e-3,
    advantageScale: 'robust',
    advantageClip: 10,
    learningRate: 4e-4,
    learningRateEnd: 4e-5,
    klCoef: 0.06,
    entropyCoef: 0,
    heldOutExamples: 512,
  },
  presets: outputPresets({ paper: { steps: 120 } }), // the authors' files: three passes over the prompts
  sweep: {
    examples: 40_960, // 40 steps of 1,024
    tuningExamples: 10_240,
    every: 5_120,
    seeds: [0, 1, 2],
    config: { prompts: 128, groupSize: 8 },
    methods: outputMethods({
      learningRate: 4e-4,
      sgd: { innerLearningRate: 0.0158 },
      rewards: ['naive', 'levenshtein', 'embedding', 'languageId'],
      best: 'languageId',
    }),
  },
  make(config, models) {
    const { language } = config;
    const passages = lambada(language, PASSAGES, randomStream(EVALUATION_SEED, `lambada ${language}`));
    return {
      ...outputParts(config, models, { evaluation: passages.map(({ text }) => text), language }),
      purpose: `a model that is fine-tuned on its text is better at the language "${language}"`,
      observe: ({ examples }) => observeLanguage(examples, language),
    };
  },
};

/** The paper's language experiment. @param input - keys that differ from its defaults @throws as {@link makeExperiment} */
export const rephrase = (
  input: Partial<RephraseConfig> = {},
  models: ModelFolders = {},
): Promise<Experiment<RephraseConfig> & OutputParts<RephraseConfig>> => makeExperiment(rephraseDefinition, input, models);

/** For the oracle check: `count` articles in each language, the one to reach first. */
export function plantedLanguages({ language }: Pick<RephraseConfig, 'language'>, count = 48, seed = 0): PlantedTexts[] {
  const random = randomStream(seed, 'planted languages');
  const kinds = [language, ...LANGUAGES.filter((other) => other !== language)];
  return kinds.map((kind) => ({ kind, texts: Array.from({ length: count }, () => runningText(random, 1, kind)) }));
}
