/** What computes where a feature of the runtime is missing. */
import { afterEach, beforeAll, expect, it, vi } from 'vitest';
import { gpt2 } from '../../src/model/engine';
import { randomStream } from '../../src/tensor/random';
import { useBackend } from '../support/backend';
import { flat, randomBatch, randomValues, toParams } from '../support/randomGpt2';

const config = { vocab_size: 11, n_positions: 5, n_embd: 8, n_layer: 1, n_head: 2, layer_norm_epsilon: 1e-5 };

beforeAll(() => useBackend('cpu'));
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

/** Engine names of two models made by `make`, and what was logged meanwhile. */
function engines(make: () => { engine: string; dispose(): void }): { names: string[]; log: unknown[] } {
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  const names = [make(), make()].map((model) => (model.dispose(), model.engine));
  return { names, log: warn.mock.calls.flat() };
}

it('takes the tape without SIMD, and says so once', () => {
  vi.spyOn(WebAssembly, 'validate').mockReturnValue(false);
  const { names, log } = engines(() => gpt2(config));
  expect(names[0]).toMatch(/^tape/);
  expect(log).toEqual([expect.stringContaining('SIMD is missing: the tape engine')]);
  expect(() => gpt2(config, { engine: 'fused' })).toThrow('needs WebAssembly with SIMD');
});

it('refuses what it cannot take a number of, and an engine that there is not', () => {
  for (const workers of [1.5, -1, NaN])
    expect(() => gpt2(config, { workers })).toThrow(`workers must be a whole number from 0 on (got ${workers})`);
  expect(() => gpt2(config, { engine: 'gpu' as 'tape' })).toThrow('engine must be one of auto, fused, tape (got "gpu")');
});

it('takes the tape where there is no WebAssembly at all', () => {
  vi.stubGlobal('WebAssembly', undefined);
  expect(engines(() => gpt2(config)).names[0]).toMatch(/^tape/);
});

it('computes in the calling thread without SharedArrayBuffer, with the same results, and says so once', async () => {
  const random = randomStream(1, 'engine');
  const params = toParams(config, randomValues(config, random, 0.3));
  const batch = randomBatch(config, random, 3, 5);
  const threaded = gpt2(config, { workers: 1 });
  const expected = await threaded.gradient(params, batch);
  threaded.dispose();
  vi.stubGlobal('SharedArrayBuffer', undefined);
  const { names, log } = engines(() => gpt2(config, { workers: 2 }));
  expect(names[0]).toMatch(/^fused, no workers/);
  expect(log).toEqual([expect.stringContaining('SharedArrayBuffer is missing: the fused engine computes in one thread')]);
  const found = await gpt2(config).gradient(params, batch);
  expect(found.losses).toEqual(expected.losses);
  expect(flat(found.gradient)).toEqual(flat(expected.gradient));
});
