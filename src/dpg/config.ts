/**
 * The configuration keys that every experiment has; each adds its own.
 */
import type { OptimizerName } from '../learn/optimizers';
import { flag, number, oneOf, parseKeys, whole, type ConfigOf, type Keys } from './keys';

export const sharedKeys = {
  seed: whole({ min: 0, max: 2 ** 31 - 1, default: 0, description: 'Seed of every random stream' }),
  engine: oneOf(['auto', 'fused', 'tape'], {
    default: 'auto',
    description: 'How derivatives are computed: SIMD kernels, or tfjs ops on any backend',
  }),
  workers: whole({ min: 0, max: 64, default: 0, description: 'Worker threads of the fused engine; 0 takes one per core' }),

  steps: whole({ min: 1, max: 1_000_000, default: 400, description: 'GRPO steps at most', paper: '40 to 3,840' }),
  stopAfterDone: whole({
    min: 0,
    max: 1_000_000,
    default: 1,
    description: 'Stop after this many steps in a row that are done, e.g. have every pixel right; 0 never stops early',
  }),
  prompts: whole({ min: 1, max: 1_000_000, default: 32, description: 'Prompts per GRPO step', paper: '256 / 2,048 / 24,576' }),
  groupSize: whole({ min: 2, max: 1024, default: 8, description: 'Responses per prompt', paper: '4' }),
  promptLength: whole({ min: 1, max: 100_000, default: 16, unit: 'tokens', description: 'Length of a prompt' }),
  maxNewTokens: whole({
    min: 2,
    max: 100_000,
    default: 24,
    unit: 'tokens',
    description: 'Length of a response at most',
    paper: '128',
  }),
  temperature: number({ above: 0, max: 10, default: 1, description: 'Sampling temperature', paper: '1' }),
  supportMinP: number({
    min: 0,
    below: 1,
    default: 0,
    unit: 'of the likeliest token’s probability',
    description: 'Only tokens that are at least so likely are written, in training and validation; 0 allows all',
    paper: '0',
  }),
  supportOf: oneOf(['untrained', 'itself'], {
    default: 'untrained',
    description: 'Who finds them so likely: the untrained generator, or the one that writes (min-p sampling)',
  }),

  innerOptimizer: oneOf<OptimizerName>(['adamw', 'sgd', 'lion'], {
    default: 'adamw',
    description: 'Optimizer of the fine-tuning that is differentiated; lion with its sign rounded off',
    paper: 'adamw; sgd as ablation',
  }),
  innerLearningRate: number({
    above: 0,
    max: 10,
    default: 1e-3,
    description: 'Its learning rate, at the first GRPO step',
    paper: '5e-6',
  }),
  innerLearningRateEnd: number({
    above: 0,
    max: 10,
    sameAs: 'innerLearningRate',
    description: 'At the last GRPO step (linear), and in validation',
    paper: '5e-6',
  }),
  innerSteps: whole({ min: 1, max: 100_000, default: 1, description: 'T: its steps per data set', paper: '1 / 8 / 96' }),
  innerMomentum: number({ min: 0, below: 1, default: 0, description: 'sgd: decay of the momentum; 0 has none', paper: '0' }),
  innerB1: number({
    min: 0,
    below: 1,
    default: 0.9,
    description: 'adamw: decay of the first moment; lion: share of the momentum in a step',
    paper: '0.9',
  }),
  innerB2: number({
    min: 0,
    below: 1,
    default: 0.95,
    description: 'adamw: decay of the second moment; lion: decay of the momentum',
    paper: '0.95',
  }),
  innerEps: number({
    min: 0,
    max: 1,
    default: 1e-8,
    unit: 'of a gradient',
    description: 'adamw: added outside the root',
    paper: '1e-8 (of a summed gradient)',
  }),
  innerEpsRoot: number({
    min: 0,
    max: 1,
    default: 1e-4,
    unit: 'of a gradient, squared',
    description:
      'adamw and lion: added inside the root, so that the update can be differentiated at v = 0; near the square of a typical gradient',
    paper: '1e-9 (of a summed gradient)',
  }),
  innerWeightDecay: number({
    min: 0,
    max: 1,
    default: 1e-4,
    description: 'adamw and lion: decoupled weight decay',
    paper: '1e-4',
  }),

  reward: oneOf<string>(['metagradient', 'naive'], {
    default: 'metagradient',
    description: 'What a response is paid',
    paper: 'metagradient; others as baselines',
  }),
  credit: oneOf(['example', 'token', 'both'], {
    default: 'example',
    description: 'Metagradient per response, per token (ours), or the sum of both advantages (ours)',
    paper: 'example',
  }),
  discount: number({
    min: 0,
    max: 1,
    default: 1,
    description: 'Token credit: weight of the following token’s reward-to-go',
  }),
  crossGroupBatching: flag({
    default: true,
    description: 'Rollouts of one prompt share a data set',
    paper: 'true; false as ablation',
  }),
  advantageScale: oneOf(['batch', 'robust', 'group', 'none'], {
    default: 'batch',
    description: 'What centred rewards are divided by',
    paper: 'group',
  }),
  advantageClip: number({
    above: 0,
    max: 1e6,
    default: 1e6,
    unit: 'scales',
    description: 'Advantages are cut off at ± this',
  }),

  learningRate: number({
    above: 0,
    max: 10,
    default: 2e-4,
    description: 'Generator’s learning rate, at the first step',
    paper: '5e-6',
  }),
  learningRateEnd: number({
    above: 0,
    max: 10,
    sameAs: 'learningRate',
    description: 'At the last step (linear)',
    paper: '5e-6',
  }),
  epochs: whole({ min: 1, max: 100, default: 1, description: 'Passes over the rollouts of a step', paper: '1' }),
  minibatch: whole({
    min: 1,
    max: 1_000_000,
    default: 128,
    unit: 'rollouts',
    description: 'Per optimizer step of the generator',
    paper: '32 prompts × 4',
  }),
  clip: number({ above: 0, max: 10, default: 0.2, description: 'ε of the clipped ratio', paper: '0.2' }),
  klCoef: number({ min: 0, max: 100, default: 0, description: 'Weight of KL(π ‖ initial generator)', paper: '0' }),
  entropyCoef: number({
    min: 0,
    max: 10,
    default: 0.02,
    description: 'Weight of the entropy bonus, at the first step',
    paper: '0',
  }),
  entropyCoefEnd: number({ min: 0, max: 10, sameAs: 'entropyCoef', description: 'At the last step (linear)', paper: '0' }),
  maxGradientNorm: number({
    above: 0,
    max: 1e6,
    default: 1,
    description: 'Generator’s gradient is shortened to it',
    paper: '1',
  }),
  heldOutExamples: whole({
    min: 2,
    max: 1_000_000,
    default: 256,
    description: 'Examples of the validation on held-out prompts',
    paper: '98,304',
  }),
};

