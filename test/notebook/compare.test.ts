import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createRun } from '../../src/runs/runFolder';
import { metricsRow, runRecord } from '../support/runRows';
import { compare } from '../../src/notebook/runFigures';

let place: string;
beforeEach(() => {
  place = fs.mkdtempSync(path.join(os.tmpdir(), 'dpg-compare-'));
});
afterEach(() => fs.rmSync(place, { recursive: true }));

/** A run folder with these values of Φ. */
function runOf(name: string, phis: readonly number[], config: object = {}): string {
  const run = createRun(path.join(place, name), runRecord({ ...config }));
  phis.forEach((phi, i) => run.appendMetrics(metricsRow(i + 1, { phi, pixel_accuracy: phi / 10 })));
  run.close();
  return run.path;
}

const namesOf = (...runs: readonly string[]): string[] =>
  compare(runs).data.map((trace) => ('name' in trace ? String(trace.name) : ''));

test('two runs, or folders, or a list of them, stand on one axis', () => {
  const [a, b] = [runOf('a', [1, 2, 3]), runOf('b', [2, 4])];
  const figure = compare({ folder: { path: a } }, b);
  expect(figure.data).toMatchObject([
    { name: 'a', x: [1, 2, 3], y: [1, 2, 3] },
    { name: 'b', x: [1, 2], y: [2, 4] },
  ]);
  expect(compare([a, { folder: { path: b } }])).toEqual(figure);
  expect(compare(a, b, 'pixel_accuracy')).toEqual(compare([a, b], 'pixel_accuracy'));
  expect(compare(a, b, 'pixel_accuracy').data[1]).toMatchObject({ y: [0.2, 0.4] });
});

test('runs are labelled by the settings in which they differ', () => {
  const first = runOf('sixty-seven-seed0-2026-11-27T100000', [1], { seed: 0, learningRate: 1e-3, steps: 5 });
  const second = runOf('sixty-seven-seed0-2026-11-27T110000', [2], { seed: 0, learningRate: 2e-4, steps: 5 });
  const third = runOf('sixty-seven-seed1-2026-11-27T120000', [3], { seed: 1, learningRate: 2e-4, steps: 5 });
  expect(namesOf(first, second)).toEqual(['learningRate 0.001', 'learningRate 0.0002']);
  expect(namesOf(second, third)).toEqual(['seed 0', 'seed 1']);
  const twin = runOf('twin', [4], { seed: 1, learningRate: 2e-4, steps: 5 });
  expect(namesOf(first, third, twin)).toEqual([
    'seed 0, learningRate 0.001',
    'seed 1, learningRate 0.… (2)', // the name of its folder is cut off
    'seed 1, learningRate 0.… (3)',
  ]);
});

test('runs with the same settings are called by their names, those of the same name by their folders', () => {
  const [first, second] = [runOf('x/seed0', [1]), runOf('y/seed0', [2])];
  expect(new Set(namesOf(first, second)).size).toBe(2);
  expect(namesOf(first, runOf('other', [2]))).toEqual(['seed0', 'other']);
});

test('a folder without a run, and an unknown column, are named', () => {
  const a = runOf('a', [1]);
  expect(() => compare(a, path.join(place, 'none'))).toThrow(/none holds no run/);
  expect(() => compare(a, a, 'entropyy')).toThrow(/a has no column "entropyy"; there are step, phi, reward/);
});
