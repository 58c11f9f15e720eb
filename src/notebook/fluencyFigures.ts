/** What a result costs in fluency, drawn from recorded runs. */
import { readResults, resultsFile, type ResultRow } from '../runs/results';
import { lineChart, type Series } from './charts';
import type { Figure } from './figure';

/** The runs of `data/results/EXPERIMENT-fluency.jsonl`: one a setting and seed; `method` names the lever. */
export const fluencyRuns = (experiment: string): ResultRow[] => readResults(resultsFile(`${experiment}-fluency`));

const RATIO = 'evaluator_perplexity_ratio';

/** A point a run, which no line connects: there is a gap after each. */
const points = (name: string, rows: readonly ResultRow[], measure: string): Series => ({
  name,
  x: rows.flatMap(({ held_out }) => [held_out[RATIO], held_out[RATIO]]),
  y: rows.flatMap(({ held_out }) => [held_out[measure], NaN]),
});

/**
 * Share of right pixels against perplexity under the evaluator relative to untrained text, a point a run, a colour a lever.
 * @param rows - of {@link fluencyRuns}
 * @param measure - a key of `held_out`, by default `pixel_accuracy`
 */
export function tradeOff(
  rows: readonly ResultRow[],
  title: string,
  measure = 'pixel_accuracy',
  yTitle = 'share of right pixels',
): Figure {
  const levers = [...new Set(rows.map(({ method }) => method))];
  return lineChart({
    series: levers.map((lever) => points(lever, rows.filter(({ method }) => method === lever), measure)), // prettier-ignore
    title,
    xTitle: 'evaluator’s perplexity ÷ untrained',
    yTitle,
    logX: true,
    caption: 'Held-out prompts, one point a run; 1 is text as the untrained generator writes it, to a model that took no part.',
  });
}
