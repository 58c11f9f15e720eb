/**
 * What the experiments on the weights of the LM head share: the character-level models of `data/`, prompts that are pieces of articles or,
 * for a generator that chats, requests to rephrase one, and the methods that the paper compares.
 */
import path from 'node:path';
import { isChat, rephrasePrompts as rephraseRequests } from '../text/chatTemplate';
import type { Split } from '../text/encyclopedia/fact';
import { drawPassages, readPassages } from '../text/passages';
import { articles, continuationExamples, type TextSource } from '../text/prompts';
import type { Tokenizer } from '../text/tokenizer';
import { DATA } from '../dpg/actor';
import { sharedKeys } from '../dpg/config';
import type { Actor, PromptSource } from '../dpg/experiment';
import { file, oneOf, text, type ConfigOf } from '../dpg/keys';
import type { SweepMethod } from './definition';

/** The small models. */
export const CHARACTER_MODELS = {
  generator: path.join(DATA, 'characters-generator'),
  target: path.join(DATA, 'characters-target'),
  evaluator: path.join(DATA, 'characters-evaluator'),
};

/** Short passages of English on 52 subjects, four each, written for this project. */
export const PASSAGES = path.join(DATA, 'passages.jsonl');

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
  promptsFile: file(/^$|\.(jsonl|txt)$/i, {
    default: '',
    description:
      'File of passages that prompts are made of, a line each: .txt, or .jsonl with the articles that they belong to; one article in ' +
      'five is held out. Empty: articles of the mini-encyclopedia',
    paper: 'Wikipedia articles',
  }),
  promptsField: text(/./, {
    default: 'text',
    description: 'Where a line of promptsFile is an object: the field that is the passage',
  }),
};

/** Their configuration. */
export type PromptedConfig = ConfigOf<typeof promptedKeys>;

/** Where the texts of a split come from. */
type Texts = (split: Split) => TextSource;

/**
 * The texts of prompts: articles of the mini-encyclopedia, which state different facts in the two splits, or passages of a file.
 * @throws Error as {@link readPassages}, or naming the line of a passage that the generator cannot read
 */
function textsOf({ tokenizer }: Actor, { promptsFile, promptsField }: PromptedConfig): Texts {
  if (promptsFile === '') return (split) => articles({ split });
  const passages = readPassages(promptsFile, promptsField);
  for (const { line, text } of passages)
    try {
      tokenizer.encode(text);
    } catch (error) {
      throw new Error(`${promptsFile}, line ${line}: ${(error as Error).message}`, { cause: error });
    }
  return (split) => drawPassages(passages, split);
}

/** Prompts are the first `promptLength` tokens of a piece of a text. */
const continuationPrompts =
  (tokenizer: Tokenizer, promptLength: number, texts: Texts): PromptSource =>
  (split, count, random) =>
    continuationExamples(tokenizer, count, random, { promptLength, draw: texts(split) }).map(({ prompt }) => prompt);

/** Requests to a model that chats: rephrase a text. */
const rephrasePrompts =
  (tokenizer: Tokenizer, promptLength: number, texts: Texts): PromptSource =>
  (split, count, random) =>
    rephraseRequests(tokenizer, count, random, { promptLength, draw: texts(split) });

/**
 * Prompts for a generator of any kind; training and held-out ones never share an article.
 * @throws Error if it is to chat and has no template; or for a file of passages that cannot be used
 */
export function articlePrompts(generator: Actor, config: PromptedConfig): PromptSource {
  const { promptStyle, promptLength } = config;
  const { tokenizer } = generator;
  const chats = isChat(tokenizer);
  if (promptStyle === 'chat' && !chats)
    throw new Error('promptStyle "chat" needs a generator with a chat template, and this one has none: take "continue"');
  const prompts = chats && promptStyle !== 'continue' ? rephrasePrompts : continuationPrompts;
  return prompts(tokenizer, promptLength, textsOf(generator, config));
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