/** What every experiment's configuration has. */
export type Config = ConfigOf<typeof sharedKeys>;
/** What a user writes: any subset of the keys. */
export type ConfigInput = Partial<Config>;

/** Keys and defaults of an experiment, and its name for errors. */
export interface KeySet<K extends Keys> {
  readonly name?: string;
  readonly keys: K;
  readonly defaults?: Partial<ConfigOf<K>>;
}

/**
 * A complete configuration: an experiment's defaults, and above them what a user gives.
 * @throws RangeError naming every key that the experiment does not have, every value out of range, and keys that do not go together
 */
export function parseConfig<K extends typeof sharedKeys>({ name, keys, defaults }: KeySet<K>, input: unknown = {}): ConfigOf<K> {
  const config = parseKeys(keys, input, defaults, name);
  const { reward, credit }: Config = config;
  requireDivisible(config);
  if (reward === 'metagradient' || credit === 'example') return config;
  if ((input as ConfigInput).credit === undefined) return { ...config, credit: 'example' }; // the default, of other rewards
  throw new RangeError(`config: credit '${credit}' needs reward 'metagradient': reward '${reward}' has none for single tokens`);
}

/** @throws RangeError if the rollouts do not come out even in batches */
function requireDivisible({ prompts, groupSize, innerSteps, heldOutExamples, crossGroupBatching, reward }: Config): void {
  const separate = reward === 'naive' || (reward === 'metagradient' && !crossGroupBatching);
  const perDataSet = separate ? prompts : prompts * groupSize;
  if (perDataSet % innerSteps !== 0)
    throw new RangeError(`config: innerSteps must divide the ${perDataSet} examples of a data set (got ${innerSteps})`);
  if (heldOutExamples % innerSteps !== 0)
    throw new RangeError(`config: innerSteps must divide the ${heldOutExamples} heldOutExamples (got ${innerSteps})`);
}
