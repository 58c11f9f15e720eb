/** What an experiment measures of itself, as people read it: in the terminal, in curves and in reports. */

type Row = Readonly<Record<string, number>>;

/** A measure's name, whether it is a share, and what else it counts in. */
interface Measure {
  readonly name: string;
  readonly share?: true;
  readonly unit?: string;
}

/** Those of the built-in experiments; another goes by its key. */
const MEASURES: Readonly<Record<string, Measure>> = {
  pixel_accuracy: { name: 'pixels', share: true },
  language_share: { name: 'language', share: true },
  kept_details: { name: 'details', share: true },
  exact: { name: 'exact', share: true },
  norm: { name: '‖W‖' },
  norm_change: { name: '‖W‖ − ‖W₀‖' },
  edit_distance: { name: 'edit distance', unit: 'characters' },
  right_characters: { name: 'characters in their place', unit: 'characters' },
  one_language: { name: 'in one language', share: true },
  words: { name: 'words', share: true },
  distinct_2: { name: 'distinct-2', share: true },
  self_bleu: { name: 'self-BLEU-2', share: true },
  kl: { name: 'KL a token' },
  perplexity_ratio: { name: 'perplexity ÷ untrained' },
  evaluator_perplexity: { name: 'evaluator’s perplexity' },
  evaluator_perplexity_ratio: { name: 'evaluator’s perplexity ÷ untrained' },
  uuid_probability: { name: 'target’s probability', unit: 'probability' },
};

/** Columns that an experiment's `observe` gave to a row of metrics.jsonl: those between Φ and the rewards, in its own order. */
export function measuresOf(row: Row): string[] {
  const keys = Object.keys(row);
  const end = keys.findIndex((key) => key.startsWith('reward'));
  return keys.slice(keys.indexOf('phi') + 1, end < 0 ? undefined : end);
}

/** The name of a column for people. */
export const measureName = (key: string): string => MEASURES[key]?.name ?? key.replaceAll('_', ' ');

/** What an axis of a measure counts in: its unit, or the measure itself where it has none. */
export const measureUnit = (key: string): string => (MEASURES[key]?.share ? 'share' : (MEASURES[key]?.unit ?? measureName(key)));

/** A value of a measure for people: shares in percent, others with four digits. */
export const formatMeasure = (key: string, value: number): string =>
  MEASURES[key]?.share ? `${(100 * value).toFixed(1)} %` : String(Number(value.toPrecision(4))).replace('-', '−');
