/**
 * "Language": the generator is shown an English article and rephrases it; the fine-tuned target is to be good at another language (paper §4).
 * Neither prompts nor rewards name the language: Φ is minus the target's loss on texts in it that the generator never sees.
 */
import { randomStream } from '../tensor/random';
import { lambada } from '../text/encyclopedia/article';
import { LANGUAGES } from '../text/encyclopedia/fact';
import { identifyLanguage } from '../text/languages';
import { runningText } from '../text/prompts';
import { keptDetails } from '../text/vocabulary';
import { parseConfig, type Config, type ConfigInput } from '../dpg/config';
import type { PlantedTexts } from '../dpg/oracle';
import { outputExperiment, type OutputExperiment } from './outputSpace';
import type { Observation, WrittenExample } from '../dpg/experiment';
import type { ModelFolders } from '../dpg/models';

/** Settings found for the small models; every key can be overridden. */
export const REPHRASE_DEFAULTS: ConfigInput = {
  steps: 60,
  prompts: 128,
  rollouts: 8,
  promptLength: 40,
  maxNewTokens: 40,
  innerSteps: 1,
  innerLearningRate: 5e-4,
  epsRoot: 1e-3,
  advantageScale: 'robust',
  advantageClip: 10,
  learningRate: 4e-4,
  finalLearningRate: 0.1,
  klCoef: 0.06,
  entropyCoef: 0,
  heldOutExamples: 512,
};

/** Texts of an evaluation set, and the seed they are drawn with. */
const [PASSAGES, EVALUATION_SEED] = [128, 1];

/** Share of responses that eld takes for `language`, and share of the articles' names and numbers that responses keep. */
export async function observeLanguage(examples: readonly WrittenExample[], language: string): Promise<Observation> {
  const identified = await Promise.all(examples.map(({ response }) => identifyLanguage(response)));
  const kept = examples.reduce((sum, { prompt, response }) => sum + keptDetails(prompt, response), 0);
  return {
    metrics: {
      language_share: identified.filter((each) => each.language === language).length / examples.length,
      kept_details: kept / examples.length,
    },
  };
}

/** The paper's language experiment for `config.language`; the evaluation set is in the manner of LAMBADA. */
export async function rephrase(input: ConfigInput = {}, folders?: ModelFolders): Promise<OutputExperiment> {
  const config = parseConfig(input, REPHRASE_DEFAULTS);
  const { language } = config;
  const passages = lambada(language, PASSAGES, randomStream(EVALUATION_SEED, `lambada ${language}`));
  return outputExperiment(
    config,
    {
      name: 'rephrase',
      purpose: `a model that is fine-tuned on its text is better at the language "${language}"`,
      evaluation: passages.map(({ text }) => text),
      observe: ({ examples }) => observeLanguage(examples, language),
    },
    folders,
  );
}

/** For the oracle check: `count` articles in each language, the one to reach first. */
export function plantedLanguages({ language }: Pick<Config, 'language'>, count = 48, seed = 0): PlantedTexts[] {
  const random = randomStream(seed, 'planted languages');
  const kinds = [language, ...LANGUAGES.filter((other) => other !== language)];
  return kinds.map((kind) => ({ kind, texts: Array.from({ length: count }, () => runningText(random, 1, kind)) }));
}
