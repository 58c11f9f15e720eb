import { expect, it, vi } from 'vitest';
import { comparisonRows } from '../../src/notebook/sweepFigures';

const { stored } = vi.hoisted(() => {
  const row = { method: 'a', seed: 100, curve: [], seconds: 1 };
  const tuning = [-2, -1].map((phi, i) => ({
    ...row,
    stage: 'tuning',
    config: { learningRate: (i + 1) / 1e3 },
    held_out: { phi },
  }));
  return { stored: [...tuning, { ...row, stage: 'reported', seed: 0, config: {}, held_out: { phi: -1 } }] };
});

vi.mock('../../src/runs/results', async (original) => ({ ...(await original<object>()), readResults: () => stored }));

vi.mock('../../src/experiments/sixtySeven', async (original) => {
  const { sixtySevenDefinition: own } = await original<{ sixtySevenDefinition: object }>();
  const config = { prompts: 4, groupSize: 2, promptLength: 4, maxNewTokens: 4, heldOutExamples: 8 };
  const methods = [{ name: 'a', config: {}, learningRates: [1e-3, 2e-3] }];
  const sizes = { examples: 16, tuningExamples: 8, every: 8, seeds: [0, 1] };
  return { sixtySevenDefinition: { ...own, sweep: { ...sizes, config, methods } } };
});

it('are those of data/results', async () => {
  expect(await comparisonRows('sixty-seven')).toEqual(stored);
});

it('are of a short sweep when live, at the learning rates that were tuned', async () => {
  vi.spyOn(console, 'log').mockImplementation(() => {});
  const rows = await comparisonRows('sixty-seven', { live: true });
  expect(rows.slice(0, 2)).toEqual(stored.slice(0, 2));
  const live = rows.slice(2);
  expect(live.map(({ stage, seed, config }) => [stage, seed, config.learningRate])).toEqual([
    ['reported', 0, 2e-3],
    ['reported', 1, 2e-3],
  ]);
  for (const { curve } of live) expect(curve.map(({ examples }) => examples)).toEqual([0, 8]);
});
