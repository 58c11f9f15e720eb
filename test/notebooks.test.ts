/** The committed notebooks: what they hold, and that they run from top to bottom. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasTag, readNotebook, sourceHash, type Output } from '../src/cli/notebook/document';
import { build, dpg, ROOT } from './cli/dpg';

const FOLDER = path.join(ROOT, 'notebooks');
const NOTEBOOKS = fs.readdirSync(FOLDER).filter((name) => name.endsWith('.ipynb'));
/** Pixels of a notebook's picture, and how many of them are right on held-out prompts after its quick run. */
const QUICK_PIXELS: Readonly<Record<string, { pixels: number; correct: number }>> = {
  '01-qr-code.ipynb': { pixels: 441, correct: 265 }, // by chance 220.5 ± 10.5
  '02-sixty-seven.ipynb': { pixels: 42, correct: 29 }, // by chance 21 ± 3.2
};

/** What makes a quick run smaller still, where running is all that it has to show. */
const SMALLER: Readonly<Record<string, readonly string[]>> = {
  '03-l2-norm.ipynb': ['-p', 'prompts=8'],
  '04-rephrase.ipynb': ['-p', 'groupSize=4'],
  '05-uuid.ipynb': ['-p', 'groupSize=4'],
};

/** tslab writes errors to stderr; Jupyter's own error outputs count too. */
const isComplaint = (output: Output): boolean =>
  output.output_type === 'stream' ? output.name === 'stderr' : output.output_type !== 'display_data';

describe.each(NOTEBOOKS)('%s as committed', (name) => {
  const file = path.join(FOLDER, name);
  const code = readNotebook(file).cells.filter((cell) => cell.cell_type === 'code');
  const outputs = code.flatMap((cell) => cell.outputs ?? []);

  it('is of a size that is read on the web', () => {
    expect(fs.statSync(file).size).toBeLessThanOrEqual(400_000);
  });

  it('has a parameters cell with quick and out', () => {
    const { source } = code.find((cell) => hasTag(cell, 'parameters'))!;
    expect(source).toMatch(/^let quick = false;/m);
    expect(source).toMatch(/^let out = '';/m);
  });

  it('has outputs of one whole run of its own sources, if any', () => {
    if (outputs.length === 0) return expect(code.every((cell) => !cell.execution_count)).toBe(true);
    const { metadata } = readNotebook(file);
    expect(metadata.dpg?.source_hash).toBe(sourceHash(readNotebook(file)));
    expect(code.map((cell) => cell.execution_count)).toEqual(code.map((_, i) => i + 1));
  });

  it('has no errors and no folders of a machine in its outputs', () => {
    expect(outputs.filter(isComplaint)).toEqual([]);
    expect(JSON.stringify(outputs)).not.toMatch(/\/(root|tmp|home|work|Users)\//);
  });
});

let folder: string;
beforeAll(() => {
  build();
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'dpg-notebooks-'));
}, 120_000);
afterAll(() => fs.rmSync(folder, { recursive: true }));

/** Files of this name in a run folder, or in the run folders of a folder. */
const filesNamed = (name: string, out: string): string[] =>
  fs.readdirSync(out, { recursive: true, encoding: 'utf8' }).filter((file) => path.basename(file) === name);

interface Summary {
  readonly held_out: { readonly pixel_accuracy: number };
  readonly steps: number;
}

describe.each(NOTEBOOKS)('%s in a hurry', { timeout: 240_000 }, (name) => {
  it('runs without an error, and leaves metrics and a summary where it trains', async () => {
    const out = path.join(folder, name.replace('.ipynb', ''));
    const executed = path.join(folder, name);
    const parameters = ['-p', 'quick=true', '-p', `out=${out}`, ...(SMALLER[name] ?? [])];
    const run = dpg('notebook', path.join(FOLDER, name), '--quiet', '-o', executed, ...parameters);
    const code = await run.exit;
    expect(run.stderr()).toBe('');
    expect(code).toBe(0);

    const outputs = readNotebook(executed).cells.flatMap((cell) => cell.outputs ?? []);
    expect(outputs.filter(isComplaint)).toEqual([]);
    expect(outputs.length).toBeGreaterThan(0);

    const logs = fs.existsSync(out) ? filesNamed('metrics.jsonl', out) : [];
    expect(logs.length > 0).toBe(readNotebook(executed).cells.some(({ source }) => source.includes('dpg.record(')));
    for (const log of logs) {
      const rows = fs.readFileSync(path.join(out, log), 'utf8').trim().split('\n');
      const steps = rows.map((row) => JSON.parse(row) as { step: number; phi: number });
      expect(steps.map(({ step }) => step)).toEqual(steps.map((_, i) => i + 1));
      expect(steps.every(({ phi }) => Number.isFinite(phi))).toBe(true);
      expect(filesNamed('summary.json', out)).toContain(path.join(path.dirname(log), 'summary.json'));
      expect(fs.readdirSync(path.join(out, path.dirname(log), 'figures'))).toContain('phi.svg');
    }
    if (!(name in QUICK_PIXELS)) return;
    const summary = JSON.parse(fs.readFileSync(path.join(out, 'summary.json'), 'utf8')) as Summary;
    expect(summary.steps).toBe(fs.readFileSync(path.join(out, 'metrics.jsonl'), 'utf8').trim().split('\n').length);
    const { pixels, correct } = QUICK_PIXELS[name];
    expect(Math.round(summary.held_out.pixel_accuracy * pixels)).toBeGreaterThanOrEqual(correct);
  });
});
