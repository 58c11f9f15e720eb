/**
 * Advantages: how much better a rollout is than its group, in units that suit the policy gradient.
 *
 * Metagradients are tiny (1e-9 … 1e-3) and heavy-tailed, so there is no constant under the fraction: rewards are centred per group, divided
 * by one scale for the whole batch, and may be clipped. A group of equal rewards has no signal and gets zeros.
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

/** Rewards that differ by less than this share of the largest of them count as equal: float32 knows no more. */
const EQUAL = 1e-6;

/** Whether rewards are equal but for rounding; their own size tells, whatever the rest of the batch is paid. */
function areEqual(rewards: Float32Array): boolean {
  const [low, high] = rewards.reduce(([min, max], r) => [Math.min(min, r), Math.max(max, r)], [Infinity, -Infinity]);
  return high - low <= EQUAL * Math.max(Math.abs(low), Math.abs(high));
}

const rootMeanSquare = (values: Float32Array): number => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);

function median(values: Float32Array): number {
  const sorted = values.slice().sort();
  return sorted.length % 2 ? sorted[(sorted.length - 1) / 2] : (sorted[sorted.length / 2 - 1] + sorted[sorted.length / 2]) / 2;
}

const SCALES: readonly AdvantageScale[] = ['batch', 'robust', 'group', 'none'];

function requireOptions({ scale, clip }: AdvantageOptions): void {
  if (!SCALES.includes(scale)) throw new RangeError(`scale must be one of ${SCALES.join(', ')} (got ${JSON.stringify(scale)})`);
  if (!(clip > 0)) throw new RangeError(`clip must be a positive number (got ${clip})`);
}

function requireFinite(rewards: Float32Array): void {
  const broken = rewards.findIndex((r) => !Number.isFinite(r));
  if (broken >= 0) throw new Error(`reward ${broken} is ${rewards[broken]}; a reward that cannot be computed stops the run`);
}

/** In units of `unit`, at most ± clip of them; 0 if there is no spread. */
const clipped = (x: number, unit: number, clip: number): number => (unit > 0 ? Math.max(-clip, Math.min(clip, x / unit)) : 0);

/** 1.4826 × the median absolute value; zeros do not count. */
function robustScale(centred: Float32Array): number {
  const spread = centred.filter((x) => x !== 0);
  return spread.length > 0 ? 1.4826 * median(spread.map(Math.abs)) : 0;
}

/** Divides by the batch-wide scale and clips; all zeros if there is no spread. */
function scaleBatch(centred: Float32Array, { scale, clip }: AdvantageOptions): Float32Array {
  const unit = scale === 'batch' ? rootMeanSquare(centred) : scale === 'robust' ? robustScale(centred) : 1;
  return centred.map((x) => clipped(x, unit, clip));
}

/**
 * Advantages of whole examples.
 * @param rewards - [groups × group]
 * @param group - rollouts per prompt, at least 2 to compare within
 * @throws Error for a reward that is not finite, RangeError if there are none, `group` does not divide them or an option is out of range
 */
export function exampleAdvantages(rewards: Float32Array, group: number, options: AdvantageOptions): Advantages {
  if (rewards.length === 0) throw new RangeError('there are no rewards to compare');
  if (!(Number.isInteger(group) && group >= 2 && rewards.length % group === 0))
    throw new RangeError(`group must be at least 2 and divide the ${rewards.length} rewards (got ${group})`);
  requireOptions(options);
  requireFinite(rewards);
  const centred = new Float32Array(rewards.length);
  let degenerate = 0;
  for (let from = 0; from < rewards.length; from += group) {
    const own = rewards.subarray(from, from + group);
    const groupMean = own.reduce((a, b) => a + b, 0) / group;
    if (areEqual(own)) degenerate++;
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
 * Advantages of single tokens (ours): discounted reward-to-go over the tokens' own metagradients.
 *
 * Every position is a group of its own, made of the responses that reach it. 'group' divides by its standard deviation; 'robust' centres on
 * its median and divides by its own scale: a token in an odd place may be paid a hundred times what others are, and some positions are
 * paid far better than others.
 * @param tokenRewards - reward of every predicted token, [size, length − 1]: the first token of a response is not predicted
 * @param mask - 1 on response tokens, [size, length]
 * @param discount - weight of the following token's reward-to-go, in [0, 1]
 * @returns values [size, length]; the first token shares the second's reward-to-go
 * @throws RangeError for no tokens, lengths that do not fit each other, a discount or an option out of range; Error for a reward that is
 * not finite
 */
export function tokenAdvantages(
  tokenRewards: Float32Array,
  mask: Float32Array,
  length: number,
  discount: number,
  options: AdvantageOptions,
): Float32Array {
  const { scale, clip } = options;
  if (mask.length === 0) throw new RangeError('there are no tokens to compare');
  if (!(Number.isInteger(length) && length >= 1 && mask.length % length === 0))
    throw new RangeError(`length must be a whole number that divides the ${mask.length} cells of the mask (got ${length})`);
  const count = (mask.length / length) * (length - 1);
  if (tokenRewards.length !== count)
    throw new RangeError(
      `responses of ${length} tokens have ${count} token rewards, none for the first (got ${tokenRewards.length})`,
    );
  if (!(discount >= 0 && discount <= 1)) throw new RangeError(`discount must be from 0 to 1 (got ${discount})`);
  requireOptions(options);
  requireFinite(tokenRewards);
  const size = mask.length / length;
  const toGo = rewardsToGo(tokenRewards, size, length, discount);
  const values = new Float32Array(mask.length);
  const isToken = (cell: number): boolean => mask[cell] > 0;
  for (let t = 0; t < length; t++) {
    const own = Int32Array.from({ length: size }, (_, i) => i * length + t).filter(isToken);
    const advantages = withinPosition(toGo, own, scale);
    own.forEach((cell, i) => (values[cell] = advantages[i]));
  }
  const unit = scale === 'batch' ? rootMeanSquare(values.filter((_, cell) => isToken(cell))) : 1;
  return values.map((x) => clipped(x, unit, clip));
}

/** Σ_{u ≥ t} discount^(u − t) · reward_u, [size, length]. */
function rewardsToGo(tokenRewards: Float32Array, size: number, length: number, discount: number): Float32Array {
  const toGo = new Float32Array(size * length);
  for (let i = 0; i < size; i++) {
    for (let t = length - 1; t >= 1; t--)
      toGo[i * length + t] = tokenRewards[i * (length - 1) + t - 1] + (t < length - 1 ? discount * toGo[i * length + t + 1] : 0);
    toGo[i * length] = length > 1 ? toGo[i * length + 1] : 0;
  }
  return toGo;
}

/** The values of one position's cells, centred and in units of what is the position's own. */
function withinPosition(values: Float32Array, cells: Int32Array, scale: AdvantageScale): Float32Array {
  const own = Float32Array.from(cells, (cell) => values[cell]);
  if (areEqual(own)) return own.fill(0);
  const centre = scale === 'robust' ? median(own) : own.reduce((a, b) => a + b, 0) / own.length;
  const centred = own.map((x) => x - centre);
  const unit = scale === 'robust' ? robustScale(centred) : scale === 'group' ? rootMeanSquare(centred) : 1;
  return centred.map((x) => clipped(x, unit, Infinity));
}
