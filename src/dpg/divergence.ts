/** Signs that a run leaves what it can come back from, said while it runs: a KL or a gradient far above what they were. */
import type { MetricsRow } from './train';

/** Steps that say what is usual, and how many of them there have to be. */
const WINDOW = 20;
const FEWEST = 5;
/** So many times the usual. */
const FAR = { kl: 5, grad_norm: 100 } as const;
/** Steps in a row that have to be far: a single one comes in runs that go well, and is cut off by `maxGradientNorm`. */
const PATIENCE = 3;
/** Nats per token below which a KL is no cause for alarm, however small it was. */
const KL_FLOOR = 0.5;

const ADVICE = {
  kl: 'the text leaves what the generator was trained on: lower learningRate or raise klCoef',
  grad_norm: 'the updates have lost their scale: lower learningRate or advantageClip',
} as const;

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** A function of the rows of a run, in order: a sentence at the step at which a number stays far above its usual size. */
export function divergenceWatch(): (row: MetricsRow) => string | undefined {
  const seen: MetricsRow[] = [];
  const far = { kl: 0, grad_norm: 0 }; // steps in a row
  const check = (row: MetricsRow, key: keyof typeof FAR): string | undefined => {
    const usual = median(seen.map((each) => each[key]));
    const is = row[key] > FAR[key] * usual && (key !== 'kl' || row.kl > KL_FLOOR);
    far[key] = is ? far[key] + 1 : 0;
    if (far[key] !== PATIENCE) return undefined;
    const size = `${key} ${row[key].toPrecision(3)} is ${Math.round(row[key] / usual)} times its median of the last ${seen.length} steps`;
    return `step ${row.step}: ${size}; ${ADVICE[key]}`;
  };
  return (row) => {
    const sentences = seen.length < FEWEST ? [] : (['kl', 'grad_norm'] as const).map((key) => check(row, key));
    seen.push(row);
    if (seen.length > WINDOW) seen.shift();
    return sentences.filter((each) => each !== undefined).join('\n') || undefined;
  };
}
