import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/dpg/config';
import { qrCodeDefinition } from '../../src/experiments/qrCode';
import {
  curveSpread,
  heldOutSpread,
  readResults,
  reportedMethods,
  reportedRuns,
  resultOfRun,
  saveResult,
  tunedLearningRate,
} from '../../src/runs/results';
import { createRun } from '../../src/runs/runFolder';
import { metricsRow, runRecord } from '../support/runRows';
import { resultRow } from '../support/resultRow';

let folder: string;
beforeEach(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'dpg-results-'))));
afterEach(() => fs.rmSync(folder, { recursive: true }));

describe('a file of rows', () => {
  const file = (): string => path.join(folder, 'new', 'rows.jsonl');

  it('holds one line a run, and a run that is done again replaces its own', () => {
    expect(readResults(file())).toEqual([]);
    const tuning = [1e-3, 1e-2].map((learningRate) => resultRow({ stage: 'tuning', config: { learningRate } }));
    const reported = [0, 1].map((seed) => resultRow({ seed }));
    for (const row of [...tuning, ...reported]) saveResult(file(), row);
    saveResult(file(), { ...reported[0], seconds: 9 });
    saveResult(file(), { ...tuning[1], seconds: 8 });
    expect(readResults(file())).toEqual([tuning[0], { ...tuning[1], seconds: 8 }, { ...reported[0], seconds: 9 }, reported[1]]);
    expect(fs.readFileSync(file(), 'utf8').split('\n')).toHaveLength(5);
    expect(fs.readdirSync(path.dirname(file()))).toEqual(['rows.jsonl']);
  });

  it('keeps six digits', () => {
    saveResult(file(), resultRow({ seconds: 1 / 3, seed: 2 ** 31 - 1 }));
    expect(readResults(file())[0].seconds).toBe(0.333333);
  });

  it('names the line that is broken', () => {
    saveResult(file(), resultRow());
    fs.appendFileSync(file(), '{"stage":');
    expect(() => readResults(file())).toThrow(/rows\.jsonl: line 2/);
  });
});

describe('what rows say', () => {
  const rows = [
    ...[-0.5, -0.1, -0.3].map((phi, i) => resultRow({ stage: 'tuning', config: { learningRate: i + 1 }, held_out: { phi } })),
    resultRow({ method: 'other', stage: 'tuning', config: { learningRate: 9 }, held_out: { phi: 0 } }),
    resultRow({ seed: 0, held_out: { phi: -3 }, curve: [1, 2, 3].map((x) => ({ examples: x, phi: x })) }),
    resultRow({ seed: 1, held_out: { phi: -1 }, curve: [1, 3].map((x) => ({ examples: x, phi: 5 * x })) }),
  ];

  it('the best learning rate is the method’s own with the highest Φ', () => {
    expect(tunedLearningRate(rows, 'adamw')).toBe(2);
    expect(() => tunedLearningRate(rows, 'sgd')).toThrow(/"sgd" is not tuned/);
  });

  it('the best learning rate leaves enough words in the vocabulary, if any does', () => {
    const tuned = [0.9, 0.6, 0.2].map((words, i) =>
      resultRow({ stage: 'tuning', config: { learningRate: i + 1 }, held_out: { phi: i, words } }),
    );
    expect([0, 0.5, 0.7, 0.95].map((minWords) => tunedLearningRate(tuned, 'adamw', minWords))).toEqual([3, 2, 1, 3]);
  });

  it('mean and extremes of the reported seeds, where every seed was measured', () => {
    expect(heldOutSpread(rows, 'adamw', 'phi')).toEqual({ mean: -2, low: -3, high: -1 });
    expect(curveSpread(rows, 'adamw', 'phi')).toEqual([
      { examples: 1, mean: 3, low: 1, high: 5 },
      { examples: 3, mean: 9, low: 3, high: 15 },
    ]);
    expect(reportedMethods(rows)).toEqual(['adamw']);
    expect(() => reportedRuns(rows, 'other')).toThrow(/"other"; methods with rows: adamw, other/);
  });
});

describe('a row of a run folder', () => {
  const defaults = parseConfig(qrCodeDefinition, { steps: 10 });

  function finishedRun(steps: number, held_out?: Record<string, number>): string {
    const config = { experiment: 'qr-code', ...defaults, seed: 4, prompts: 5, groupSize: 2, workers: 1 };
    const run = createRun(path.join(folder, `run-${steps}`), { ...runRecord(), config });
    for (let step = 1; step <= steps; step++)
      run.appendMetrics(metricsRow(step, { phi: -1 / step, pixel_accuracy: step / steps, entropy: 3, seconds: 2 }));
    if (held_out) run.writeSummary({ experiment: 'qr-code', seed: 4, steps, seconds: 2 * steps, held_out });
    run.close();
    return run.path;
  }

  it('holds its last step and at most 60 others, its held-out result, and the keys that are not the default', () => {
    const held_out = { phi: -0.25, pixel_accuracy: 0.75 };
    const row = resultOfRun(finishedRun(150, held_out), 'wide', defaults);
    expect(row).toMatchObject({ stage: 'reported', method: 'wide', seed: 4, held_out, seconds: 300 });
    expect(row.config).toEqual({ prompts: 5, groupSize: 2 });
    expect(row.curve.length).toBeLessThanOrEqual(60);
    expect(row.curve.length).toBeGreaterThan(40);
    expect(row.curve.at(-1)).toEqual({ examples: 1500, phi: -1 / 150, pixel_accuracy: 1 });
    for (const { examples, phi } of row.curve) expect(phi).toBeCloseTo(-10 / examples, 12);
  });

  it('is not made of a run that has not ended', () => {
    expect(() => resultOfRun(finishedRun(2), 'wide', defaults)).toThrow(/has not ended/);
  });
});
