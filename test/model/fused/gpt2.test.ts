/** The composed model against float64: loss, gradient, Hessian-vector product, token tangents, policy gradient; microbatches. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { fusedModel } from '../../../src/model/fused';
import { gradient, hessianVectorProduct, tokenTangents } from '../../../src/model/fused/model';
import { workspace } from '../../../src/model/fused/workspace';
import { gpt2 } from '../../../src/model/families/gpt2';
import type { Params } from '../../../src/tensor/params';
import { randomStream, type RandomStream } from '../../../src/tensor/random';
import { mixedSlope, moved, slope, slopes } from '../../oracles/differences';
import { gpt2LogProbs, gpt2Loss, gpt2TokenLosses, type NamedValues } from '../../oracles/gpt2Float64';
import { useBackend } from '../../support/backend';
import { randomBatch, randomValues, toParams } from '../../support/randomGpt2';

const common = { n_positions: 9, layer_norm_epsilon: 1e-5 };
const configs = [
  { ...common, vocab_size: 37, n_embd: 20, n_layer: 2, n_head: 2 },
  { ...common, vocab_size: 48, n_embd: 24, n_layer: 1, n_head: 3 },
];

beforeAll(() => useBackend('cpu'));

/** Along a random direction inside one tensor at a time: ⟨result, u⟩ against the derivative of `f` along u. */
function checkPerTensor(
  result: Params,
  p: NamedValues,
  random: RandomStream,
  f: (at: (h: number) => NamedValues) => number,
): void {
  const [found, expected]: number[][] = [[], []];
  for (const [name, values] of Object.entries(p)) {
    const u = Float64Array.from(values, () => random.normal());
    expected.push(f((h) => ({ ...p, [name]: moved([values], [u], h)[0] })));
    found.push(result[name].dataSync<'float32'>().reduce((sum, x, i) => sum + x * u[i], 0));
  }
  expect(found).toBeAllClose(expected, { rtol: 1e-5 });
}

const movedNamed = (p: NamedValues, v: NamedValues, h: number): NamedValues =>
  Object.fromEntries(Object.entries(p).map(([name, x]) => [name, moved([x], [v[name]], h)[0]]));

