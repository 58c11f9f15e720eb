import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exportDataset, exportGenerator } from '../../src/runs/export';
import { createRun } from '../../src/runs/runFolder';
import { runRecord } from '../support/runRows';
import { loadCheckpoint } from '../../src/model/hub/checkpoint';

const record = runRecord({ seed: 1234, learningRate: 2e-4 });
const summary = { experiment: 'tiny', seed: 1234, steps: 0, seconds: 0, held_out: { pixel_accuracy: 0.9875 } };
const purpose = 'a GPT-2 fine-tuned on it shows a QR code in its LM head';

let place: string;
let run: string;
beforeEach(() => {
  place = fs.mkdtempSync(join(tmpdir(), 'export-'));
  run = join(place, 'run');
  const folder = createRun(run, record);
  folder.writeSummary(summary);
  folder.close();
});
afterEach(() => fs.rmSync(place, { recursive: true }));

const read = (path: string): string => fs.readFileSync(join(place, path), 'utf8');
const jsonBlocks = (card: string): unknown[] =>
  [...card.matchAll(/```json\n([\s\S]*?)\n```/g)].map(([, json]) => JSON.parse(json) as unknown);

it('a generator comes back with the same tensors, beside its tokenizer and a card', async () => {
  const generator = loadCheckpoint(join(__dirname, '../fixtures/metagradients'));
  await exportGenerator(join(place, 'qr-generator'), generator, { run, purpose, files: { 'tokenizer.json': '{}' } });
  expect(loadCheckpoint(join(place, 'qr-generator'))).toEqual(generator);
  expect(read('qr-generator/tokenizer.json')).toBe('{}');
  const card = read('qr-generator/README.md');
  expect(card).toMatch(/^---\nlibrary_name: transformers\n/);
  for (const text of ['\n# qr-generator\n', purpose, 'Seed 1234', '2 layers, width 24']) expect(card).toContain(text);
  expect(jsonBlocks(card)).toEqual([summary, record.config, record.environment]);
});

it('says so when the run has not ended', async () => {
  fs.rmSync(join(run, 'summary.json'));
  await exportDataset(join(place, 'data'), [{ text: 'a' }], { run, purpose });
  expect(read('data/README.md')).toContain('it has no summary');
});

it('a data set is one JSON object a line, with a card that points to it', async () => {
  const rows = [
    { text: 'two\nlines', reward: 1e-9 },
    { text: '"λ"', reward: -1 },
  ];
  await exportDataset(join(place, 'qr-data'), rows, { run, purpose });
  const lines = read('qr-data/data/train.jsonl').split('\n');
  expect(lines.pop()).toBe('');
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(rows);
  const card = read('qr-data/README.md');
  expect(card).toMatch(
    /^---\nconfigs:\n- config_name: default\n {2}data_files:\n {2}- split: train\n {4}path: data\/train\.jsonl\n/,
  );
  expect(card).toContain('2 synthetic examples (columns: text, reward)');
  await expect(exportDataset(join(place, 'none'), [], { run, purpose })).rejects.toThrow(/no rows/);
  await expect(exportDataset(join(place, 'none'), rows, { run: place, purpose })).rejects.toThrow(/holds no run/);
});
