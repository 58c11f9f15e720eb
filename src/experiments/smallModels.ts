/**
 * The small checkpoints in `data/`: what they are, what they learn from, and how they are made. `npm run pretrain` makes them again.
 */
import { padExamples } from '../model/batch';
import { saveCheckpoint } from '../model/hub/checkpoint';
import { gpt2, type EngineOptions } from '../model/engine';
import { initializeGpt2 } from '../model/families/gpt2';
import type { Gpt2Config, TokenBatch } from '../model/types';
import { countParams, disposeParams } from '../tensor/params';
import { randomStream, type RandomStream } from '../tensor/random';
import { lambada } from '../text/encyclopedia/article';
import { LANGUAGES, type Split } from '../text/encyclopedia/fact';
import { continuationExamples, plainExamples, rephraseExamples, runningText } from '../text/prompts';
import { characterTokenizer, tokenizerFiles, type Tokenizer } from '../text/tokenizer';
import { wordPieceTokenizer } from '../text/wordPieces';
import { toStored } from '../dpg/actor';
import { meanLoss, pretrain } from './pretrain';

/** Recipe of one checkpoint. */
export interface SmallModel {
  /** Folder in `data/`. */
  readonly name: string;
  readonly seed: number;
  readonly shape: Omit<Gpt2Config, 'vocab_size' | 'layer_norm_epsilon'>;
  readonly tokenizer: () => Tokenizer;
  /** Token ids of training or held-out examples; `progress` goes from 0 to 1 over the training. */
  readonly examples: (tokenizer: Tokenizer, count: number, random: RandomStream, split: Split, progress: number) => number[][];
  readonly sequenceLength: number;
  /** Leading tokens of every example that are a prompt: read, but not learnt to be written. */
  readonly promptLength?: number;
  readonly batchSize: number;
  readonly steps: number;
  readonly learningRate: number;
}

/** English articles, one character a token, the most frequent character first; the same for both models. */
const englishCharacters = (): Tokenizer => characterTokenizer(runningText(randomStream(1, 'characters'), 20_000));

const CHARACTERS = {
  tokenizer: englishCharacters,
  examples: (tokenizer: Tokenizer, count: number, random: RandomStream, split: Split): number[][] =>
    continuationExamples(tokenizer, count, random, { promptLength: 64, split }).map(({ prompt }) => prompt),
  sequenceLength: 63,
  batchSize: 64,
  steps: 1500,
};

const SHAPE = { n_positions: 64, n_embd: 64, n_layer: 1, n_head: 4 };

/**
 * Articles and passages in all five languages, one article in twenty with a catalogue UUID, in 896 word pieces; the same for both models.
 */
function multilingualPieces(): Tokenizer {
  const random = randomStream(1, 'word pieces');
  const corpus = LANGUAGES.flatMap((language) => [
    runningText(random, 4000, language, { identifierRate: 0.05 }),
    ...lambada(language, 1000, random, 'train').map(({ text }) => text),
  ]);
  return wordPieceTokenizer(corpus.join(' '), 896);
}

/** Tokens of an English article of two sentences with `<bos>` and `<sep>`, of a rephrasing in any language, and of a whole sequence. */
const [ARTICLE, REPHRASING, SEQUENCE] = [40, 48, 88];

const WORD_PIECES = {
  tokenizer: multilingualPieces,
  shape: { n_positions: SEQUENCE, n_embd: 64, n_layer: 2, n_head: 4 },
  sequenceLength: SEQUENCE - 1,
  batchSize: 64,
  learningRate: 4e-3,
};
/**
 * Share of the texts that are not in English: first all five languages alike, so that they are learnt; then `share`, so that English
 * prevails.
 */
const foreignShare = (progress: number, until: number, share: number): number => (progress < until ? 0.8 : share);

