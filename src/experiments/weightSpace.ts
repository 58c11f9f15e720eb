/**
 * What the experiments on the weights of the LM head share: the character-level models of `data/`, and prompts that are pieces of articles
 * or, for a generator that chats, requests to rephrase one.
 */
import path from 'node:path';
import { isChat, rephrasePrompts as rephraseRequests } from '../text/chatTemplate';
import { articles, continuationExamples } from '../text/prompts';
import { DATA } from '../dpg/actor';
import type { Config } from '../dpg/config';
import { loadModels, type ModelFolders } from '../dpg/models';
import type { Actor, Experiment, PromptSource } from '../dpg/experiment';
import { requireWeightReward } from '../dpg/inner';

/** Prompts are the first `promptLength` tokens of a piece of an English article; training and held-out articles state different facts. */
export const continuationPrompts =
  ({ tokenizer }: Actor, { promptLength }: Config): PromptSource =>
  (split, count, random) =>
    continuationExamples(tokenizer, count, random, { promptLength, split }).map(({ prompt }) => prompt);

/** Requests to a model that chats: rephrase an English article; training and held-out articles state different facts. */
export const rephrasePrompts =
  ({ tokenizer }: Actor, { promptLength }: Config): PromptSource =>
  (split, count, random) =>
    rephraseRequests(tokenizer, count, random, { promptLength, draw: articles({ split }) });

/** Generator, target and prompts of a weight-space experiment. @throws Error as {@link loadModels}, RangeError for a reward on texts */
export async function weightSpaceActors(
  config: Config,
  { generator = path.join(DATA, 'characters-generator'), target = path.join(DATA, 'characters-target') }: ModelFolders = {},
): Promise<Pick<Experiment, 'config' | 'generator' | 'target' | 'prompts'>> {
  requireWeightReward(config);
  const actors = await loadModels({ generator, target }, config);
  const prompts = isChat(actors.generator.tokenizer) ? rephrasePrompts : continuationPrompts;
  return { config, ...actors, prompts: prompts(actors.generator, config) };
}
