/**
 * The oracle check: before a generator is trained, do metagradients rank examples that are known to be good above others?
 *
 * τ is taken at the end of fine-tuning: where the learning rate is so high that Φ no longer improves, its sign is wrong, and a generator
 * that follows it drifts to junk. So an experiment plants texts of known worth in one data set and looks at what they are paid (ours).
 */
import { valueOf } from '../learn/objective';
import { metagradientReward, plainTraining } from '../reward/metagradient';
import { disposeParams } from '../tensor/params';
import { randomStream } from '../tensor/random';
import type { ConfigInput } from './config';
import { innerTraining, type InnerSetting } from './inner';
import { textResponse } from './reading';

/** Texts of one kind that are put into a data set. */
export interface PlantedTexts {
  readonly kind: string;
  readonly texts: readonly string[];
}

/** What one kind of text is paid. */
export interface OracleRow {
  readonly kind: string;
  readonly texts: number;
  /** Mean τ, less the mean of all texts, in units of its standard deviation over all texts. */
  readonly tau: number;
  readonly standard_error: number;
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const deviation = (values: readonly number[]): number => Math.sqrt(mean(values.map((x) => (x - mean(values)) ** 2)));

/**
 * Fine-tunes the target on a data set of planted texts and shows what each kind is paid.
 * @param planted - kinds of texts, the best first; their number must be a multiple of `config.innerSteps`
 * @returns rows in the order of `planted`: where τ falls from row to row, the setting ranks texts rightly
 */
export async function oracleCheck(experiment: InnerSetting, planted: readonly PlantedTexts[], seed = 0): Promise<OracleRow[]> {
  const responses = planted.flatMap(({ texts }) => texts.map((text) => textResponse(experiment, text)));
  const reward = metagradientReward(innerTraining(experiment));
  const { values, tuned } = await reward(responses, responses.length, randomStream(seed, 'oracle check'));
  disposeParams(tuned);
  const [centre, unit] = [mean([...values]), deviation([...values])];
  let from = 0;
  return planted.map(({ kind, texts }) => {
    const scaled = [...values.subarray(from, (from += texts.length))].map((x) => (x - centre) / unit);
    return { kind, texts: texts.length, tau: mean(scaled), standard_error: deviation(scaled) / Math.sqrt(texts.length) };
  });
}

/** One inner learning rate: what there is to gain, and how texts are ranked. */
export interface InnerRateRow {
  readonly inner_learning_rate: number;
  /** Φ before fine-tuning, and after plain fine-tuning on the best kind alone. */
  readonly phi_before: number;
  readonly phi_after: number;
  /** Mean τ by kind, see {@link OracleRow}. */
  readonly [tauOfKind: string]: number;
}

async function phiAfter(experiment: InnerSetting, texts: readonly string[]): Promise<number> {
  const responses = texts.map((text) => textResponse(experiment, text));
  const { phi, finalParams } = await plainTraining(innerTraining(experiment), responses);
  disposeParams(finalParams);
  return phi;
}

/** Φ after fine-tuning on the first kind, and the oracle check, at several settings of the fine-tuning. */
export async function compareInnerSettings(
  experiment: InnerSetting,
  planted: readonly PlantedTexts[],
  settings: readonly Pick<ConfigInput, 'innerLearningRate' | 'innerEpsRoot'>[],
): Promise<InnerRateRow[]> {
  const { objective, params } = innerTraining(experiment);
  const before = await valueOf(objective, params);
  const rows: InnerRateRow[] = [];
  for (const setting of settings) {
    const { innerLearningRate: innerLearningRateEnd = experiment.config.innerLearningRateEnd } = setting;
    const changed = { ...experiment, config: { ...experiment.config, ...setting, innerLearningRateEnd }, optimizer: undefined };
    const after = await phiAfter(changed, planted[0].texts);
    const ranking = await oracleCheck(changed, planted);
    rows.push({
      inner_learning_rate: innerLearningRateEnd,
      eps_root: changed.config.innerEpsRoot,
      phi_before: before,
      phi_after: after,
      ...Object.fromEntries(ranking.map(({ kind, tau }) => [`τ ${kind}`, tau])),
    });
  }
  return rows;
}
