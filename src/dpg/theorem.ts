/**
 * Theorem 3.1 of the paper in numbers: how near the policy gradient with metagradients as rewards comes to ∇_θ E[Φ(A(D))], the exact
 * gradient of what is wanted, and how much it varies from data set to data set.
 *
 * A policy over K responses, drawn independently of each other, is small enough to enumerate every data set of N; its parameters θ are the
 * logits of the responses (ours, after the theorem).
 */
import { metagradientReward, type InnerTraining } from '../reward/metagradient';
import { disposeParams } from '../tensor/params';
import { randomStream } from '../tensor/random';

/** A policy that writes one of K responses. */
export interface EnumerablePolicy {
  /** Token ids, as the target reads them. */
  readonly responses: readonly (readonly number[])[];
  /** Of each response; they sum to 1. */
  readonly probabilities: readonly number[];
}

/** How good an estimator of the exact gradient is. */
export interface EstimatorQuality {
  /** Between the estimator's mean and the exact gradient: 1 if it points the same way. */
  readonly cosine: number;
  /** Variance of the estimator from data set to data set, in units of its squared mean. */
  readonly noise: number;
  /** The same of the naive estimator, which pays every example its data set's Φ; its mean is exact. */
  readonly naiveNoise: number;
}

/** How often each of `kinds` responses occurs in a data set of n, for all data sets. */
function countVectors(n: number, kinds: number): number[][] {
  if (kinds === 1) return [[n]];
  return Array.from({ length: n + 1 }, (_, k) => countVectors(n - k, kinds - 1).map((rest) => [k, ...rest])).flat();
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const dot = (a: readonly number[], b: readonly number[]): number => sum(a.map((x, i) => x * b[i]));

/** Multinomial probability of counts. */
function probabilityOf(counts: readonly number[], probabilities: readonly number[]): number {
  const logFactorial = (n: number): number => (n <= 1 ? 0 : Math.log(n) + logFactorial(n - 1));
  const logs = counts.map((n, k) => (n === 0 ? 0 : n * Math.log(probabilities[k])) - logFactorial(n));
  return Math.exp(sum(logs) + logFactorial(sum(counts)));
}

/** A random vector: values with their probabilities. */
type Distribution = readonly { readonly p: number; readonly x: readonly number[] }[];

function moments(distribution: Distribution): { mean: number[]; noise: number } {
  const mean = distribution[0].x.map((_, k) => sum(distribution.map(({ p, x }) => p * x[k])));
  const square = sum(distribution.map(({ p, x }) => p * dot(x, x)));
  return { mean, noise: square / dot(mean, mean) - 1 };
}

/**
 * Fine-tunes the target on every data set, its examples in one shuffled order, and compares the estimators.
 * @param examples - N, of a data set; there are (N + K − 1)! / (N! (K − 1)!) data sets
 * @throws RangeError for probabilities that do not sum to 1, and as {@link metagradientReward}
 */
export async function estimatorQuality(
  inner: InnerTraining,
  { responses, probabilities }: EnumerablePolicy,
  examples: number,
): Promise<EstimatorQuality> {
  const total = sum(probabilities);
  if (probabilities.length !== responses.length || Math.abs(total - 1) > 1e-6)
    throw new RangeError(
      `probabilities must be one for each of ${responses.length} responses and sum to 1 (they sum to ${total})`,
    );
  const reward = metagradientReward(inner);
  const sets = [];
  for (const counts of countVectors(examples, responses.length)) {
    const data = counts.flatMap((n, k) => new Array<readonly number[]>(n).fill(responses[k]));
    const { phi, values, tuned } = await reward(data, examples, randomStream(1, 'order'));
    disposeParams(tuned);
    let from = 0;
    const tau = counts.map((n) => sum([...values.subarray(from, (from += n))])); // summed per response
    sets.push({ p: probabilityOf(counts, probabilities), counts, phi, tau });
  }
  /** Σ_k weight_k · ∇_θ log π(k). */
  const score = (weights: readonly number[]): number[] => weights.map((w, k) => w - sum(weights) * probabilities[k]);
  const meanPhi = sum(sets.map(({ p, phi }) => p * phi));
  const meanTau = sum(sets.map(({ p, tau }) => p * sum(tau))) / examples;
  const naive = moments(sets.map(({ p, counts, phi }) => ({ p, x: score(counts.map((n) => n * (phi - meanPhi))) })));
  const ours = moments(sets.map(({ p, counts, tau }) => ({ p, x: score(tau.map((t, k) => t - counts[k] * meanTau)) })));
  const cosine = dot(naive.mean, ours.mean) / Math.sqrt(dot(naive.mean, naive.mean) * dot(ours.mean, ours.mean));
  return { cosine, noise: ours.noise, naiveNoise: naive.noise };
}
