/**
 * Rewards: responses in, one number per response (and perhaps per token) out.
 */
import type { Params } from '../tensor/params';
import type { RandomStream } from '../tensor/random';

/** Rewards of one step's rollouts, in their order. */
export interface Rewards {
  /** [rollouts]. */
  readonly values: Float32Array;
  /** Reward of every predicted token, [rollouts, sequenceLength]; only metagradients have them. */
  readonly tokens?: Float32Array;
  /** Rollouts are compared within their prompt's group, or with the whole batch. */
  readonly baseline: 'group' | 'batch';
  /** Φ of the target fine-tuned on the rollouts; the mean where there were several data sets. */
  readonly phi: number;
  /** Mean loss of the first and of the last batch of fine-tuning, nats. */
  readonly targetLossFirst: number;
  readonly targetLossLast: number;
  /** The fine-tuned target (of the first data set); the caller disposes it. */
  readonly tuned: Params;
  /** What people should know of these rewards. */
  readonly warning?: string;
}

/**
 * A reward function.
 * @param responses - token ids of the target's vocabulary; rollout i belongs to prompt ⌊i / group⌋
 * @param random - shuffles the responses into batches
 */
export type Reward = (responses: readonly (readonly number[])[], group: number, random: RandomStream) => Promise<Rewards>;
