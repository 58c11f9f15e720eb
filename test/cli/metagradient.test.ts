import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { UsageError } from '../../src/cli/command';
import { run } from '../../src/cli/metagradient';
import type { CaseResult } from '../../src/experiments/metagradientSpec';
import { regressionSlope } from '../setup';
import { REFERENCE, referenceCases } from '../support/reference';
import { build, dpg } from './dpg';

let folder: string;
beforeAll(() => {
  vi.stubEnv('DPG_BACKEND', 'wasm');
  build();
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'dpg-metagradient-test-'));
}, 120_000);
afterAll(() => fs.rmSync(folder, { recursive: true }));

const CASES = path.join(REFERENCE, 'cases.json');

test.each(['fused', 'tape'])('reproduces the reference, engine %s', { timeout: 120_000 }, async (engine) => {
  const out = path.join(folder, 'new', `${engine}.json`);
  expect(await run(['--model', REFERENCE, '--spec', CASES, '--engine', engine, '--workers', '1', '--out', out])).toBe(0);
  const results = JSON.parse(fs.readFileSync(out, 'utf8')) as CaseResult[];
  expect(results.map(({ name }) => name)).toEqual(referenceCases.map(({ spec }) => spec.name));
  for (const [i, { phi, tau, trainLosses }] of results.entries()) {
    const { expected } = referenceCases[i];
    expect([phi]).toBeAllClose([expected.phi], { rtol: 1e-4 });
    expect(trainLosses).toBeAllClose(expected.train_losses, { rtol: 1e-4 });
    expect(tau.map((batch) => batch.length)).toEqual(expected.tau.map((batch) => batch.length));
    expect(tau.flat()).toBeAllClose(expected.tau.flat(), { rtol: 1e-3 });
    expect(Math.abs(regressionSlope(tau.flat(), expected.tau.flat()) - 1)).toBeLessThanOrEqual(1e-2);
  }
});

describe('a mistake is told with its place', () => {
  const good = {
    name: 'mine',
    sequence_length: 4,
    optimizer: { type: 'sgd', learning_rate: 0.1 } as object,
    batches: [
      [
        [1, 2, 3],
        [4, 5],
      ],
      [[6, 7]],
    ] as unknown,
    target: { type: 'l2_norm' } as object,
  };

  const complaintOf = async (spec: unknown): Promise<string> => {
    const file = path.join(folder, 'spec.json');
    fs.writeFileSync(file, typeof spec === 'string' ? spec : JSON.stringify(spec));
    const error = await run(['--model', REFERENCE, '--spec', file]).then(
      () => new Error('it ran'),
      (thrown: unknown) => thrown as Error,
    );
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).not.toContain('\n');
    expect(error.message).toContain(`--spec ${file}`);
    return error.message;
  };
  const pattern = (rows: number[][], more = {}) => ({ target: { type: 'pattern', strength: 1, pattern: rows, ...more } });

  test.each<[string, object, RegExp]>([
    ['a batch that is one example', { batches: [[1, 2], [[3, 4]]] }, /\[1\]\.batches\[0\]\[0\]: .*array.* \(got 1\)$/],
    [
      'an unknown optimizer',
      { optimizer: { type: 'rmsprop' } },
      /\[1\]\.optimizer\.type: .*"sgd", "adamw" or "lion" \(got "rmsprop"\)$/,
    ],
    ['no optimizer', { optimizer: undefined }, /\[1\]\.optimizer: .*"lion" \(got nothing\)$/],
    ['an unknown key', { optimizer: { type: 'sgd', learning_rate: 1, lr: 1 } }, /\[1\]\.optimizer: .*"lr"/],
    ['an unknown target', { target: { type: 'loss' } }, /\[1\]\.target\.type: .*"l2_norm".* \(got "loss"\)$/],
    ['an empty batch', { batches: [[[1, 2]], []] }, /\[1\]\.batches\[1\]: .* \(got \[\]\)$/],
    ['an example that predicts nothing', { batches: [[[1]]] }, /\[1\]\.batches\[0\]\[0\]: .* \(got \[1\]\)$/],
    ['a negative token', { batches: [[[1, -2]]] }, /\[1\]\.batches\[0\]\[0\]\[1\]: .* \(got -2\)$/],
    ['a token out of range', { batches: [[[1, 48]]] }, /\[1\]\.batches\[0\]\[0\]\[1\]: tokens go from 0 to 47 \(got 48\)$/],
    ['an example that is too long', { batches: [[[1, 2]], [[1, 2, 3, 4, 5, 6]]] }, /\[1\]\.batches\[1\]\[0\]: .*allows 5 tokens/],
    ['more positions than the model has', { sequence_length: 1e6 }, /\[1\]\.sequence_length: .* \(got 1000000\)$/],
    ['a ragged pattern', pattern([[1, 1], [1]]), /\[1\]\.target\.pattern\[1\]: row 0 has 2 pixels \(got \[1\]\)$/],
    ['a grey pixel', pattern([[1, 0]]), /\[1\]\.target\.pattern\[0\]\[1\]: .* \(got 0\)$/],
    ['a patch outside the LM head', pattern([[1]], { token_offset: 48 }), /\[1\]\.target\.pattern: .*outside the LM head/],
    [
      'tokens of the target out of range',
      { target: { type: 'language_modeling', examples: [[1, 99]] } },
      /\[1\]\.target\.examples\[0\]\[1\]: .* \(got 99\)$/,
    ],
  ])('%s', async (_, change, complaint) => {
    const message = await complaintOf([good, { ...good, name: 'odd', ...change }]);
    expect(message).toContain('case "odd", at [1].');
    expect(message).toMatch(complaint);
  });

  test('no JSON, no cases, no files', async () => {
    expect(await complaintOf('[{')).toMatch(/JSON/);
    expect(await complaintOf(good)).toMatch(/at the top: .*array/);
    await expect(run(['--model', REFERENCE, '--spec', path.join(folder, 'none')])).rejects.toThrow(/--spec .*none.*ENOENT/);
    await expect(run(['--model', folder, '--spec', CASES])).rejects.toThrow(UsageError);
    await expect(run(['--model', REFERENCE, '--spec', CASES, '--engine', 'jax'])).rejects.toThrow(/fused or tape \(got "jax"\)/);
  });

  test('on the command line: exit code 2, one line on stderr, nothing on stdout', async () => {
    const file = path.join(folder, 'bad.json');
    fs.writeFileSync(file, JSON.stringify([{ ...good, batches: [[]] }]));
    const child = dpg('metagradient', '--model', REFERENCE, '--spec', file);
    expect(await child.exit).toBe(2);
    expect(child.stdout()).toBe('');
    expect(child.stderr()).toMatch(/^dpg: --spec .*bad\.json: case "mine", at \[0\]\.batches\[0\]: .*\n$/);
  });
});
