/**
 * What the experiments on the weights of the LM head share: the character-level models of `data/`, and prompts that are pieces of articles.
 */
import path from 'node:path';
import { startBackend } from '../tensor/backend';
import { continuationExamples } from '../text/prompts';
import { DATA, loadActor } from './actor';
import type { Config } from './config';
import type { Actor, Experiment, PromptSource } from './train';

/** Folders of the two models, by default those of `data/`. */
export interface ModelFolders {
  readonly generator?: string;
  readonly target?: string;
}

/** Prompts are the first `promptLength` tokens of a piece of an English article; training and held-out articles state different facts. */
export const continuationPrompts =
  ({ tokenizer }: Actor, { promptLength }: Config): PromptSource =>
  (split, count, random) =>
    continuationExamples(tokenizer, count, random, { promptLength, split }).map(({ prompt }) => prompt);

/** Generator, target and prompts of a weight-space experiment. @throws Error naming the folder of a model that cannot be loaded */
export async function weightSpaceActors(
  config: Config,
  { generator = path.join(DATA, 'characters-generator'), target = path.join(DATA, 'characters-target') }: ModelFolders = {},
): Promise<Pick<Experiment, 'config' | 'generator' | 'target' | 'prompts'>> {
  await startBackend();
  const actors = { generator: loadActor(generator, config), target: loadActor(target, config) };
  return { config, ...actors, prompts: continuationPrompts(actors.generator, config) };
}
