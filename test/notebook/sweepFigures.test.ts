import { describe, expect, it } from 'vitest';
import type { ResultRow } from '../../src/runs/results';
import { methodColor } from '../../src/notebook/color';
import type { LineTrace } from '../../src/notebook/figure';
import { comparisonChart, comparisonTable, describeComparison, methodLabel, tuningTable } from '../../src/notebook/sweepFigures';
import { resultRow } from '../support/resultRow';

/** Reported rows of a method, one per Φ. */
const runs = (method: string, ...phis: number[]): ResultRow[] =>
  phis.map((phi, seed) => {
    const curve = [0, 10].map((examples) => ({ examples, phi: (phi * examples) / 10, words: 0.5 }));
    return resultRow({ method, seed, held_out: { phi, words: 0.5 }, curve });
  });

const rows = [...runs('adamw', -3, -1), ...runs('token-credit', -0.9, -0.5), ...runs('naive', -4, -3.5), ...runs('sgd', -5, -2)];

describe('the comparison chart', () => {
  const options = { title: 't', measure: 'phi', yTitle: 'Φ' };

  it('draws mean and extremes over the seeds, in the colour of the method', () => {
    const { data } = comparisonChart(rows, { ...options, methods: ['adamw', 'token-credit'] });
    const traces = data as LineTrace[];
    expect(traces.map(({ y }) => y)).toEqual([[0, -3], [0, -1], [0, -2], [0, -0.9], [0, -0.5], [0, -0.7]]); // prettier-ignore
    expect(traces.every(({ x }) => JSON.stringify(x) === '[0,10]')).toBe(true);
    expect(traces.filter(({ showlegend }) => showlegend).map(({ name }) => name)).toEqual(['adamw', 'token credit (ours)']);
    expect(traces[2].line.color).toBe(methodColor('adamw'));
    expect(traces[5].line.color).toBe(methodColor('token credit (ours)'));
  });

  it('says which seeds it is made of', () => {
    const caption = (which: readonly ResultRow[]): string =>
      comparisonChart(which, { ...options, note: 'Held out.' }).layout.annotations[0].text.replaceAll('<br>', ' ');
    expect(caption(rows)).toBe('Lines: mean; bands: lowest to highest of seeds 0, 1. Held out.');
    expect(caption([...rows, ...runs('off', -1)])).toContain('naive: 0, 1; sgd: 0, 1; off: 0.');
    expect(caption([...runs('adamw', -1), ...runs('sgd', -2)])).toBe('One run each, seed 0. Held out.');
  });

  it('of no rows is empty', () => {
    expect(comparisonChart([], options).data).toEqual([]);
  });
});

describe('tables', () => {
  it('hold mean and range of the measures that there are', () => {
    const table = comparisonTable(rows, { phi: 'Φ', nothing: 'no' }, ['adamw']);
    expect(table).toEqual([{ method: 'adamw', seeds: 2, Φ: -2, 'Φ, range': '−3 … −1' }]);
    expect(comparisonTable(runs('adamw', -1), { phi: 'Φ' })).toEqual([{ method: 'adamw', seeds: 1, Φ: -1 }]);
    expect(comparisonTable([...rows, ...runs('off', -1)], { phi: 'Φ' }, ['adamw', 'off'])[1]).toHaveProperty('Φ, range');
  });

  it('of tuning say which learning rate won, and whether it lies at the edge', () => {
    const tuning = (method: string, phis: number[]): ResultRow[] =>
      phis.map((phi, i) =>
        resultRow({ stage: 'tuning', method, config: { learningRate: i + 1 }, held_out: { phi, words: 0.5 - phi / 10 } }),
      );
    const words = 'words at it';
    expect(tuningTable([...rows, ...tuning('adamw', [-3, -1, -2]), ...tuning('sgd', [-2, -1])])).toEqual([
      { method: 'adamw', 'Φ at 1': -3, 'Φ at 2': -1, 'Φ at 3': -2, chosen: 2, [words]: 0.6, 'at the edge': 'no' },
      { method: 'sgd', 'Φ at 1': -2, 'Φ at 2': -1, 'Φ at 3': null, chosen: 2, [words]: 0.6, 'at the edge': 'yes' },
    ]);
  });
});

describe('sentences', () => {
  it('call better or worse only what every seed shows', () => {
    expect(describeComparison(rows)).toBe(
      'Φ on held-out prompts, adamw: −2 (−3 … −1). Every seed above all of its seeds: token credit (ours). ' +
        'Every seed below: naive. Ranges overlap, so that these seeds decide nothing: sgd.',
    );
    expect(describeComparison(rows, ['naive', 'token-credit'])).toMatch(
      /, naive: .*: token credit \(ours\)\. Every seed below: none\./,
    );
  });

  it('are of another measure and against another method when asked', () => {
    const words = { measure: 'words', name: 'words', reference: 'naive' };
    expect(describeComparison(rows, ['adamw', 'naive'], words)).toMatch(
      /^words on held-out prompts, naive: 0\.5 .*nothing: adamw\.$/,
    );
  });

  it('tell norms apart that differ in the fourth digit', () => {
    expect(describeComparison(runs('adamw', -11.7508, -11.7497))).toContain('adamw: −11.75 (−11.751 … −11.75).');
  });

  it('are none without runs', () => expect(describeComparison([])).toBe('There are no reported runs.'));

  it('name methods in words', () => expect(methodLabel('cross-group-off')).toBe('cross group off'));
});
