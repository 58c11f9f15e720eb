/**
 * What the experiments on outputs share: the word-piece models of `data/`, prompts that are whole articles to rephrase, Φ on an evaluation
 * set that the generator never sees, and the paper's baselines that compare texts with it (paper §4, "language" and "UUID").
 */
import path from 'node:path';
import { evaluationBatch, evaluationIds, likelihoodObjective } from '../objective/likelihood';
import { embeddingScore } from '../reward/embedding';
import { languageScore } from '../reward/languageId';
import { levenshteinScore } from '../reward/levenshtein';
import { scoredReward, type Score } from '../reward/scored';
import { rephraseExamples } from '../text/prompts';
import { LANGUAGES, type Language } from '../text/encyclopedia/fact';
import { DATA } from '../dpg/actor';
import type { Config, ConfigInput } from '../dpg/config';
import type { Actor, Actors, PromptSource } from '../dpg/experiment';
import type { Parts, SweepMethod } from './definition';

/** The small models. */
export const PIECE_MODELS = {
  generator: path.join(DATA, 'rephrase-generator'),
  target: path.join(DATA, 'multilingual-target'),
};

/** What an experiment on outputs brings. */
export interface OutputParts<C extends Config = Config> extends Parts<C> {
  /** The evaluation set. */
  readonly evaluation: readonly string[];
}

/** What an evaluation set is for. */
export interface Evaluation {
  readonly evaluation: readonly string[];
  /** Whether texts of the evaluation set end where they end: the target then learns to stop there. */
  readonly ended?: boolean;
  /** Of the reward `languageId`. */
  readonly language?: Language;
}

/**
 * Articles as {@link rephraseExamples} makes them; training and held-out articles state different facts, and no prompt names a language.
 */
const articlesToRephrase =
  ({ tokenizer }: Actor, { promptLength }: Config): PromptSource =>
  (split, count, random) =>
    rephraseExamples(tokenizer, count, random, { promptLength, split }).map(({ prompt }) => prompt);

/** The score that a configuration names, if it names one. */
function scoreOf(reward: string, { tokenizer, params }: Actor, ids: readonly number[][], language?: Language): Score | undefined {
  if (reward === 'levenshtein') return levenshteinScore(ids);
  if (reward === 'embedding') return embeddingScore(params, ids);
  if (reward === 'languageId' && language) return languageScore(tokenizer, language);
  return undefined;
}

/**
 * Prompts, Φ and reward of an experiment on outputs.
 * @throws RangeError for an evaluation set that the target cannot read
 */
export function outputParts(
  config: Config,
  { generator, target }: Actors,
  { evaluation, ended, language }: Evaluation,
): Omit<OutputParts, 'observe' | 'configAt'> {
  const ids = evaluationIds(target.tokenizer, evaluation, { ended });
  const score = scoreOf(config.reward, target, ids, language);
  return {
    evaluation,
    languages: LANGUAGES,
    prompts: articlesToRephrase(generator, config),
    objective: likelihoodObjective(target.model, evaluationBatch(target.model, ids), { per: 'token' }),
    reward: score && ((inner) => scoredReward(inner, score)),
  };
}

/** What differs between the experiments on outputs. */
interface OutputSpace {
  /** Of the generator, the same for all methods. */
  readonly learningRate: number;
  /** Of sgd's fine-tuning: a learning rate that makes adamw's (first) steps where a gradient is small beside the root of eps_root. */
  readonly sgd: ConfigInput;
  /** Baselines that need no metagradient. */
  readonly rewards: readonly string[];
  /** The best of the other methods: it gets every seed, as adamw does; the rest get seed 0. */
  readonly best?: string;
  /** What the experiment's own settings are called where they are not the paper's: metagradients through adamw, credit for responses. */
  readonly own?: string;
  readonly ablations?: Readonly<Record<string, ConfigInput>>;
  /** What sgd and the other rewards have instead of the experiment's settings. */
  readonly instead?: ConfigInput;
}

/** The methods of a sweep (paper §4). */
export function outputMethods({
  learningRate,
  sgd,
  rewards,
  best,
  own = 'adamw',
  ablations,
  instead,
}: OutputSpace): SweepMethod[] {
  const others: Record<string, ConfigInput> = {
    ...ablations,
    [own === 'adamw' ? 'sgd' : `${own}-sgd`]: { innerOptimizer: 'sgd', ...sgd, ...instead },
    ...Object.fromEntries(rewards.map((reward) => [reward, { reward, ...instead }])),
  };
  const seeds = (name: string): Pick<SweepMethod, 'seeds'> => (name === best ? {} : { seeds: [0] });
  return [
    { name: own, config: {}, learningRates: [learningRate] },
    ...Object.entries(others).map(([name, config]) => ({ name, config, learningRates: own, ...seeds(name) })),
  ];
}
