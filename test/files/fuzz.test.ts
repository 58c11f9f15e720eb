/**
 * Mutated files of every kind that is read as JSON: each is read, or refused in one sentence, in seconds and without much memory.
 * `npm test` runs a sample; `DPG_FUZZ=10000` runs that many. The mutations are seeded: a failure names its number.
 */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readNotebook } from '../../src/cli/notebook/document';
import { loadCheckpoint } from '../../src/model/hub/checkpoint';
import { readMetrics, readRun } from '../../src/runs/runFolder';
import { randomStream, type RandomStream } from '../../src/tensor/random';
import { loadTokenizer } from '../../src/text/tokenizer';
import { writeGpt2Folder } from '../support/pretrainedFolders';

const COUNT = Number(process.env.DPG_FUZZ ?? 900);
const place = fs.mkdtempSync(join(tmpdir(), 'fuzz-'));
const INDEX = 'model.safetensors.index.json';

const RUN = {
  config: { experiment: 'x', seed: 1, steps: 2 },
  environment: { version: '1', commit: null, node: '20', tfjs: '4', backend: 'cpu', engine: 'fused', seed: 1 },
};
const ROW = Object.fromEntries(
  ['phi', 'reward', 'reward_std', 'frac_reward_zero_std', 'entropy', 'kl', 'clip_ratio/region_mean', 'grad_norm', 'seconds',
   'completions/mean_length', 'target_loss_first', 'target_loss_last'].map((key, i) => [key, i / 3]),
); // prettier-ignore
const NOTEBOOK = {
  nbformat: 4,
  nbformat_minor: 5,
  metadata: {},
  cells: [
    { cell_type: 'markdown', id: 'a', metadata: {}, source: ['# Title\n', 'text'] },
    { cell_type: 'code', id: 'b', metadata: { tags: ['parameters'] }, source: 'let a = 1;', outputs: [], execution_count: null },
  ],
};

/** How a file of each kind is read. */
const KINDS: [file: string, read: () => unknown][] = [
  ['config.json', () => loadCheckpoint(place)],
  ['tokenizer.json', () => loadTokenizer(place).encode('A text, 12.')],
  [INDEX, () => loadCheckpoint(place)],
  ['notebook.ipynb', () => readNotebook(join(place, 'notebook.ipynb'))],
  ['run/config.json', () => readRun(join(place, 'run'))],
  ['run/metrics.jsonl', () => readMetrics(join(place, 'run'))],
];

const ABSURD = [
  '1e9',
  '-1',
  '1e308',
  'null',
  '[]',
  '{}',
  '""',
  'true',
  '0.5',
  '"\\u001b[31m"',
  `"${'x'.repeat(1e5)}"`,
  '[[[[1]]]]',
];

/** One to three of: other values, bytes, cuts, repetitions. */
function mutated(text: string, random: RandomStream): string {
  const at = (length: number): number => Math.floor(random.uniform() * length);
  for (let n = 1 + at(3); n > 0; n--) {
    const [from, kind] = [at(text.length), at(6)];
    const values = [...text.matchAll(/(?<=[:[,]\s*)("(?:[^"\\]|\\.)*"|-?\d[\d.e+-]*|null|true|false)/g)];
    const value = values[at(values.length)];
    if (kind < 2 && value)
      text = text.slice(0, value.index) + ABSURD[at(ABSURD.length)] + text.slice(value.index + value[0].length);
    else if (kind === 2) text = text.slice(0, from);
    else if (kind === 3) text = text.slice(0, from) + String.fromCharCode(at(300)) + text.slice(from + 1);
    else if (kind === 4) text = text.slice(0, from) + text.slice(from + at(40));
    else text = text.slice(0, from) + text.slice(at(from), from + at(200)) + text.slice(from);
  }
  return text;
}

const originals = new Map<string, string>();
beforeAll(() => {
  writeGpt2Folder(place);
  fs.mkdirSync(join(place, 'run', 'checkpoints'), { recursive: true });
  fs.writeFileSync(join(place, 'notebook.ipynb'), JSON.stringify(NOTEBOOK));
  fs.writeFileSync(join(place, 'run', 'config.json'), JSON.stringify(RUN));
  fs.writeFileSync(
    join(place, 'run', 'metrics.jsonl'),
    [1, 2, 3].map((step) => `${JSON.stringify({ step, ...ROW })}\n`).join(''),
  );
  for (const [file] of KINDS) originals.set(file, fs.readFileSync(join(place, file), 'utf8'));
});
afterAll(() => fs.rmSync(place, { recursive: true }));

test.each(KINDS)('%s', { timeout: 60_000 + 100 * COUNT }, (file, read) => {
  read(); // as it is
  const before = process.memoryUsage().rss;
  let refused = 0;
  const count = Math.ceil(COUNT / KINDS.length);
  for (let i = 0; i < count; i++) {
    fs.writeFileSync(join(place, file), mutated(originals.get(file)!, randomStream(i, file)));
    const started = performance.now();
    try {
      read();
    } catch (error) {
      refused++;
      const { name, message } = error as Error;
      expect(['Error', 'RangeError', 'SafetensorsError', 'UsageError'], `${i}: ${name}: ${message}`).toContain(name);
      expect(message, String(i)).not.toContain('\n');
      expect(message, String(i)).not.toContain('\u001b');
      expect(message.length, `${i}: ${message}`).toBeLessThan(1000);
    }
    expect(performance.now() - started, String(i)).toBeLessThan(5000);
    expect(process.memoryUsage().rss - before, String(i)).toBeLessThan(1e9);
  }
  fs.writeFileSync(join(place, file), originals.get(file)!);
  expect(refused).toBeGreaterThan(count / 4);
});
