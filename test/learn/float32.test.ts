/**
 * Metagradients that float32 hardly carries, against unrolled float64 autograd: right, or a word, on both engines and any number of
 * workers.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { toTensors } from '../../src/dpg/actor';
import { parseSpec, runCase, type CaseResult } from '../../src/experiments/metagradientSpec';
import { languageModel, type EngineOptions } from '../../src/model/engine';
import { loadCheckpoint } from '../../src/model/hub/checkpoint';
import { disposeParams } from '../../src/tensor/params';
import { relativeError } from '../setup';
import { useBackend } from '../support/backend';

const FOLDER = path.join(__dirname, '..', 'fixtures', 'float32');
const readJson = (...names: string[]): unknown => JSON.parse(readFileSync(path.join(FOLDER, ...names), 'utf8'));

interface Expected {
  readonly phi: number;
  readonly tau: number[][];
  readonly train_losses: number[];
}

beforeAll(() => useBackend('wasm'));

/** The result of a folder's case, perhaps with other settings of its optimizer. */
async function resultOf(folder: string, options: EngineOptions, settings: object = {}): Promise<CaseResult> {
  const { config, params: stored } = loadCheckpoint(path.join(FOLDER, folder));
  const [spec] = parseSpec(readJson(folder, 'spec.json'), config);
  const model = languageModel(config, options);
  const params = toTensors(stored);
  try {
    return await runCase({ ...spec, optimizer: { ...spec.optimizer, ...settings } }, model, params);
  } finally {
    disposeParams(params);
    model.dispose();
  }
}

const errorOf = (folder: string, { tau }: CaseResult): number =>
  relativeError(tau.flat(), (readJson(folder, 'expected.json') as Expected[])[0].tau.flat());

describe.each<EngineOptions>([
  { engine: 'fused', workers: 1 },
  { engine: 'fused', workers: 2 },
  { engine: 'fused', workers: 3 },
  { engine: 'tape' },
])('with %o', (options) => {
  it.each(['workers-disagree', 'engines-disagree'])('%s: τ is that of float64, and no warning', async (folder) => {
    const result = await resultOf(folder, options);
    const [{ phi, train_losses }] = readJson(folder, 'expected.json') as Expected[];
    expect([result.phi, ...result.trainLosses]).toBeAllClose([phi, ...train_losses], { rtol: 1e-5 });
    expect(errorOf(folder, result)).toBeLessThan(1e-4);
    expect(result.warning).toBeUndefined();
  });

  it('float32-noise: a warning, and with what it says none', async () => {
    const result = await resultOf('float32-noise', options);
    expect(errorOf('float32-noise', result)).toBeGreaterThan(0.1); // else there is nothing to warn of
    expect(result.warning).toMatch(
      /^roundings of float32 change \S+ % of the metagradient of fine-tuning step 1: raise epsRoot \(to 1e-8 at least; best near 9e-2, /,
    );
    expect((await resultOf('float32-noise', options, { eps_root: 1e-6 })).warning).toBeUndefined();
  });

  it('exploded: stopped at the step, with its loss', async () => {
    await expect(resultOf('exploded', options)).rejects.toThrow(
      /^fine-tuning step 2: the loss is 62\.3, at first it was 1\.73, .* the fine-tuning explodes; lower the inner learning rate$/,
    );
  });
});
