/**
 * What a run costs: operations, from the shapes of its models; time, from what the engines that will run do of them on this machine.
 */
import * as tf from '@tensorflow/tfjs-core';
import { languageModel } from '../model/engine';
import { familyOf, parameterCount, parameterShapes, type ModelConfig } from '../model/families';
import { disposeState, type Optimizer } from '../learn/optimizer';
import type { LanguageModel, TokenBatch } from '../model/types';
import { disposeParams, type Params } from '../tensor/params';
import type { Config } from './config';
import { innerOptimizer } from './inner';
import { workersOf, type ModelPair } from './memory';
import { policyOptimizer } from './policyOptimizer';
import { atStep } from './schedule';

type Part = keyof ModelPair;

/** What a GRPO step costs. */
export interface Cost {
  /** Tokens that the generator reads or writes, and that the target learns from. */
  readonly tokens: Readonly<Record<Part, number>>;
  /** Floating-point operations. */
  readonly flop: Readonly<Record<Part, number>>;
}

/** Parameters that multiply every token: all but the embeddings, which are only looked up. */
function multiplied(config: ModelConfig): number {
  const shapes = parameterShapes(config);
  const lookedUp = familyOf(config).names.embeddings.reduce((sum, name) => sum + shapes[name].reduce((a, b) => a * b), 0);
  return parameterCount(config) - lookedUp;
}

/**
 * Cost of a step in units of 2 operations per token and parameter (one forward pass): sampling 1, and 1 more where the
 * untrained generator says what may be written; the generator's update 3, and 1 more for
 * the KL term; the target's fine-tuning 3, once more where segments are recomputed; the metagradient's pass on dual numbers 6, but only its
 * forward half, 2, for the first step. Attention over long texts is left out.
 */
export function stepCost({ generator, target }: ModelPair, config: Config): Cost {
  const { prompts, groupSize, promptLength, maxNewTokens, supportMinP, epochs, klCoef, innerSteps, reward } = config;
  const examples = prompts * groupSize;
  const tokens = { generator: examples * (promptLength + maxNewTokens), target: examples * (maxNewTokens - 1) };
  const ofGenerator = 1 + (supportMinP > 0 ? 1 : 0) + epochs * (3 + (klCoef > 0 ? 1 : 0));
  const backwards = (6 * (innerSteps - 1) + 2) / innerSteps;
  const ofTarget = 3 + (reward === 'metagradient' ? (innerSteps > 1 ? 3 : 0) + backwards : 0);
  const flop = {
    generator: 2 * tokens.generator * multiplied(generator) * ofGenerator,
    target: 2 * tokens.target * multiplied(target) * ofTarget,
  };
  return { tokens, flop };
}

/** Updates of a step: of the generator, and the target's fine-tuning. */
export const stepUpdates = ({ prompts, groupSize, minibatch, epochs, innerSteps }: Config): Readonly<Record<Part, number>> => ({
  generator: epochs * Math.ceil((prompts * groupSize) / minibatch),
  target: innerSteps,
});

/** What an engine does on this machine. */
export interface Speed {
  readonly engine: string;
  /** Floating-point operations per second, as {@link stepCost} counts them. */
  readonly flops: number;
  /** Seconds that the optimizer takes for a parameter: an update, of the target's also its reverse. */
  readonly update: number;
}

/** Tokens of a measured text. */
const LENGTH = 16;
/** Work that a measurement begins with, and seconds that it ends after: less would measure how long it takes to begin. */
const [FIRST, ENOUGH] = [5e8, 0.3];

/** One in n_layer of a model: a layer, and as much of the vocabulary. */
const slice = (config: ModelConfig): ModelConfig => ({
  ...config,
  n_layer: 1,
  vocab_size: Math.ceil(config.vocab_size / config.n_layer),
});

/** What a model does in a step, once, and its cost in units of {@link stepCost}. */
const WORK: Record<Part, { units: number; run: (model: LanguageModel, params: Params, batch: TokenBatch) => Promise<Params> }> = {
  generator: {
    units: 1 + 3,
    async run(model, params, { ids, mask, size, length }) {
      const half = length / 2;
      const prompts = { ids: ids.subarray(0, size * half), size, length: half };
      const uniforms = new Float32Array(size * half).fill(0.5);
      await model.sample(params, prompts, { maxNewTokens: half, temperature: 1, uniforms });
      const zeros = new Float32Array(size * length);
      const terms = { advantages: mask, oldLogProbs: zeros, clip: 0.2, klCoef: 0, entropyCoef: 0, temperature: 1 };
      return (await model.policyGradient(params, { ids, mask, size, length }, terms)).gradient;
    },
  },
  target: {
    units: 3 + 6,
    async run(model, params, batch) {
      const { gradient } = await model.gradient(params, batch);
      const { product } = await model.hessianVectorProduct(params, batch, gradient);
      disposeParams(gradient);
      return product!;
    },
  },
};

