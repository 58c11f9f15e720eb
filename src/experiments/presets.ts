/**
 * Sizes of a run: `tiny` (each experiment's own defaults on the models of data/), `gpt2` (pretrained GPT-2, one GPU or a patient CPU) and
 * `paper` (paper §4 and the authors' configuration files), every number beside the paper's.
 *
 * Conventions differ in one thing: the authors sum the mean gradients of A microbatches, ours is the mean over the whole batch, A times
 * smaller. The same update needs eps / A, epsRoot / A² and, for sgd, learning rate · A.
 */
import type { Config, ConfigInput } from '../dpg/config';
import type { ModelFolders } from '../dpg/models';

export const PRESETS = ['tiny', 'gpt2', 'paper'] as const;
export type PresetName = (typeof PRESETS)[number];

/** Configuration keys of a preset, to be overridden by a user's own, and the models it is made for. */
export interface Preset {
  readonly input: ConfigInput;
  readonly models: ModelFolders;
}

const GPT2 = 'openai-community/gpt2';
const LLAMA = 'meta-llama/Llama-3.2-1B-Instruct';

/** The paper's optimizers of the target, converted. @param microbatches - A, gradient accumulation steps of the authors */
const inner = (
  optimizer: Config['innerOptimizer'],
  microbatches: number,
  rates: { adamw: number; sgd: number },
): ConfigInput => ({
  innerOptimizer: optimizer, // paper: adamw, with sgd as ablation
  innerLearningRate: optimizer === 'sgd' ? rates.sgd * microbatches : rates.adamw,
  b1: 0.9, // paper: 0.9
  b2: 0.95, // paper: 0.95
  eps: 1e-8 / microbatches, // paper: 1e-8 of the summed gradient
  epsRoot: 1e-9 / microbatches ** 2, // paper: 1e-9 of the summed gradient
  weightDecay: 1e-4, // paper: 1e-4
});

/** What all of the paper's experiments share. */
const PAPER: ConfigInput = {
  prompts: 256, // paper: 256 (67 and norm also 2,048 and 24,576, at equal numbers of examples)
  rollouts: 4, // paper: 4; 256 prompts × 4 rollouts = 1,024 examples = 1 step of the target
  innerSteps: 1, // paper: 1 (8 with 2,048 prompts, 96 with 24,576)
  promptLength: 320, // paper: up to 1,024, Wikipedia articles; ours are shorter
  maxNewTokens: 128, // paper: 128
  temperature: 1, // paper: 1
  reward: 'metagradient', // paper: metagradient
  credit: 'example', // paper: example
  crossGroupBatching: true, // paper: true
  advantageScale: 'group', // paper: group
  advantageClip: 1e6, // paper: none
  finalLearningRate: 1, // paper: constant
  epochs: 1, // paper: 1
  minibatch: 128, // paper: 32 prompts × 4 rollouts
  clip: 0.2, // paper: 0.2
  klCoef: 0, // paper: 0
  entropyCoef: 0, // paper: 0
  maxGradientNorm: 1, // paper: 1
  stopAfterDone: 0, // paper: runs to the end
  heldOutExamples: 1024, // paper: 98,304 in 96 steps of the target; ours takes as many steps as in training
};

/** The experiments on the weights of the head: GPT-2 as target, A = 8 microbatches of 128. */
const paperWeights = (optimizer: Config['innerOptimizer']): ConfigInput => ({
  ...PAPER,
  ...inner(optimizer, 8, { adamw: 5e-6, sgd: 5.12e-4 }), // paper: 5e-6, 5.12e-4
  learningRate: 5e-6, // paper: 5e-6
  strength: 20, // paper: 20
});

/** The experiments on outputs: Llama as generator and target, A = 128 microbatches of 8. */
const paperOutputs = (optimizer: Config['innerOptimizer']): ConfigInput => ({
  ...PAPER,
  ...inner(optimizer, 128, { adamw: 1e-6, sgd: 6.4e-5 }), // paper: 1e-6, 6.4e-5
  learningRate: 1e-6, // the authors' files: 1e-6; paper: 5e-6
});

type Settings = (optimizer: Config['innerOptimizer']) => ConfigInput;

const PAPER_EXPERIMENTS: Readonly<Record<string, Settings>> = {
  'sixty-seven': (optimizer) => ({ ...paperWeights(optimizer), steps: 3840 }), // paper: 3,840 / 480 / 40
  'l2-norm': (optimizer) => ({ ...paperWeights(optimizer), steps: 960 }), // paper: a quarter of those
  'qr-code': (optimizer) => ({
    ...paperWeights(optimizer),
    prompts: 24_576, // paper: 24,576; × 4 = 98,304 examples = 96 steps of 1,024
    innerSteps: 96, // paper: 96
    steps: 240, // paper: 240
    heldOutExamples: 98_304, // paper: 98,304
  }),
  rephrase: (optimizer) => ({ ...paperOutputs(optimizer), steps: 120 }), // the authors' files: three passes over the prompts
  uuid: (optimizer) => ({ ...paperOutputs(optimizer), steps: 360 }), // paper: 360
};

/** The paper's settings with GPT-2 on both sides, shorter texts and a quarter of the examples. Not tuned: see the README. */
const gpt2 = (experiment: string, optimizer: Config['innerOptimizer']): ConfigInput => ({
  ...PAPER_EXPERIMENTS[experiment](optimizer),
  prompts: 64, // paper: 256; 64 × 4 = 256 examples = 1 step
  innerSteps: 1, // paper: 1 with 256 prompts
  promptLength: 64, // paper: up to 1,024
  maxNewTokens: 64, // paper: 128
  minibatch: 64, // paper: 128
  steps: 400, // paper: 120 to 3,840
  strength: 1e6, // paper: 20; strength · learning rate · innerSteps = 5, so that pixels which are right stop pulling
  heldOutExamples: 256, // paper: 98,304
});

/**
 * A preset for one experiment.
 * @param optimizer - of the target: the learning rate depends on it
 * @throws RangeError naming the presets, or an experiment without these settings
 */
export function preset(name: string, experiment: string, optimizer: Config['innerOptimizer'] = 'adamw'): Preset {
  if (!(PRESETS as readonly string[]).includes(name))
    throw new RangeError(`there are the presets ${PRESETS.join(', ')} (got ${JSON.stringify(name)})`);
  if (name === 'tiny') return { input: {}, models: {} };
  const settings = PAPER_EXPERIMENTS[experiment];
  if (!settings) throw new RangeError(`the experiment "${experiment}" has no preset "${name}"; "tiny" is its own settings`);
  if (name === 'gpt2') return { input: gpt2(experiment, optimizer), models: { generator: GPT2, target: GPT2 } };
  const target = experiment === 'rephrase' || experiment === 'uuid' ? LLAMA : GPT2;
  return { input: settings(optimizer), models: { generator: LLAMA, target } };
}
