/** Both engines where not every token may be written, against each other and against the float64 model, renormalised. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fusedModel } from '../../src/model/fused';
import { tapeGpt2 } from '../../src/model/tape/tape';
import type { LanguageModel, Samples, TokenBatch } from '../../src/model/types';
import type { Params } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { gpt2LogProbs, type NamedValues } from '../oracles/gpt2Float64';
import { packed, randomAllowed, renormalised, unpacked, type Allowed } from '../support/allowedTokens';
import { useBackend } from '../support/backend';
import { flat, randomBatch, randomValues, toParams } from '../support/randomGpt2';
import { regressionSlope } from '../setup';

const config = { vocab_size: 71, n_positions: 16, n_embd: 20, n_layer: 2, n_head: 2, layer_norm_epsilon: 1e-5 };
const VOCAB = config.vocab_size;
const random = randomStream(5, 'token support');
const [values, before] = [randomValues(config, random, 0.4), randomValues(config, random, 0.4)];
const batch = randomBatch(config, random, 9, 10);
const label = (cell: number): number => batch.ids[Math.floor(cell / 10) * 11 + (cell % 10) + 1];
const allowed = randomAllowed(random, 90, VOCAB, label);
const support = packed(allowed, VOCAB);
const oddIds = Array.from({ length: VOCAB }, (_, id) => id).filter((id) => id % 2 === 1);
const engines: Record<string, LanguageModel> = {};
let [params, reference]: Params[] = [];

beforeAll(async () => {
  await useBackend('cpu');
  [params, reference] = [toParams(config, values), toParams(config, before)];
  const [fused, threaded] = [fusedModel(config, { workers: 0 }), fusedModel(config, { workers: 2 })];
  Object.assign(engines, { fused, 'fused, two workers': threaded, tape: tapeGpt2(config, { microbatch: 2 }) });
});
afterAll(() => engines['fused, two workers'].dispose());

/** log-probability of every label, 0 where the mask is 0. */
const chosenOf = (all: Float64Array): Float64Array =>
  Float64Array.from(batch.mask, (m, cell) => (m ? all[cell * VOCAB + label(cell)] : 0));

