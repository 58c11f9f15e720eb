/**
 * Theorem 3.1 of the paper in numbers. A policy over K responses, independent of each other, is small enough to enumerate every data set of
 * N: the policy gradient with metagradients as rewards points along ∇_θ E[Φ(A(D))], and varies much less than the naive estimator.
 */
import { beforeAll, expect, it } from 'vitest';
import { estimatorQuality } from '../../src/dpg/theorem';
import { adamw } from '../../src/learn/optimizer';
import { padExamples } from '../../src/model/batch';
import { fusedModel } from '../../src/model/fused';
import { likelihoodObjective } from '../../src/objective/likelihood';
import { metagradientReward } from '../../src/reward/metagradient';
import { disposeParams } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { useBackend } from '../support/backend';
import { TINY, tinyParams } from '../support/tinyExperiment';

const RESPONSES = [
  [1, 2, 3],
  [4, 5, 6],
  [3, 2, 7],
  [0, 0, 8],
];
const POLICY = [0.4, 0.3, 0.2, 0.1];
const N = 8;

/** How often each response occurs in a data set of n, for all data sets. */
function countVectors(n: number, kinds: number): number[][] {
  if (kinds === 1) return [[n]];
  return Array.from({ length: n + 1 }, (_, k) => countVectors(n - k, kinds - 1).map((rest) => [k, ...rest])).flat();
}

const factorial = (n: number): number => (n <= 1 ? 1 : n * factorial(n - 1));
const probabilityOf = (counts: number[]): number => counts.reduce((p, n, k) => (p * POLICY[k] ** n) / factorial(n), factorial(N));
const dot = (a: number[], b: number[]): number => a.reduce((sum, x, i) => sum + x * b[i], 0);

/** Σ_k weight_k · ∇_θ log π(k) for a softmax policy with logits θ. */
const score = (weights: number[]): number[] => {
  const total = weights.reduce((a, b) => a + b);
  return weights.map((w, k) => w - total * POLICY[k]);
};

/** Mean of a random vector, and its variance: E‖x − E x‖². */
function moments(vectors: readonly { p: number; x: number[] }[]): { mean: number[]; variance: number } {
  const mean = POLICY.map((_, k) => vectors.reduce((sum, { p, x }) => sum + p * x[k], 0));
  const variance = vectors.reduce((sum, { p, x }) => sum + p * dot(x, x), 0) - dot(mean, mean);
  return { mean, variance };
}

beforeAll(() => useBackend('cpu'));

it('metagradient rewards give the true policy gradient at a fraction of the naive estimator’s variance', async () => {
  const model = fusedModel(TINY, { workers: 0 });
  const objective = likelihoodObjective(model, padExamples([[1, 2, 3, 2, 7]], 4, TINY.vocab_size));
  const optimizer = adamw({ learningRate: 0.01, epsRoot: 1e-3 });
  const reward = metagradientReward({ model, params: tinyParams(2), optimizer, objective, innerSteps: 1, sequenceLength: 2 });

  const sets: { p: number; counts: number[]; phi: number; tau: number[] }[] = [];
  for (const counts of countVectors(N, POLICY.length)) {
    const responses = counts.flatMap((n, k) => new Array<number[]>(n).fill(RESPONSES[k]));
    const { phi, values, tuned } = await reward(responses, N, randomStream(1, 'order'));
    disposeParams(tuned);
    let from = 0;
    const tau = counts.map((n) => values.slice(from, (from += n)).reduce((a, b) => a + b, 0)); // summed per kind of response
    sets.push({ p: probabilityOf(counts), counts, phi, tau });
  }
  expect(sets.reduce((sum, { p }) => sum + p, 0)).toBeCloseTo(1, 10);

  const meanPhi = sets.reduce((sum, { p, phi }) => sum + p * phi, 0);
  const meanTau = sets.reduce((sum, { p, tau }) => sum + p * tau.reduce((a, b) => a + b), 0) / N;
  const exact = moments(sets.map(({ p, counts, phi }) => ({ p, x: score(counts.map((n) => n * (phi - meanPhi))) })));
  const byTau = moments(sets.map(({ p, counts, tau }) => ({ p, x: score(tau.map((t, k) => t - counts[k] * meanTau)) })));
  const cosine = dot(exact.mean, byTau.mean) / Math.sqrt(dot(exact.mean, exact.mean) * dot(byTau.mean, byTau.mean));
  expect(cosine).toBeGreaterThan(0.99);
  // each scaled to its own signal: the estimators differ by a factor, which a learning rate would take up
  const noise = ({ mean, variance }: typeof exact) => variance / dot(mean, mean);
  expect(noise(exact)).toBeGreaterThan(3 * noise(byTau));

  const inner = { model, params: tinyParams(2), optimizer, objective, innerSteps: 1, sequenceLength: 2 };
  const quality = await estimatorQuality(inner, { responses: RESPONSES, probabilities: POLICY }, N);
  expect(quality.cosine).toBeCloseTo(cosine, 6);
  expect(quality.noise / noise(byTau)).toBeCloseTo(1, 6);
  expect(quality.naiveNoise / noise(exact)).toBeCloseTo(1, 6);
  await expect(estimatorQuality(inner, { responses: RESPONSES, probabilities: [0.5, 0.5, 0.5, 0] }, N)).rejects.toThrow(
    'probabilities must be one for each of 4 responses and sum to 1 (they sum to 1.5)',
  );
});
