/** A whole experiment so small that a GRPO step takes milliseconds: random models, a 2 × 3 pattern, no worker threads. */
import * as tf from '@tensorflow/tfjs-core';
import { parseConfig } from '../../src/dpg/config';
import { actorOf, type Experiment } from '../../src/dpg/experiment';
import { patternKeys, type PatternConfig } from '../../src/experiments/pattern';
import { fusedModel } from '../../src/model/fused';
import { initializeGpt2 } from '../../src/model/families/gpt2';
import type { Gpt2Config } from '../../src/model/types';
import { patternObjective, readPattern } from '../../src/objective/pattern';
import { mapParams, type Params } from '../../src/tensor/params';
import { randomStream, type RandomStream } from '../../src/tensor/random';
import { characterTokenizer } from '../../src/text/tokenizer';

const tokenizer = characterTokenizer('etaoins'); // 7 characters and 4 special tokens

/** The tiny models' shape; `<eos>` is the last token. */
export const TINY: Gpt2Config = {
  vocab_size: tokenizer.vocabSize,
  n_positions: 12,
  n_embd: 8,
  n_layer: 1,
  n_head: 2,
  layer_norm_epsilon: 1e-5,
};
export const END = tokenizer.eosId!;

/** GPT-2's initialization with weights large enough that outputs depend on inputs. */
export const tinyParams = (seed: number, factor = 8): Params =>
  tf.tidy(() =>
    mapParams((name, x) => tf.mul(x, /ln_|bias/.test(name) ? 1 : factor), initializeGpt2(TINY, randomStream(seed, 'tiny'))),
  );

/** Prompts of random characters. */
export const tinyPrompts = (count: number, length: number, random: RandomStream): number[][] =>
  Array.from({ length: count }, () => Array.from({ length }, () => random.integer(7)));

const PATTERN = [
  [1, -1, 1],
  [-1, -1, 1],
];

/** The models and the objective; with the tape engine of tfjs on `cpu` and no threads everywhere else. */
export function tinyExperiment(input: Partial<PatternConfig> = {}): Experiment<PatternConfig> {
  const sizes = { steps: 4, prompts: 6, groupSize: 4, promptLength: 3, maxNewTokens: 5, minibatch: 8, heldOutExamples: 12 };
  const defaults = { ...sizes, strength: 500, innerEpsRoot: 1e-3, learningRate: 1e-2 };
  const config = parseConfig({ keys: patternKeys, defaults }, input);
  const model = fusedModel(TINY, { workers: 0 });
  const [generator, target] = [1, 2].map((seed) => actorOf(model, tinyParams(seed), tokenizer));
  const { strength } = config;
  return {
    name: 'tiny',
    config,
    generator,
    target,
    objective: patternObjective(PATTERN, target.params, { strength }),
    prompts: (_, count, random) => tinyPrompts(count, config.promptLength, random),
    observe: ({ tuned }) => {
      const { accuracy, change } = readPattern(PATTERN, target.params, tuned, { strength });
      return { metrics: { pixel_accuracy: accuracy }, image: change };
    },
  };
}

/** Numbers of every tensor of a tree, to compare trees bit by bit. */
export const valuesOf = (params: Params): Record<string, number[]> =>
  Object.fromEntries(Object.entries(params).map(([name, x]) => [name, Array.from(x.dataSync())]));
