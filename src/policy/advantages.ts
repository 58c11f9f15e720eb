/**
 * Advantages: how much better a rollout is than its group, in units that suit the policy gradient.
 *
 * Metagradients are tiny (1e-9 … 1e-3) and heavy-tailed, so there is no constant under the fraction: rewards are centred per group, divided by
 * one scale for the whole batch, and may be clipped. A group of equal rewards has no signal and gets zeros.
 */

/** What centred rewards are divided by. */
export type AdvantageScale =
  /** The standard deviation over the batch. */
  | 'batch'
  /** 1.4826 × the median of absolute values over the groups with a signal: the same for normal rewards, deaf to outliers. */
  | 'robust'
  /** The standard deviation within each group (GRPO as published). */
  | 'group'
  /** Nothing. */
  | 'none';

/** Options of {@link exampleAdvantages} and {@link tokenAdvantages}. */
export interface AdvantageOptions {
  readonly scale: AdvantageScale;
  /** Advantages are cut off at ± this many scales. */
  readonly clip: number;
}

/** Advantages of a batch, and the share of its groups without any signal. */
export interface Advantages {
  readonly values: Float32Array;
  readonly degenerateGroups: number;
}

/** Rewards within a group that differ by less than this share of the batch's spread count as equal. */
const EQUAL = 1e-6;

const rootMeanSquare = (values: Float32Array): number => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);

function median(values: Float32Array): number {
  const sorted = values.slice().sort();
  return sorted.length % 2 ? sorted[(sorted.length - 1) / 2] : (sorted[sorted.length / 2 - 1] + sorted[sorted.length / 2]) / 2;
}

function requireFinite(rewards: Float32Array): void {
  const broken = rewards.findIndex((r) => !Number.isFinite(r));
  if (broken >= 0) throw new Error(`reward ${broken} is ${rewards[broken]}; a reward that cannot be computed stops the run`);
}

/** Divides by the batch-wide scale and clips; all zeros if there is no spread. The scale is that of `counted`: padding is no part of it. */
function scaleBatch(centred: Float32Array, { scale, clip }: AdvantageOptions, counted = centred): Float32Array {
  let unit = 1;
  if (scale === 'batch') unit = rootMeanSquare(counted);
  if (scale === 'robust') unit = 1.4826 * median(counted.filter((x) => x !== 0).map(Math.abs));
  return centred.map((x) => (unit > 0 ? Math.max(-clip, Math.min(clip, x / unit)) : 0));
}

/**
 * Advantages of whole examples.
 * @param rewards - [groups × group]
 * @param group - rollouts per prompt, at least 2 to compare within
 * @throws Error for a reward that is not finite, RangeError if `group` does not divide the rewards
 */
export function exampleAdvantages(rewards: Float32Array, group: number, options: AdvantageOptions): Advantages {
  if (!(Number.isInteger(group) && group >= 2 && rewards.length % group === 0))
    throw new RangeError(`group must be at least 2 and divide the ${rewards.length} rewards (got ${group})`);
  requireFinite(rewards);
  const centred = new Float32Array(rewards.length);
  let degenerate = 0;
  const mean = rewards.reduce((a, b) => a + b, 0) / rewards.length;
  const spread = rootMeanSquare(rewards.map((r) => r - mean));
  for (let from = 0; from < rewards.length; from += group) {
    const own = rewards.subarray(from, from + group);
    const groupMean = own.reduce((a, b) => a + b, 0) / group;
    if (Math.max(...own) - Math.min(...own) <= EQUAL * spread) degenerate++;
    else {
      const deviations = own.map((r) => r - groupMean);
      const unit = options.scale === 'group' ? rootMeanSquare(deviations) : 1;
      centred.set(
        deviations.map((x) => x / unit),
        from,
      );
    }
  }
  return { values: scaleBatch(centred, options), degenerateGroups: degenerate / (rewards.length / group) };
}

/**
 * Advantages of single tokens (ours): discounted reward-to-go over the tokens' own metagradients, centred per position over the batch.
 * @param tokenRewards - reward of every predicted token, [size, length − 1]: the first token of a response is not predicted
 * @param mask - 1 on response tokens, [size, length]
 * @param discount - weight of the following token's reward-to-go, in [0, 1]
 * @returns values [size, length]; the first token shares the second's reward-to-go
 */
export function tokenAdvantages(
  tokenRewards: Float32Array,
  mask: Float32Array,
  length: number,
  discount: number,
  options: AdvantageOptions,
): Float32Array {
  requireFinite(tokenRewards);
  const size = mask.length / length;
  const toGo = new Float32Array(size * length);
  for (let i = 0; i < size; i++) {
    for (let t = length - 1; t >= 1; t--)
      toGo[i * length + t] = tokenRewards[i * (length - 1) + t - 1] + (t < length - 1 ? discount * toGo[i * length + t + 1] : 0);
    toGo[i * length] = length > 1 ? toGo[i * length + 1] : 0;
  }
  const centred = centrePositions(toGo, mask, size, length);
  const counted = centred.filter((_, cell) => mask[cell] > 0);
  return scaleBatch(centred, options, counted);
}

/** Subtracts from every position its mean over the responses that reach it. */
function centrePositions(values: Float32Array, mask: Float32Array, size: number, length: number): Float32Array {
  const centred = new Float32Array(values.length);
  for (let t = 0; t < length; t++) {
    let [sum, count] = [0, 0];
    for (let i = 0; i < size; i++)
      [sum, count] = [sum + mask[i * length + t] * values[i * length + t], count + mask[i * length + t]];
    for (let i = 0; i < size; i++)
      centred[i * length + t] = mask[i * length + t] * (values[i * length + t] - sum / Math.max(1, count));
  }
  return centred;
}