describe.each(['fused', 'fused, two workers', 'tape'])('%s', (name) => {
  it('gives the log-probabilities of the distribution renormalised over the support of every position', async () => {
    const { all } = gpt2LogProbs(values, config, batch, 0.7);
    const found = await engines[name].logProbs(params, { ...batch, support }, 0.7);
    expect(found).toBeAllClose(chosenOf(renormalised(all, VOCAB, allowed)), { rtol: 1e-5 });
  });

  it('and over one support for all positions', async () => {
    const ids = batch.ids.map((id) => Math.min(VOCAB - 2, id | 1));
    const all = renormalised(gpt2LogProbs(values, config, { ...batch, ids }, 1).all, VOCAB, Array(90).fill(oddIds) as Allowed);
    const found = await engines[name].logProbs(params, { ...batch, ids, support: packed([oddIds], VOCAB) });
    const expected = batch.mask.map((m, cell) => m && all[cell * VOCAB + ids[Math.floor(cell / 10) * 11 + (cell % 10) + 1]]);
    expect(found).toBeAllClose(expected, { rtol: 1e-5 });
  });

  it('learns from the loss on the support, and differentiates it twice, as the tape does', async () => {
    const on = { ...batch, support };
    const { losses, gradient } = await engines[name].gradient(params, on);
    const expected = chosenOf(renormalised(gpt2LogProbs(values, config, batch, 1).all, VOCAB, allowed));
    const sums = Array.from({ length: 9 }, (_, i) => expected.subarray(10 * i, 10 * i + 10).reduce((sum, x) => sum - x / 10, 0));
    expect(losses).toBeAllClose(sums, { rtol: 1e-5 });
    const { tape } = engines;
    expect(flat(gradient)).toBeAllClose(flat((await tape.gradient(params, on)).gradient), { rtol: 1e-4 });
    const [a, b] = [
      await engines[name].hessianVectorProduct(params, on, reference),
      await tape.hessianVectorProduct(params, on, reference),
    ];
    expect(a.tokenTangents).toBeAllClose(b.tokenTangents, { rtol: 1e-4 });
    expect(flat(a.product!)).toBeAllClose(flat(b.product!), { rtol: 1e-4 });
  });

  it('moves nothing in the head rows of tokens that may not be written, not even by numbers too small to matter', async () => {
    const on = { ...batch, ids: batch.ids.map((id) => Math.min(VOCAB - 2, id | 1)), support: packed([oddIds], VOCAB) };
    const advantages = on.mask.map((_, cell) => (cell % 3) - 1);
    const terms = {
      advantages,
      oldLogProbs: new Float32Array(90).fill(-3),
      clip: 9,
      klCoef: 0,
      entropyCoef: 0.1,
      temperature: 1,
    };
    const model = engines[name];
    const trees = [(await model.gradient(params, on)).gradient, (await model.policyGradient(params, on, terms)).gradient];
    for (const tree of trees) {
      const rows = tree['lm_head.weight'].arraySync() as number[][];
      rows.forEach((row, id) => expect(row.every((x) => x === 0)).toBe(id % 2 === 0));
    }
  });

  it('has the policy gradient of the surrogate on the support, which the tape’s test compares with differences', async () => {
    const start = chosenOf(renormalised(gpt2LogProbs(values, config, batch, 1.3).all, VOCAB, allowed));
    const noise = randomStream(3, 'noise');
    const around = (scale: number) => Float32Array.from(start, (lp) => lp + scale * noise.normal());
    const coefficients = { clip: 0.2, klCoef: 0.3, entropyCoef: 0.2, temperature: 1.3 };
    const terms = { ...coefficients, advantages: around(1), oldLogProbs: around(0.3), refLogProbs: around(0.4) };
    const { tape } = engines;
    const [a, b] = [engines[name], tape].map((model) => model.policyGradient(params, { ...batch, support }, terms));
    const [found, expected] = [await a, await b];
    expect(found.logProbs).toBeAllClose(start, { rtol: 1e-5 });
    expect([found.entropy, found.kl, found.clipFraction]).toBeAllClose([expected.entropy, expected.kl, expected.clipFraction], { rtol: 1e-4 }); // prettier-ignore
    expect(flat(found.gradient)).toBeAllClose(flat(expected.gradient), { rtol: 1e-4 });
    expect(regressionSlope(flat(found.gradient), flat(expected.gradient))).toBeCloseTo(1, 4);
  });
});

const [size, length, maxNewTokens] = [9, 4, 12];
const prompts = { ids: Int32Array.from({ length: size * length }, () => random.integer(VOCAB)), size, length };
const options = { maxNewTokens, temperature: 0.9, uniforms: random.uniforms(size * maxNewTokens) };
const writableIds = Array.from({ length: VOCAB }, (_, id) => id).filter((id) => id % 3 !== 0);
const writable = packed([writableIds], VOCAB);

/** Prompts and what was drawn after them. */
function sequences({ ids }: Samples): TokenBatch {
  const width = length + maxNewTokens;
  const all = new Int32Array(size * width);
  for (let i = 0; i < size; i++) {
    all.set(prompts.ids.subarray(i * length, (i + 1) * length), i * width);
    all.set(ids.subarray(i * maxNewTokens, (i + 1) * maxNewTokens), i * width + length);
  }
  return { ids: all, mask: new Float32Array(size * (width - 1)).fill(1), size, length: width - 1 };
}

/** log-probabilities [size · maxNewTokens, vocab] before every drawn token, in float64. */
function beforeDrawn(model: NamedValues, samples: Samples, temperature: number): Float64Array {
  const { all } = gpt2LogProbs(model, config, sequences(samples), temperature);
  return Float64Array.from({ length: size * maxNewTokens * VOCAB }, (_, i) => {
    const cell = Math.floor(i / VOCAB);
    return all[
      (Math.floor(cell / maxNewTokens) * (length + maxNewTokens - 1) + length - 1 + (cell % maxNewTokens)) * VOCAB + (i % VOCAB)
    ];
  });
}

