/** Sampling with a cache against teacher forcing, and its independence of everything but prompt and uniform numbers. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fusedModel } from '../../../src/model/fused';
import type { Params } from '../../../src/tensor/params';
import { randomStream } from '../../../src/tensor/random';
import { gpt2LogProbs } from '../../oracles/gpt2Float64';
import { useBackend } from '../../support/backend';
import { randomValues, toParams } from '../../support/randomGpt2';

const config = { vocab_size: 37, n_positions: 14, n_embd: 20, n_layer: 2, n_head: 2, layer_norm_epsilon: 1e-5 };
const random = randomStream(4, 'sampling');
const values = randomValues(config, random, 0.4);
const [size, length, maxNewTokens, temperature] = [11, 4, 11, 0.9];
const prompts = { ids: Int32Array.from({ length: size * length }, () => random.integer(37)), size, length };
const options = { maxNewTokens, temperature, uniforms: random.uniforms(size * maxNewTokens) };
const model = fusedModel(config, { workers: 0 });
const threaded = fusedModel(config, { workers: 3 });
let params: Params;

beforeAll(async () => {
  await useBackend('cpu');
  params = toParams(config, values);
});
afterAll(() => threaded.dispose());

it('inverts the cumulative distribution of the float64 model at the given uniform numbers', async () => {
  const { ids, logProbs, mask } = await model.sample(params, prompts, options);
  expect(mask.every((m) => m === 1)).toBe(true);
  const width = length + maxNewTokens;
  const sequences = new Int32Array(size * width);
  for (let i = 0; i < size; i++) {
    sequences.set(prompts.ids.subarray(i * length, (i + 1) * length), i * width);
    sequences.set(ids.subarray(i * maxNewTokens, (i + 1) * maxNewTokens), i * width + length);
  }
  const batch = { ids: sequences, mask: new Float32Array(size * (width - 1)).fill(1), size, length: width - 1 };
  const { all, chosen } = gpt2LogProbs(values, config, batch, temperature);
  for (let i = 0; i < size; i++) {
    for (let t = 0; t < maxNewTokens; t++) {
      const [at, row] = [i * maxNewTokens + t, i * (width - 1) + length - 1 + t];
      expect(Math.abs(logProbs[at] - chosen[row])).toBeLessThan(2e-5);
      const before = all.subarray(row * 37, row * 37 + ids[at]).reduce((sum, log) => sum + Math.exp(log), 0);
      expect(options.uniforms[at]).toBeGreaterThan(before - 1e-5);
      expect(options.uniforms[at]).toBeLessThan(before + Math.exp(chosen[row]) + 1e-5);
    }
  }
});

it('gives every row the same tokens and bits alone, among others and on any number of workers', async () => {
  const together = await model.sample(params, prompts, options);
  expect(await threaded.sample(params, prompts, options)).toEqual(together);
  for (const i of [0, 5, 10]) {
    const row = <A extends Int32Array | Float32Array>(array: A, width: number) => array.slice(i * width, (i + 1) * width);
    const alone = await model.sample(
      params,
      { ids: row(prompts.ids, length) as Int32Array, size: 1, length },
      { ...options, uniforms: row(options.uniforms, maxNewTokens) as Float32Array },
    );
    expect(alone.ids).toEqual(row(together.ids, maxNewTokens));
    expect(alone.logProbs).toEqual(row(together.logProbs, maxNewTokens));
  }
});

it.each([1, 2])('ends a response after any of %i end tokens and leaves what was before it unchanged', async (count) => {
  const free = await model.sample(params, prompts, options);
  const endTokens = [free.ids[3], free.ids[maxNewTokens + 1]].slice(0, count);
  const { ids, logProbs, mask } = await model.sample(params, prompts, { ...options, endTokens });
  for (let i = 0; i < size; i++) {
    const cells = Array.from({ length: maxNewTokens }, (_, t) => i * maxNewTokens + t);
    const end = cells.findIndex((at) => endTokens.includes(free.ids[at]));
    cells.forEach((at, t) => {
      const inside = end < 0 || t <= end;
      expect([ids[at], logProbs[at], mask[at]]).toEqual(inside ? [free.ids[at], free.logProbs[at], 1] : [endTokens[0], 0, 0]);
    });
  }
});

it('draws the extremes: first token at 0, a possible one just below 1', async () => {
  const uniforms = new Float32Array(size * maxNewTokens);
  expect([...(await model.sample(params, prompts, { ...options, uniforms })).ids].every((id) => id === 0)).toBe(true);
  const last = await model.sample(params, prompts, { ...options, uniforms: uniforms.fill(1 - 2 ** -24) });
  expect(last.logProbs.every((lp) => lp > -25)).toBe(true);
});

it('refuses more positions than the model has', async () => {
  await expect(
    model.sample(params, prompts, { ...options, maxNewTokens: 12, uniforms: random.uniforms(size * 12) }),
  ).rejects.toThrow('4 prompt and 12 new tokens exceed');
});
