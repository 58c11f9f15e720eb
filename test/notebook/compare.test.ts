import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { compare } from '../../src/notebook/runFigures';

let place: string;
beforeEach(() => {
  place = fs.mkdtempSync(path.join(os.tmpdir(), 'dpg-compare-'));
});
afterEach(() => fs.rmSync(place, { recursive: true }));

/** A run folder with these values of Φ. */
function runOf(name: string, phis: readonly number[]): string {
  const folder = path.join(place, name);
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, 'config.json'), '{}');
  const rows = phis.map((phi, i) => JSON.stringify({ step: i + 1, phi, pixel_accuracy: phi / 10 }) + '\n');
  fs.writeFileSync(path.join(folder, 'metrics.jsonl'), rows.join(''));
  return folder;
}

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

test('runs of the same name are told apart', () => {
  const names = compare(runOf('x/seed0', [1]), runOf('y/seed0', [2])).data.map((trace) => ('name' in trace ? trace.name : ''));
  expect(new Set(names).size).toBe(2);
});

test('a folder without a run, and an unknown column, are named', () => {
  const a = runOf('a', [1]);
  expect(() => compare(a, path.join(place, 'none'))).toThrow(/none holds no run/);
  expect(() => compare(a, a, 'entropyy')).toThrow(/a has no column "entropyy"; there are step, phi, pixel_accuracy/);
});
