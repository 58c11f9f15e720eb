/**
 * Which `innerEpsRoot` to take, measured on a target of one's own before a run (ours).
 *
 * The policy gradient follows what metagradients predict: that a data set in which example i occurs c_i times has
 * Φ = Φ₀ + Σ_i (c_i − 1) τ_i. So data sets are drawn anew from the examples of one, the target is fine-tuned on each, and what Φ does is
 * compared with the prediction (the linear datamodeling score of work on data attribution). Where eps_root is too small, the update is
 * nearly the sign of the gradient: its derivative is large in a narrow zone and nothing outside, and predicts nothing. Where it is too
 * large, adamw is sgd, and one example outweighs the rest.
 */
import { batchSizeOf, metagradientReward, plainTraining } from '../reward/metagradient';
import { disposeParams } from '../tensor/params';
import { randomStream } from '../tensor/random';
import type { Experiment } from './experiment';
import { innerTraining } from './inner';
import { untrainedResponses } from './untrained';

/** What one `innerEpsRoot` is worth. */
export interface InnerAdvice {
  readonly inner_eps_root: number;
  /** Correlation of Φ with its prediction over the data sets. */
  readonly agreement: number;
  /** Of Φ over its prediction, by least squares: 1 where the scale of τ holds for changes as large as those from step to step. */
  readonly slope: number;
  /** Standard deviation of Φ over the data sets: what there is to be learnt from. */
  readonly phi_deviation: number;
  /** The largest part of Φ's deviation is predicted: agreement · phi_deviation is largest. */
  readonly advised: boolean;
}

/** Options of {@link adviseInner}. */
export interface AdviceOptions {
  /** Candidates. */
  readonly epsRoots?: readonly number[];
  /** Examples of a data set; by default those of a step of the run. */
  readonly examples?: number;
  /** Data sets on which Φ is compared with its prediction. */
  readonly dataSets?: number;
  readonly seed?: number;
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Covariance of two series. */
function covariance(x: readonly number[], y: readonly number[]): number {
  const [meanX, meanY] = [mean(x), mean(y)];
  return mean(x.map((value, i) => (value - meanX) * (y[i] - meanY)));
}

/** Φ of data sets that are drawn with replacement from `responses`, and what τ predicts of it. */
async function predictions(experiment: Experiment, responses: readonly (readonly number[])[], dataSets: number, seed: number) {
  const inner = innerTraining(experiment);
  const { values: tau, tuned } = await metagradientReward(inner)(responses, responses.length, randomStream(seed, 'order'));
  disposeParams(tuned);
  const random = randomStream(seed, 'data sets');
  const [predicted, phis]: [number[], number[]] = [[], []];
  for (let k = 0; k < dataSets; k++) {
    const drawn = responses.map(() => random.integer(responses.length));
    const { phi, finalParams } = await plainTraining(inner, drawn.map((i) => responses[i])); // prettier-ignore
    disposeParams(finalParams);
    predicted.push(drawn.reduce((sum, i) => sum + tau[i], 0));
    phis.push(phi);
  }
  return { predicted, phis };
}

/**
 * Measures candidates for `innerEpsRoot` on text of the untrained generator, at the experiment's other settings.
 * @returns a row for each candidate, in their order; one of them is advised
 * @throws RangeError for `examples` that `innerSteps` does not divide, and for a fine-tuning that has no eps_root of the configuration's
 */
export async function adviseInner(
  experiment: Experiment,
  { epsRoots = [1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2], examples, dataSets = 24, seed = 0 }: AdviceOptions = {},
): Promise<InnerAdvice[]> {
  const { config } = experiment;
  const count = examples ?? config.prompts * config.groupSize;
  batchSizeOf(count, config.innerSteps);
  if (experiment.optimizer || config.innerOptimizer === 'sgd')
    throw new RangeError(
      `innerEpsRoot is a setting of adamw and lion; this fine-tuning is by ${experiment.optimizer ? 'an optimizer of its own' : 'sgd'}`,
    );
  const streams = { seed, prompts: 'prompts of the advice', tokens: 'tokens of the advice' };
  const responses = await untrainedResponses(experiment, count, streams);
  const rows: Omit<InnerAdvice, 'advised'>[] = [];
  for (const innerEpsRoot of epsRoots) {
    const changed = { ...experiment, config: { ...config, innerEpsRoot } };
    const { predicted, phis } = await predictions(changed, responses, dataSets, seed);
    const deviation = Math.sqrt(covariance(predicted, predicted));
    const phi_deviation = Math.sqrt(covariance(phis, phis));
    const together = covariance(predicted, phis);
    const moves = together !== 0;
    const agreement = moves ? together / deviation / phi_deviation : 0;
    const slope = moves ? together / deviation ** 2 : 0;
    rows.push({ inner_eps_root: innerEpsRoot, agreement, slope, phi_deviation });
  }
  const predicted = rows.map(({ agreement, phi_deviation }) => agreement * phi_deviation);
  return rows.map((row, i) => ({ ...row, advised: i === predicted.indexOf(Math.max(...predicted)) }));
}
