/**
 * What a GRPO step would take on many GPUs, from operations and bytes: a model on paper, of the ranks of model/ranks (every rank holds all
 * parameters and computes a share of the examples). Nothing in it is measured but what the caller says of a GPU.
 */
import { parameterCount } from '../model/families';
import type { Config } from './config';
import { stepCost, stepUpdates } from './cost';
import type { ModelPair } from './memory';

/** A number of equal GPUs. */
export interface Cluster {
  readonly gpus: number;
  /** What a GPU makes of large products in float32, FLOP/s. */
  readonly flops: number;
  /** Bytes a second that a GPU reads of its own memory. */
  readonly bandwidth: number;
  /** Bytes a second between a GPU and its neighbours in a ring. */
  readonly network: number;
  /** Seconds of a message. */
  readonly latency: number;
}

/** Seconds of a step by what takes them. */
export interface StepSeconds {
  readonly rollouts: number;
  /** Fine-tuning the target and the metagradient's way back. */
  readonly metagradient: number;
  /** The generator's update. */
  readonly policy: number;
  /** Sums over the ranks: gradients and products of the target, gradients of the generator. */
  readonly sums: number;
  readonly total: number;
}

const FLOAT = 4; // bytes

/** Arrays as large as all parameters that are read and written once: by adamw's update, by its adjoint, by a gradient, by a product. */
const TRAFFIC = { update: 7, adjoint: 10, gradient: 4, product: 8 };

/** Seconds of a ring's sum over all GPUs (Patarin and Wang's all-reduce): every rank sends each number twice, but for its own share. */
export function sumSeconds({ gpus, network, latency }: Cluster, bytes: number): number {
  if (gpus === 1) return 0;
  return ((2 * (gpus - 1)) / gpus) * (bytes / network) + 2 * (gpus - 1) * latency;
}

/** How often a step computes the target's gradient (again where segments are computed again) and its product (but for the first step). */
const targetCalls = ({ innerSteps }: Config) => ({ gradients: innerSteps * (innerSteps > 1 ? 2 : 1), products: innerSteps - 1 });

/**
 * A step on paper.
 *
 * - Products run at the GPU's rate, shared evenly; a pass takes at least as long as its parameters take to be read.
 * - A token that is sampled reads all parameters of the generator once for all responses of a rank.
 * - Every rank does the whole of every optimizer's work, which is reading and writing.
 * - Sums are not hidden behind anything.
 *
 * @returns seconds
 */
export function stepOnPaper(pair: ModelPair, config: Config, cluster: Cluster): StepSeconds {
  const { gpus, flops, bandwidth } = cluster;
  const bytes = { generator: FLOAT * parameterCount(pair.generator), target: FLOAT * parameterCount(pair.target) };
  const { flop } = stepCost(pair, config);
  const updates = stepUpdates(config);
  const products = (part: 'generator' | 'target', share: number) => (share * flop[part]) / gpus / flops;
  const traffic = (part: 'generator' | 'target', arrays: number) => (arrays * bytes[part]) / bandwidth;

  const supports = config.supportMinP > 0 ? 2 : 1; // the untrained generator samples along
  const units = supports + config.epochs * (config.klCoef > 0 ? 4 : 3); // forward passes that stepCost counts
  const rollouts = Math.max(products('generator', supports / units), traffic('generator', config.maxNewTokens * supports));
  const policy =
    products('generator', 1 - supports / units) + traffic('generator', updates.generator * (TRAFFIC.update + TRAFFIC.gradient));
  const calls = targetCalls(config);
  const moved =
    calls.gradients * (TRAFFIC.gradient + TRAFFIC.update) +
    calls.products * TRAFFIC.product +
    config.innerSteps * TRAFFIC.adjoint;
  const metagradient = products('target', 1) + traffic('target', moved);
  const sums =
    (calls.gradients + calls.products) * sumSeconds(cluster, bytes.target) +
    updates.generator * sumSeconds(cluster, bytes.generator);
  return { rollouts, metagradient, policy, sums, total: rollouts + metagradient + policy + sums };
}