/** The optimizer of each part; only the target's is differentiated. */
const OPTIMIZERS: Record<Part, (config: Config) => Optimizer> = {
  generator: (config) => policyOptimizer(config, 0),
  target: (config) => atStep(innerOptimizer(config), 0, config.steps),
};

/** Seconds that an optimizer takes for a parameter, on the backend. */
function updateSeconds(part: Part, config: Config, params: Params): number {
  const optimizer = OPTIMIZERS[part](config);
  const count = Object.values(params).reduce((sum, { size }) => sum + size, 0);
  const started = performance.now();
  const before = optimizer.init(params);
  tf.tidy(() => {
    const after = optimizer.update(before, params);
    if (part === 'target') optimizer.adjoint(before, after, params, after);
  });
  disposeState(before);
  return (performance.now() - started) / 1000 / count;
}

/** Measures what an engine makes of a slice of a model, with more and more texts at once until it takes long enough. */
async function speedOf(part: Part, config: ModelConfig, options: Config): Promise<Speed> {
  const sliced = slice(config);
  const model = languageModel(sliced, options);
  const params = Object.fromEntries(Object.entries(parameterShapes(sliced)).map(([name, shape]) => [name, tf.fill(shape, 0.01)]));
  const { units, run } = WORK[part];
  const length = Math.min(LENGTH, 2 * Math.floor(config.n_positions / 2));
  const flop = 2 * units * multiplied(sliced) * length; // of a text
  const secondsFor = async (size: number): Promise<number> => {
    const cells = size * length;
    const batch = { ids: new Int32Array(cells + size), mask: new Float32Array(cells).fill(1), size, length };
    const started = performance.now();
    disposeParams(await run(model, params, batch));
    return (performance.now() - started) / 1000;
  };
  try {
    const texts = model.engine.startsWith('fused') ? 2 * workersOf(options) : 1; // every worker has some
    let size = Math.min(64, Math.max(Math.ceil(FIRST / flop), texts));
    await secondsFor(size);
    let seconds = await secondsFor(size);
    while (seconds < ENOUGH && size < 64) seconds = await secondsFor((size *= 2));
    return { engine: model.engine, flops: (flop * size) / seconds, update: updateSeconds(part, options, params) };
  } finally {
    disposeParams(params);
    model.dispose();
  }
}

/** How fast the engines are that will compute both models, measured on a layer of each; it takes seconds. The backend is running. */
export async function measureSpeeds({ generator, target }: ModelPair, config: Config): Promise<Record<Part, Speed>> {
  return { generator: await speedOf('generator', generator, config), target: await speedOf('target', target, config) };
}

/** Operations per second that a GPU sustains, roughly. */
const GPU = 1e14;

/** One line for people. */
export function describeCost(models: ModelPair, config: Config, speeds: Readonly<Record<Part, Speed>>): string {
  const { tokens, flop } = stepCost(models, config);
  const count = (n: number): string => n.toLocaleString('en-US', { maximumSignificantDigits: 2 });
  const hours = (seconds: number): string => count((config.steps * seconds) / 3600);
  const total = flop.generator + flop.target;
  const updates = stepUpdates(config);
  const seconds = (part: Part): number =>
    flop[part] / speeds[part].flops + updates[part] * parameterCount(models[part]) * speeds[part].update;
  const here = seconds('generator') + seconds('target'); // of a step
  const speed = (part: Part): string =>
    `${speeds[part].engine} for the ${part} (${count(speeds[part].flops / 1e9)} GFLOP/s measured)`;
  return (
    `cost: ${count(tokens.generator)} tokens of the generator and ${count(tokens.target)} of the target a step, ` +
    `${total.toExponential(1)} FLOP; ${count(config.steps)} steps take about ${hours(here)} hours here, with ` +
    `${speed('generator')} and ${speed('target')}, or ${hours(total / GPU)} GPU hours at 100 TFLOP/s`
  );
}
