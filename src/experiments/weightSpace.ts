/**
 * What the experiments on the weights of the LM head share: the character-level models of `data/`, prompts that are pieces of articles or,
 * for a generator that chats, requests to rephrase one, and the methods that the paper compares.
 */
import path from 'node:path';
import { isChat, rephrasePrompts as rephraseRequests } from '../text/chatTemplate';
import { articles, continuationExamples } from '../text/prompts';
import { DATA } from '../dpg/actor';
import { sharedKeys } from '../dpg/config';
import type { Actor, PromptSource } from '../dpg/experiment';
import { oneOf, type ConfigOf } from '../dpg/keys';
import type { SweepMethod } from './definition';

/** The small models. */
export const CHARACTER_MODELS = {
  generator: path.join(DATA, 'characters-generator'),
  target: path.join(DATA, 'characters-target'),
  evaluator: path.join(DATA, 'characters-evaluator'),
};

/** The shared keys, and what is asked of the generator. */
export const promptedKeys = {
  ...sharedKeys,
  promptStyle: oneOf(['auto', 'chat', 'continue'], {
    default: 'auto',
    description:
      'What a prompt is: a request to rephrase an article, in the model’s own chat template; or the beginning of one, to be ' +
      'continued. auto: a request where the model has a chat template (some base models have one, too)',
    paper: 'chat',
  }),
};

/** Their configuration. */
export type PromptedConfig = ConfigOf<typeof promptedKeys>;

/** Prompts are the first `promptLength` tokens of a piece of an English article; training and held-out articles state different facts. */
const continuationPrompts =
  ({ tokenizer }: Actor, { promptLength }: PromptedConfig): PromptSource =>
  (split, count, random) =>
    continuationExamples(tokenizer, count, random, { promptLength, split }).map(({ prompt }) => prompt);

/** Requests to a model that chats: rephrase an English article; training and held-out articles state different facts. */
const rephrasePrompts =
  ({ tokenizer }: Actor, { promptLength }: PromptedConfig): PromptSource =>
  (split, count, random) =>
    rephraseRequests(tokenizer, count, random, { promptLength, draw: articles({ split }) });

/** Prompts for a generator of any kind. @throws Error if it is to chat and has no template */
export function articlePrompts(generator: Actor, config: PromptedConfig): PromptSource {
  const { promptStyle } = config;
  const chats = isChat(generator.tokenizer);
  if (promptStyle === 'chat' && !chats)
    throw new Error('promptStyle "chat" needs a generator with a chat template, and this one has none: take "continue"');
  return (chats && promptStyle !== 'continue' ? rephrasePrompts : continuationPrompts)(generator, config);
}

/** Examples of one step of the fine-tuning in the sweep of batch sizes. */
const BATCH = 128;

/** What differs between the experiments on the weights of the LM head. */
interface WeightSpace {
  /** Learning rate of adamw's fine-tuning. */
  readonly adamw: number;
  /** Of sgd's: moves the LM head as far, in the mean of |W − W₀|, as adamw does, on the initial generator's text. */
  readonly sgd: number;
  readonly learningRates: readonly number[];
  /** In the sweep of batch sizes; by default the same. */
  readonly batchRates?: SweepMethod['learningRates'];
}

/** The methods of a sweep (paper §4). */
export function weightSpaceMethods({ adamw, sgd, learningRates, batchRates = learningRates }: WeightSpace): SweepMethod[] {
  // T grows with the batch, as in the paper; the fine-tuning's learning rate falls with it, so that weights move as far and Φ stays
  // comparable
  const batch = (innerSteps: number): SweepMethod => ({
    name: `batch-${innerSteps * BATCH}`,
    config: { prompts: (innerSteps * BATCH) / 8, innerSteps, innerLearningRate: adamw / innerSteps },
    learningRates: batchRates,
  });
  return [
    { name: 'adamw', config: {}, learningRates },
    { name: 'sgd', config: { innerOptimizer: 'sgd', innerLearningRate: sgd }, learningRates },
    { name: 'naive', config: { reward: 'naive' }, learningRates: [6e-5, ...learningRates] },
    { name: 'cross-group-off', config: { crossGroupBatching: false }, learningRates },
    { name: 'token-credit', config: { credit: 'token' }, learningRates },
    ...[1, 2, 8].map(batch),
  ];
}
