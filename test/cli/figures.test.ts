import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { UsageError } from '../../src/cli/command';
import { run } from '../../src/cli/figures';
import { parseConfig } from '../../src/dpg/config';
import { qrCodeDefinition } from '../../src/experiments/qrCode';
import { readResults, type ResultRow } from '../../src/runs/results';
import { createRun } from '../../src/runs/runFolder';
import { metricsRow, runRecord } from '../support/runRows';

vi.mock('../../src/experiments/sixtySeven', async (original) => {
  const { sixtySevenDefinition: own } = await original<{ sixtySevenDefinition: object }>();
  const config = { prompts: 4, groupSize: 2, promptLength: 4, maxNewTokens: 4, heldOutExamples: 8 };
  const methods = ['a', 'b'].map((name) => ({ name, config: {}, learningRates: [1e-3, 2e-3] }));
  const sizes = { examples: 8, tuningExamples: 8, every: 8 };
  return { sixtySevenDefinition: { ...own, sweep: { ...sizes, seeds: [0, 1], config, methods } } };
});

let folder: string;
let out: string;
let printed: string[];
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'dpg-figures-'));
  out = path.join(folder, 'rows.jsonl');
  printed = [];
  vi.spyOn(console, 'log').mockImplementation((line: string) => void printed.push(line));
});
afterEach(() => {
  vi.restoreAllMocks();
  fs.rmSync(folder, { recursive: true });
});

const figures = (...args: string[]): Promise<number> => run([...args, '--workers', '1', '--out', out]);
const names = (): string[] => readResults(out).map(({ stage, method, seed }: ResultRow) => `${stage} ${method} ${seed}`);

describe('dpg figures', () => {
  it('writes a row a run, and goes on where it was stopped', async () => {
    expect(await figures('sixty-seven', '--tune')).toBe(0);
    const tuned = ['tuning a 100', 'tuning a 100', 'tuning b 100', 'tuning b 100'];
    expect(names()).toEqual(tuned);
    await figures('sixty-seven', '--only', 'b', '--seeds', '5');
    expect(names()).toEqual([...tuned, 'reported b 5']);
    await figures('sixty-seven');
    expect(names().slice(5)).toEqual(['reported a 0', 'reported a 1', 'reported b 0', 'reported b 1']);
    expect(printed).toHaveLength(9);
    expect(printed[4]).toMatch(/^reported b seed 5 learningRate 0\.00[12]: phi -\d\.\d+ {2}pixel_accuracy [\d.]+ {2}words/);
  });

  it('does nothing twice unless forced', async () => {
    await figures('sixty-seven', '--only', 'a', '--seeds', '0');
    const before = fs.readFileSync(out, 'utf8');
    await figures('sixty-seven', '--only', 'a', '--seeds', '0');
    expect(printed).toHaveLength(3);
    expect(fs.readFileSync(out, 'utf8')).toBe(before);
    await figures('sixty-seven', '--only', 'a', '--seeds', '0', '--force');
    expect(printed).toHaveLength(6);
    expect(names()).toEqual(['tuning a 100', 'tuning a 100', 'reported a 0']);
  });

  it('adds a row from a run folder, of any experiment', async () => {
    const config = { experiment: 'qr-code', ...parseConfig(qrCodeDefinition, { prompts: 32, groupSize: 8 }), seed: 3 };
    const held_out = { phi: -0.5, pixel_accuracy: 0.8 };
    const recorded = createRun(path.join(folder, 'run'), { ...runRecord(), config });
    recorded.appendMetrics(metricsRow(1, { phi: -0.6, pixel_accuracy: 0.7 }));
    recorded.writeSummary({ experiment: 'qr-code', seed: 3, steps: 1, seconds: 1, held_out });
    recorded.close();
    await figures('qr-code', '--add', recorded.path, '--method', 'narrow');
    expect(names()).toEqual(['reported narrow 3']);
    const [{ config: differing, curve }] = readResults(out);
    expect(curve).toEqual([{ examples: 256, phi: -0.6, pixel_accuracy: 0.7 }]);
    expect(differing).toMatchObject({ prompts: 32, groupSize: 8 }); // not those of the QR code
  });

  it.each([
    [[], /one EXPERIMENT of sixty-seven, .*uuid \(got none\)/],
    [['qr-code'], /qr-code has no sweep; sixty-seven, .* have one/],
    [['sixty-seven', '--only', 'c'], /--only c: sixty-seven has the methods a, b/],
    [['sixty-seven', '--seeds', '0,x'], /--seeds must be a whole number .* \(got x\)/],
    [['qr-code', '--add', 'nowhere'], /--method NAME/],
    [['qr-code', '--add', 'nowhere', '--method', 'm'], /--add nowhere: .*holds no run/],
  ])('tells what is wrong with %j', async (args, message) => {
    const error: unknown = await figures(...args).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UsageError);
    expect((error as Error).message).toMatch(message);
    expect(fs.existsSync(out)).toBe(false);
  });
});
