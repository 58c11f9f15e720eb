/**
 * What the experiments on outputs share: the word-piece models of `data/`, prompts that are whole articles to rephrase, Φ on an evaluation set
 * that the generator never sees, and the paper's baselines that compare texts with it (paper §4, "language" and "UUID").
 */
import path from 'node:path';
import { evaluationBatch, evaluationIds, likelihoodObjective } from '../objective/likelihood';
import { embeddingScore } from '../reward/embedding';
import { languageScore } from '../reward/languageId';
import { levenshteinScore } from '../reward/levenshtein';
import { scoredReward, type Score } from '../reward/scored';
import { rephraseExamples } from '../text/prompts';
import { DATA } from '../dpg/actor';
import type { Config } from '../dpg/config';
import { loadModels } from '../dpg/models';
import type { Actor, Experiment, PromptSource } from '../dpg/experiment';
import type { ModelFolders } from '../dpg/models';

/** An experiment on outputs. */
export interface OutputExperiment extends Experiment {
  /** The evaluation set. */
  readonly evaluation: readonly string[];
}

/** What one experiment on outputs brings. */
export interface OutputTask extends Pick<Experiment, 'name' | 'purpose' | 'observe'> {
  readonly evaluation: readonly string[];
  /** Whether texts of the evaluation set end where they end: the target then learns to stop there. */
  readonly ended?: boolean;
}

/** Articles as {@link rephraseExamples} makes them; training and held-out articles state different facts, and no prompt names a language. */
const articlePrompts =
  ({ tokenizer }: Actor, { promptLength }: Config): PromptSource =>
  (split, count, random) =>
    rephraseExamples(tokenizer, count, random, { promptLength, split }).map(({ prompt }) => prompt);

/** The score that a configuration names, if it names one. */
function scoreOf({ reward, language }: Config, { tokenizer, params }: Actor, evaluation: readonly number[][]): Score | undefined {
  if (reward === 'levenshtein') return levenshteinScore(evaluation);
  if (reward === 'embedding') return embeddingScore(params, evaluation);
  if (reward === 'languageId') return languageScore(tokenizer, language);
  return undefined;
}

/**
 * An experiment on outputs.
 * @throws Error as {@link loadModels}, RangeError for an evaluation set that the target cannot read
 */
export async function outputExperiment(
  config: Config,
  { evaluation, ended, ...task }: OutputTask,
  { generator = path.join(DATA, 'rephrase-generator'), target = path.join(DATA, 'multilingual-target') }: ModelFolders = {},
): Promise<OutputExperiment> {
  const actors = await loadModels({ generator, target }, config);
  const { model, tokenizer } = actors.target;
  const ids = evaluationIds(tokenizer, evaluation, { ended });
  const objective = likelihoodObjective(model, evaluationBatch(model, ids), { per: 'token' });
  const score = scoreOf(config, actors.target, ids);
  return {
    ...task,
    config,
    ...actors,
    evaluation,
    objective,
    prompts: articlePrompts(actors.generator, config),
    reward: score && ((inner) => scoredReward(inner, score)),
  };
}
