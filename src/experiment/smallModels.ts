/**
 * The small checkpoints in `data/`: what they are, what they learn from, and how they are made. `npm run pretrain` makes them again.
 */
import { padExamples } from '../model/batch';
import { saveCheckpoint } from '../model/checkpoint';
import { gpt2, type EngineOptions } from '../model/engine';
import { initializeGpt2 } from '../model/gpt2';
import type { Gpt2Config, TokenBatch } from '../model/types';
import { countParams, disposeParams } from '../tensor/params';
import { randomStream, type RandomStream } from '../tensor/random';
import type { Split } from '../text/encyclopedia/fact';
import { continuationExamples, runningText } from '../text/prompts';
import { characterTokenizer, tokenizerFiles, type Tokenizer } from '../text/tokenizer';
import { toStored } from './actor';
import { meanLoss, pretrain } from './pretrain';

/** Recipe of one checkpoint. */
export interface SmallModel {
  /** Folder in `data/`. */
  readonly name: string;
  readonly seed: number;
  readonly shape: Omit<Gpt2Config, 'vocab_size' | 'layer_norm_epsilon'>;
  readonly tokenizer: () => Tokenizer;
  readonly examples: (tokenizer: Tokenizer, count: number, random: RandomStream, split: Split) => number[][];
  readonly sequenceLength: number;
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

/** All checkpoints of `data/`. */
export const SMALL_MODELS: readonly SmallModel[] = [
  { ...CHARACTERS, name: 'characters-generator', seed: 1, shape: SHAPE, learningRate: 3e-3 },
  { ...CHARACTERS, name: 'characters-target', seed: 2, shape: SHAPE, learningRate: 3e-3 },
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

/** Trains one checkpoint and writes its Hugging Face folder. */
export async function makeSmallModel(
  recipe: SmallModel,
  folder: string,
  options: EngineOptions,
  onStep?: (step: number, loss: number) => void,
): Promise<PretrainingReport> {
  const started = performance.now();
  const { name, seed, shape, sequenceLength, batchSize, steps, learningRate } = recipe;
  const tokenizer = recipe.tokenizer();
  const model = gpt2({ vocab_size: tokenizer.vocabSize, layer_norm_epsilon: 1e-5, ...shape }, options);
  const batch = (random: RandomStream, split: Split): TokenBatch =>
    padExamples(recipe.examples(tokenizer, batchSize, random, split), sequenceLength, tokenizer.vocabSize);
  const training = randomStream(seed, 'pretraining');
  const initial = initializeGpt2(model.config, randomStream(seed, 'initialization'));
  const params = await pretrain({
    model,
    params: initial,
    nextBatch: () => batch(training, 'train'),
    steps,
    learningRate,
    onStep,
  });
  const heldOut = randomStream(seed, 'validation');
  const validationLoss = await meanLoss(
    model,
    params,
    Array.from({ length: 8 }, () => batch(heldOut, 'heldOut')),
  );
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