/** Writable ids with at least a share of the likeliest one's probability. */
const likely = (all: Float64Array, minP: number): Allowed =>
  Array.from({ length: size * maxNewTokens }, (_, cell) => {
    const own = all.subarray(cell * VOCAB, (cell + 1) * VOCAB);
    const most = Math.max(...writableIds.map((id) => own[id]));
    return writableIds.filter((id) => Math.exp(own[id] - most) >= minP);
  });

describe.each(['fused', 'fused, two workers', 'tape'])('%s samples', (name) => {
  it.each([
    ['what may be written', 0],
    ['and of this what the reference finds likely, at temperature 1', 0.1],
  ])('%s', async (_, minP) => {
    const samples = await engines[name].sample(params, prompts, { ...options, writable, minP, reference });
    const rows =
      minP > 0 ? likely(beforeDrawn(before, samples, 1), minP) : (Array(size * maxNewTokens).fill(writableIds) as Allowed);
    if (minP > 0) expect(unpacked(samples.support!, VOCAB)).toEqual(rows);
    else expect(samples.support).toBeUndefined();
    const all = renormalised(beforeDrawn(values, samples, 0.9), VOCAB, rows);
    samples.ids.forEach((id, cell) => {
      expect(rows[cell]).toContain(id);
      expect(samples.logProbs[cell]).toBeCloseTo(all[cell * VOCAB + id], 4);
      const below = all.subarray(cell * VOCAB, cell * VOCAB + id).reduce((sum, log) => sum + Math.exp(log), 0);
      expect(options.uniforms[cell]).toBeGreaterThan(below - 1e-5);
      expect(options.uniforms[cell]).toBeLessThan(below + Math.exp(all[cell * VOCAB + id]) + 1e-5);
    });
    expect(Math.min(...rows.map((ids) => ids.length))).toBeLessThan(
      Math.max(...rows.map((ids) => ids.length)) + Number(minP === 0),
    );
  });

  it('the same tokens as all others, with an end of text, after which the support is empty', async () => {
    const asked = { ...options, writable, minP: 0.05, reference, endTokens: [1, 2, 4, 5, 7, 8] };
    const [a, b] = [await engines[name].sample(params, prompts, asked), await engines.tape.sample(params, prompts, asked)];
    expect([...a.ids]).toEqual([...b.ids]);
    expect([...a.support!.bits]).toEqual([...b.support!.bits]);
    expect(a.logProbs).toBeAllClose(b.logProbs, { rtol: 1e-4 });
    const rows = unpacked(a.support!, VOCAB);
    expect(a.mask.some((m) => m === 0)).toBe(true);
    a.mask.forEach((m, cell) => expect(rows[cell].length > 0).toBe(m === 1));
  });

  it('nothing forbidden at the ends of the distribution', async () => {
    for (const [u, id] of [
      [0, 10],
      [1 - 2 ** -24, 60],
    ]) {
      const uniforms = options.uniforms.map(() => u);
      const { ids } = await engines[name].sample(params, prompts, {
        ...options,
        uniforms,
        temperature: 10,
        writable: packed([[10, 33, 60]], VOCAB),
      });
      expect(new Set(ids)).toEqual(new Set([id]));
    }
  });

  it('nothing where nothing may be written, or where the reference is missing or no number', async () => {
    const sample = (more: object) => engines[name].sample(params, prompts, { ...options, ...more });
    await expect(sample({ writable: packed([[]], VOCAB) })).rejects.toThrow('no token may be written');
    await expect(sample({ minP: 0.1 })).rejects.toThrow('minP 0.1 needs the parameters of a reference');
    await expect(sample({ minP: 1, reference })).rejects.toThrow('minP must be ≥ 0 and < 1 (got 1)');
    await expect(sample({ writable: { bits: new Int32Array(2).fill(-1), words: 2 } })).rejects.toThrow(
      'must have 3 elements (got 2)',
    );
    const spoilt = { ...before, 'transformer.ln_f.weight': before['transformer.ln_f.weight'].map(() => NaN) };
    await expect(sample({ minP: 0.1, reference: toParams(config, spoilt) })).rejects.toThrow(
      /sampling.*transformer\.ln_f\.weight/s,
    );
  });
});
