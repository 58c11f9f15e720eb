/**
 * The sizes `gpt2` (pretrained GPT-2, one GPU or a patient CPU), `smollm2` (a small model that chats; never tuned, no run of it has been
 * finished) and `paper` (paper §4 and the authors' configuration files), every number beside the paper's. `tiny`, each experiment's own
 * defaults on the models of data/, is no preset but what there is without one.
 *
 * Conventions differ in one thing: the authors sum the mean gradients of A microbatches, ours is the mean over the whole batch, A times
 * smaller. The same update needs eps / A, epsRoot / A² and, for sgd, learning rate · A.
 */
import type { Config, ConfigInput } from '../dpg/config';
import type { Preset } from './definition';
import { PASSAGES, type PromptedConfig } from './weightSpace';

export const GPT2 = 'openai-community/gpt2';
export const LLAMA = 'meta-llama/Llama-3.2-1B-Instruct';
export const SMOLLM2 = 'HuggingFaceTB/SmolLM2-135M-Instruct';

type Optimizer = Config['innerOptimizer'];

/** The paper's optimizers of the target, converted. @param microbatches - A, gradient accumulation steps of the authors */
const inner = (optimizer: Optimizer, microbatches: number, rates: { adamw: number; sgd: number }): ConfigInput => ({
  innerOptimizer: optimizer, // paper: adamw, with sgd as ablation
  innerLearningRate: optimizer === 'sgd' ? rates.sgd * microbatches : rates.adamw,
  innerB1: 0.9, // paper: 0.9
  innerB2: 0.95, // paper: 0.95
  innerEps: 1e-8 / microbatches, // paper: 1e-8 of the summed gradient
  innerEpsRoot: 1e-9 / microbatches ** 2, // paper: 1e-9 of the summed gradient
  innerWeightDecay: 1e-4, // paper: 1e-4
});

/** What all of the paper's experiments share. */
const PAPER: ConfigInput = {
  prompts: 256, // paper: 256 (67 and norm also 2,048 and 24,576, at equal numbers of examples)
  groupSize: 4, // paper: 4; 256 prompts × 4 rollouts = 1,024 examples = 1 step of the target
  innerSteps: 1, // paper: 1 (8 with 2,048 prompts, 96 with 24,576)
  promptLength: 320, // paper: up to 1,024, Wikipedia articles; ours are shorter
  maxNewTokens: 128, // paper: 128
  temperature: 1, // paper: 1
  supportMinP: 0, // paper: all tokens may be written
  reward: 'metagradient', // paper: metagradient
  credit: 'example', // paper: example
  crossGroupBatching: true, // paper: true
  advantageScale: 'group', // paper: group
  advantageClip: 1e6, // paper: none
  epochs: 1, // paper: 1
  minibatch: 128, // paper: 32 prompts × 4 rollouts
  clip: 0.2, // paper: 0.2
  klCoef: 0, // paper: 0
  entropyCoef: 0, // paper: 0
  entropyCoefEnd: 0, // paper: 0
  maxGradientNorm: 1, // paper: 1
  stopAfterDone: 0, // paper: runs to the end
  heldOutExamples: 1024, // paper: 98,304 in 96 steps of the target; ours takes as many steps as in training
};

/** Both ends of a learning rate that stays as it is: the paper's are constant. */
const constant = (config: ConfigInput): ConfigInput => ({
  ...config,
  learningRateEnd: config.learningRate,
  innerLearningRateEnd: config.innerLearningRate,
});

/** The experiments on the weights of the head: GPT-2 as target, A = 8 microbatches of 128. */
const weights = (optimizer: Optimizer): ConfigInput =>
  constant({
    ...PAPER,
    ...inner(optimizer, 8, { adamw: 5e-6, sgd: 5.12e-4 }), // paper: 5e-6, 5.12e-4
    learningRate: 5e-6, // paper: 5e-6
  });

/** The experiments on outputs: Llama as generator and target, A = 128 microbatches of 8. */
const outputs = (optimizer: Optimizer): ConfigInput =>
  constant({
    ...PAPER,
    ...inner(optimizer, 128, { adamw: 1e-6, sgd: 6.4e-5 }), // paper: 1e-6, 6.4e-5
    learningRate: 1e-6, // the authors' files: 1e-6; paper: 5e-6
  });

/** With GPT-2 on both sides, shorter texts and a quarter of the examples. Not tuned: see the README. */
const QUARTER: ConfigInput = {
  prompts: 64, // paper: 256; 64 × 4 = 256 examples = 1 step
  innerSteps: 1, // paper: 1 with 256 prompts
  promptLength: 64, // paper: up to 1,024
  maxNewTokens: 64, // paper: 128
  minibatch: 64, // paper: 128
  steps: 400, // paper: 120 to 3,840
  heldOutExamples: 256, // paper: 98,304
};

type Presets<C extends Config> = Readonly<Record<'gpt2' | 'paper', (optimizer: Optimizer) => Preset<C>>>;

/** What an experiment's own keys are in the two sizes. */
interface Own<C extends Config> {
  readonly paper: Partial<C>;
  readonly gpt2?: Partial<C>;
}

const presets = <C extends Config>(
  settings: (optimizer: Optimizer) => ConfigInput,
  target: string,
  { paper, gpt2 }: Own<C>,
): Presets<C> => ({
  paper: (optimizer) => ({ input: { ...settings(optimizer), ...paper }, models: { generator: LLAMA, target } }),
  gpt2: (optimizer) => ({
    input: { ...settings(optimizer), ...paper, ...QUARTER, ...gpt2 },
    models: { generator: GPT2, target: GPT2 },
  }),
});

/** Presets of an experiment on the weights of the LM head. */
export const weightPresets = <C extends Config>(own: Own<C>): Presets<C> => presets<C>(weights, GPT2, own);

/**
 * SmolLM2 on both sides, rephrasing passages of real English: as small as a step can be on a CPU. Not tuned: see the README.
 * @param own - what an experiment's own keys are
 */
export const smollm2 =
  <C extends PromptedConfig>(own: Partial<C>) =>
  (optimizer: Optimizer): Preset<C> => ({
    input: {
      ...weights(optimizer),
      prompts: 8, // paper: 256; 8 × 4 = 32 examples = 1 step
      groupSize: 4, // paper: 4
      promptLength: 128, // the template's tokens, the request and one or two passages
      maxNewTokens: 48, // paper: 128
      promptsFile: PASSAGES,
      minibatch: 8, // paper: 128
      klCoef: 0.05, // paper: 0; ours keeps the text English
      steps: 200, // paper: 3,840
      heldOutExamples: 64, // paper: 98,304
      ...own,
    } as Partial<C>,
    models: { generator: SMOLLM2, target: SMOLLM2 },
  });

/** Presets of an experiment on outputs. */
export const outputPresets = <C extends Config>(own: Own<C>): Presets<C> => presets<C>(outputs, LLAMA, own);
