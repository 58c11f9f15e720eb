/**
 * The sweeps that the notebooks' comparison figures are drawn from.
 */
import type { ConfigInput } from '../dpg/config';
import type { Sweep, SweepMethod } from './sweep';

/** Candidates for the generator's learning rate. */
const RATES = [2e-4, 6e-4, 1.8e-3];

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

/** Examples of one step of the fine-tuning in the sweep of batch sizes. */
const BATCH = 128;

/** Methods on the weights of the LM head (paper §4). */
function weightSpaceMethods({ adamw, sgd, learningRates, batchRates = learningRates }: WeightSpace): SweepMethod[] {
  // T grows with the batch, as in the paper; the fine-tuning's learning rate falls with it, so that weights move as far and Φ stays comparable
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

/** What differs between the experiments on outputs. */
interface OutputSpace {
  /** Of the generator, the same for all methods. */
  readonly learningRate: number;
  /** Of sgd's fine-tuning: a learning rate that makes adamw's (first) steps where a gradient is small beside the root of eps_root. */
  readonly sgd: ConfigInput;
  /** Baselines that need no metagradient. */
  readonly rewards: readonly NonNullable<ConfigInput['reward']>[];
  /** The best of the other methods: it gets every seed, as adamw does; the rest get seed 0. */
  readonly best?: string;
  /** What the experiment's own settings are called where they are not the paper's: metagradients through adamw, credit for responses. */
  readonly own?: string;
  readonly ablations?: Readonly<Record<string, ConfigInput>>;
  /** What sgd and the other rewards have instead of the experiment's settings. */
  readonly instead?: ConfigInput;
}

/** Methods on outputs (paper §4). */
function outputMethods({ learningRate, sgd, rewards, best, own = 'adamw', ablations, instead }: OutputSpace): SweepMethod[] {
  const others: Record<string, ConfigInput> = {
    ...ablations,
    [own === 'adamw' ? 'sgd' : `${own}-sgd`]: { innerOptimizer: 'sgd', ...sgd, ...instead },
    ...Object.fromEntries(rewards.map((reward) => [reward, { reward, ...instead }])),
  };
  const seeds = (name: string): Pick<SweepMethod, 'seeds'> => (name === best ? {} : { seeds: [0] });
  return [
    { name: own, config: {}, learningRates: [learningRate] },
    ...Object.entries(others).map(([name, config]) => ({ name, config, learningRates: own, ...seeds(name) })),
  ];
}

/** The experiment's bonus of 0.3 is more than weaker signals hold against: with credit per response outputs became junk, 210 characters from the UUID. */
const LITTLE_ENTROPY = { entropyCoef: 0.06, finalEntropy: 0.1 } as const;

/** By the name of the experiment. */
export const SWEEPS: Readonly<Record<string, Sweep>> = {
  'sixty-seven': {
    experiment: 'sixty-seven',
    examples: 16_384, // 32 steps of 512
    tuningExamples: 8_192,
    every: 1_024,
    seeds: [0, 1, 2],
    minWords: 0.5,
    config: { prompts: 64, rollouts: 8, klCoef: 0.06, stopAfterDone: 0 }, // all see as many examples, also those that are done early
    methods: [
      ...weightSpaceMethods({ adamw: 1e-3, sgd: 0.0298, learningRates: RATES }),
      ...[0, 0.2].map((klCoef) => ({ name: `kl-${klCoef}`, config: { klCoef }, learningRates: 'adamw' })),
    ],
  },
  'l2-norm': {
    experiment: 'l2-norm',
    examples: 12_288, // 48 steps of 256
    tuningExamples: 4_096,
    every: 1_024,
    seeds: [0, 1, 2],
    minWords: 0.5,
    config: { prompts: 32, rollouts: 8 },
    methods: weightSpaceMethods({ adamw: 1e-2, sgd: 0.3, learningRates: [2e-4, 3.5e-4, 6e-4, 1.8e-3], batchRates: 'adamw' }),
  },
  rephrase: {
    experiment: 'rephrase',
    examples: 40_960, // 40 steps of 1,024
    tuningExamples: 10_240,
    every: 5_120,
    seeds: [0, 1, 2],
    config: { prompts: 128, rollouts: 8 },
    methods: outputMethods({
      learningRate: 4e-4,
      sgd: { innerLearningRate: 0.0158 },
      rewards: ['naive', 'levenshtein', 'embedding', 'languageId'],
      best: 'languageId',
    }),
  },
  uuid: {
    experiment: 'uuid',
    examples: 92_160, // 180 steps of 512
    tuningExamples: 18_432,
    every: 9_216,
    seeds: [0],
    config: { prompts: 64, rollouts: 8 },
    methods: outputMethods({
      learningRate: 3e-4,
      sgd: { innerLearningRate: 0.158, initialInnerLearningRate: 1 },
      rewards: ['naive', 'levenshtein'],
      own: 'both-credits',
      ablations: { adamw: { credit: 'example', ...LITTLE_ENTROPY }, 'token-credit': { credit: 'token' } },
      instead: LITTLE_ENTROPY,
    }),
  },
};