describe.each(configs)('vocabulary $vocab_size, width $n_embd, $n_head heads', (config) => {
  const random = randomStream(1, 'gpt2');
  const p = randomValues(config, random, 0.3);
  const v = randomValues(config, random, 0.3, 0);
  const batch = randomBatch(config, random, 4, 7);
  const model = fusedModel(config, { workers: 0 });
  let [params, tangent]: Params[] = [];
  beforeAll(() => {
    [params, tangent] = [toParams(config, p), toParams(config, v)];
  });

  it('losses and gradient', async () => {
    const { losses, gradient: found } = await model.gradient(params, batch);
    const tokens = gpt2TokenLosses(p, config, batch);
    const expected = Array.from({ length: 4 }, (_, i) => tokens.subarray(i * 7, i * 7 + 7).reduce((a, b) => a + b, 0));
    expect(losses).toBeAllClose(expected, { rtol: 1e-6 });
    expect(losses[0]).toBe(0);
    checkPerTensor(found, p, random, (at) => slope((h) => gpt2Loss(at(h), config, batch)));
  });

  it('token tangents, with and without the product', async () => {
    const expected = slopes((h) => gpt2TokenLosses(movedNamed(p, v, h), config, batch));
    for (const product of [true, false]) {
      const found = await model.hessianVectorProduct(params, batch, tangent, { product });
      expect(found.tokenTangents).toBeAllClose(expected, { rtol: 1e-5 });
      expect(found.product === null).toBe(!product);
    }
  });

  it('token tangents along a tangent of the LM head alone', async () => {
    const zero = Object.fromEntries(
      Object.entries(v).map(([name, x]) => [name, x.map((y) => (name === 'lm_head.weight' ? y : 0))]),
    );
    const expected = slopes((h) => gpt2TokenLosses(movedNamed(p, zero, h), config, batch));
    const { tokenTangents: found } = await model.hessianVectorProduct(params, batch, toParams(config, zero), { product: false });
    expect(found).toBeAllClose(expected, { rtol: 1e-5 });
  });

  it('Hessian-vector product', async () => {
    const { product } = await model.hessianVectorProduct(params, batch, tangent);
    checkPerTensor(product!, p, random, (at) => mixedSlope((g, h) => gpt2Loss(movedNamed(at(g), v, h), config, batch), 3e-5));
  });

  it('log-probabilities at a temperature', async () => {
    const { chosen } = gpt2LogProbs(p, config, batch, 0.6);
    expect(await model.logProbs(params, batch, 0.6)).toBeAllClose(
      chosen.map((lp, i) => lp * batch.mask[i]),
      { rtol: 1e-6 },
    );
  });

  it('policy gradient with clipping, penalty and entropy bonus', async () => {
    const temperature = 0.8;
    const start = gpt2LogProbs(p, config, batch, temperature).chosen;
    const around = (scale: number) => Float32Array.from(start, (lp) => lp + scale * random.normal());
    const [advantages, oldLogProbs, refLogProbs] = [Float32Array.from(start, () => random.normal()), around(0.3), around(0.4)];
    const terms = { advantages, oldLogProbs, refLogProbs, clip: 0.2, klCoef: 0.3, entropyCoef: 0.2, temperature };
    const tokens = batch.mask.reduce((a, b) => a + b);
    const sums = (q: NamedValues) => {
      const { all, chosen } = gpt2LogProbs(q, config, batch, temperature);
      const total = { surrogate: 0, entropy: 0, kl: 0, cut: 0 };
      chosen.forEach((lp, i) => {
        if (!batch.mask[i]) return;
        const ratio = Math.exp(lp - oldLogProbs[i]);
        const bounded = Math.min(Math.max(ratio, 0.8), 1.2);
        total.surrogate += Math.min(ratio * advantages[i], bounded * advantages[i]) / tokens;
        total.cut += (bounded * advantages[i] < ratio * advantages[i] ? 1 : 0) / tokens;
        total.kl += (Math.exp(refLogProbs[i] - lp) - (refLogProbs[i] - lp) - 1) / tokens;
        const row = all.subarray(i * config.vocab_size, (i + 1) * config.vocab_size);
        total.entropy -= row.reduce((sum, log) => sum + Math.exp(log) * log, 0) / tokens;
      });
      return { ...total, loss: -total.surrogate - 0.2 * total.entropy + 0.3 * total.kl };
    };
    const found = await model.policyGradient(params, batch, terms);
    const expected = sums(p);
    expect(expected.cut).toBeGreaterThan(0);
    expect([found.entropy, found.kl, found.clipFraction]).toBeAllClose([expected.entropy, expected.kl, expected.cut], {
      rtol: 1e-5,
    });
    expect(found.logProbs).toBeAllClose(
      start.map((lp, i) => lp * batch.mask[i]),
      { rtol: 1e-6 },
    );
    checkPerTensor(found.gradient, p, random, (at) => slope((h) => sums(at(h)).loss, 1e-6));
  });

  it('gives the same whatever the size of its microbatches', () => {
    const results = [1, 2 ** 16, 2 ** 30].map((activationBytes) => {
      const w = workspace(gpt2.fused!(config), { activationBytes });
      for (const { name, offset } of w.layout.slots) {
        w.region('parameters').values().set(p[name], offset);
        w.region('tangent').values().set(v[name], offset);
      }
      const values = [gradient(w, batch, 4)];
      values.push(w.region('result').values().slice(), hessianVectorProduct(w, batch, 4));
      values.push(w.region('result').values().slice(), tokenTangents(w, batch));
      return values;
    });
    for (const other of results.slice(1))
      other.forEach((values, i) => expect(values).toBeAllClose(results[0][i], { rtol: 1e-6 }));
  });
});

describe('what it refuses', () => {
  const config = configs[1];
  const model = fusedModel(config, { workers: 0 });
  const random = randomStream(2, 'refusals');
  const batch = randomBatch(config, random, 2, 5);
  let params: Params;
  beforeAll(() => void (params = toParams(config, randomValues(config, random, 0.3))));

  it('parameters that are missing, misshapen or unknown', async () => {
    const { 'lm_head.weight': head, ...rest } = params;
    await expect(model.gradient(rest, batch)).rejects.toThrow('lm_head.weight is missing');
    await expect(model.gradient({ ...rest, 'lm_head.weight': tf.transpose(head) }, batch)).rejects.toThrow(
      'float32 [48,24] (got float32 [24,48])',
    );
    await expect(model.gradient({ ...params, other: head }, batch)).rejects.toThrow('other does not belong');
  });

  it('tokens outside the vocabulary and sequences that are too long', async () => {
    const ids = batch.ids.map((id, i) => (i === 3 ? 48 : id));
    await expect(model.gradient(params, { ...batch, ids })).rejects.toThrow('token id 48');
    await expect(model.logProbs(params, randomBatch(config, random, 1, 10))).rejects.toThrow('length 10 exceeds');
  });
});