/** All checkpoints of `data/`. */
export const SMALL_MODELS: readonly SmallModel[] = [
  { ...CHARACTERS, name: 'characters-generator', seed: 1, shape: SHAPE, learningRate: 3e-3 },
  { ...CHARACTERS, name: 'characters-target', seed: 2, shape: SHAPE, learningRate: 3e-3 },
  {
    // the same text as the others', read and written in other tokens than a characters-target's
    ...CHARACTERS,
    name: 'pieces-generator',
    seed: 5,
    shape: SHAPE,
    learningRate: 3e-3,
    tokenizer: () => wordPieceTokenizer(runningText(randomStream(1, 'characters'), 20_000), 150),
  },
  // it takes no part in a run but says how likely its texts are; deeper than the others, so that it does not share their mistakes
  { ...CHARACTERS, name: 'characters-evaluator', seed: 6, shape: { ...SHAPE, n_layer: 2 }, steps: 1000, learningRate: 3e-3 },
  {
    ...WORD_PIECES,
    name: 'rephrase-generator',
    seed: 3,
    promptLength: ARTICLE,
    examples: (tokenizer, count, random, split, progress) =>
      rephraseExamples(tokenizer, count, random, {
        promptLength: ARTICLE,
        split,
        foreignShare: foreignShare(progress, 0.6, 0.1),
        identifierRate: 0.03,
      }).map(({ prompt, response }) => [...prompt, ...response.slice(0, REPHRASING)]),
    steps: 4000,
  },
  {
    // it half forgets the other languages: a target that knows them well gains nothing from a text in one of them (at 0.02, Φ rises by 0.01
    // at most)
    ...WORD_PIECES,
    name: 'multilingual-target',
    seed: 4,
    examples: (tokenizer, count, random, split, progress) =>
      plainExamples(tokenizer, count, random, {
        split,
        foreignShare: foreignShare(progress, 0.4, 0.002),
        identifierRate: 0.1,
      }).map((text) => text.slice(0, SEQUENCE)),
    steps: 900,
  },
];

/** What making a checkpoint showed. */
export interface PretrainingReport {
  readonly name: string;
  readonly seed: number;
  readonly parameters: number;
  readonly steps: number;
  /** Mean loss per token on held-out articles, nats. */
  readonly validationLoss: number;
  readonly seconds: number;
}

/** A batch of a recipe's examples; the mask is 0 on the predictions of prompt tokens. */
function batchOf(
  { examples, batchSize, sequenceLength, promptLength = 0 }: SmallModel,
  tokenizer: Tokenizer,
  random: RandomStream,
  split: Split,
  progress: number,
): TokenBatch {
  const ids = examples(tokenizer, batchSize, random, split, progress);
  const batch = padExamples(ids, sequenceLength, tokenizer.vocabSize);
  return { ...batch, mask: batch.mask.map((m, cell) => (cell % sequenceLength < promptLength - 1 ? 0 : m)) };
}

/** Trains one checkpoint and writes its Hugging Face folder. */
export async function makeSmallModel(
  recipe: SmallModel,
  folder: string,
  options: EngineOptions,
  onStep?: (step: number, loss: number) => void,
): Promise<PretrainingReport> {
  const started = performance.now();
  const { name, seed, shape, steps, learningRate } = recipe;
  const tokenizer = recipe.tokenizer();
  const model = gpt2({ vocab_size: tokenizer.vocabSize, layer_norm_epsilon: 1e-5, ...shape }, options);
  const training = randomStream(seed, 'pretraining');
  const nextBatch = (step: number): TokenBatch => batchOf(recipe, tokenizer, training, 'train', step / steps);
  const initial = initializeGpt2(model.config, randomStream(seed, 'initialization'));
  const params = await pretrain({ model, params: initial, nextBatch, steps, learningRate, onStep });
  const random = randomStream(seed, 'validation');
  const heldOut = Array.from({ length: 8 }, () => batchOf(recipe, tokenizer, random, 'heldOut', 1));
  const validationLoss = await meanLoss(model, params, heldOut);
  await saveCheckpoint(folder, { config: model.config, params: toStored(params) }, { files: tokenizerFiles(tokenizer) });
  const report = {
    name,
    seed,
    parameters: countParams(params),
    steps,
    validationLoss,
    seconds: (performance.now() - started) / 1000,
  };
  disposeParams(initial, params);
  model.dispose();
  return report;
}
