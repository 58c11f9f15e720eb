import { expect, it } from 'vitest';
import type { LineTrace } from '../../src/notebook/figure';
import { tradeOff } from '../../src/notebook/fluencyFigures';
import { toSvg } from '../../src/notebook/svg';
import { resultRow } from '../support/resultRow';

const run = (method: string, pixel_accuracy: number, evaluator_perplexity_ratio: number) =>
  resultRow({ method, held_out: { phi: -1, pixel_accuracy, evaluator_perplexity_ratio } });

it('draws a point a run, in one colour a lever, and no line between them', () => {
  const figure = tradeOff([run('free', 1, 5.2), run('support', 0.95, 1.4), run('free', 0.9, 2.5)], '67');
  const traces = figure.data as LineTrace[];
  expect(traces.map(({ name }) => name)).toEqual(['free', 'support']);
  expect(traces.map(({ x, y }) => [x, y])).toEqual([
    [[5.2, 5.2, 2.5, 2.5], [1, null, 0.9, null]], // prettier-ignore
    [[1.4, 1.4], [0.95, null]], // prettier-ignore
  ]);
  expect(traces[0].line.color).not.toBe(traces[1].line.color);
  const lines = [...toSvg(figure).matchAll(/<path d="([^"]*)" fill="none" stroke="[^"]*" stroke-width="2"/g)].map(([, d]) => d);
  expect(lines.join('')).not.toContain('L'); // every path is a single point
});
