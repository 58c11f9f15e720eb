/** A model on several ranks beside the same model on one. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { metagradient, type Metagradient } from '../../../src/learn/metagradient';
import { adamw } from '../../../src/learn/optimizer';
import { batchPart } from '../../../src/model/fused/shards';
import { fusedModel } from '../../../src/model/fused';
import type { Collective } from '../../../src/model/ranks/collective';
import { rankedModel } from '../../../src/model/ranks/ranked';
import { tapeGpt2 } from '../../../src/model/tape/tape';
import { sharedSupport } from '../../../src/model/tokenSupport';
import type { LanguageModel, TokenBatch } from '../../../src/model/types';
import type { Params } from '../../../src/tensor/params';
import { randomStream } from '../../../src/tensor/random';
import * as tf from '@tensorflow/tfjs-core';
import { useBackend } from '../../support/backend';
import { localRanks } from '../../support/localRanks';
import { flat, randomBatch, randomValues, toParams } from '../../support/randomGpt2';

const config = { vocab_size: 37, n_positions: 12, n_embd: 8, n_layer: 1, n_head: 2, layer_norm_epsilon: 1e-5 };
const random = randomStream(4, 'ranks');
const LENGTH = 7;
/** Of 7 examples; the mask of the first is 0. */
const batch = randomBatch(config, random, 7, LENGTH);

let [params, tangent]: Params[] = [];
beforeAll(async () => {
  await useBackend('cpu');
  params = toParams(config, randomValues(config, random, 0.3));
  tangent = toParams(config, randomValues(config, random, 0.3, 0));
});

const engines: Record<string, () => LanguageModel> = {
  fused: () => fusedModel(config, { workers: 0 }),
  tape: () => tapeGpt2(config),
};

/** What every rank computes. */
const onAll = <T>(make: () => LanguageModel, size: number, compute: (model: LanguageModel, ranks: Collective) => Promise<T>) =>
  Promise.all(localRanks(size).map((ranks) => compute(rankedModel(make(), ranks), ranks)));

describe.each(Object.entries(engines))('%s', (_, make) => {
  let one: LanguageModel;
  beforeAll(() => void (one = make()));
  afterAll(() => one.dispose());

  /** Holds for even and uneven shares, and where ranks have no example. */
  const shares: [ranks: number, batch: TokenBatch][] = [
    [2, batch],
    [3, batch],
    [7, batch],
    [9, batch],
    [3, batchPart(batch, 1, 3)],
  ];

  it.each(shares)('%i ranks: losses and gradient', async (size, examples) => {
    const expected = await one.gradient(params, examples);
    for (const found of await onAll(make, size, (model) => model.gradient(params, examples))) {
      expect(found.losses).toBeAllClose(expected.losses, { rtol: 1e-6 });
      expect(flat(found.gradient)).toBeAllClose(flat(expected.gradient), { rtol: 1e-6 });
      expect(Object.keys(found.gradient)).toEqual(Object.keys(params));
    }
  });

  it.each(shares)('%i ranks: token tangents and Hessian-vector product', async (size, examples) => {
    const expected = await one.hessianVectorProduct(params, examples, tangent);
    for (const found of await onAll(make, size, (model) => model.hessianVectorProduct(params, examples, tangent))) {
      expect(found.tokenTangents).toBeAllClose(expected.tokenTangents, { rtol: 1e-6 });
      expect(flat(found.product!)).toBeAllClose(flat(expected.product!), { rtol: 1e-6 });
    }
    const [{ product }] = await onAll(make, size, (model) =>
      model.hessianVectorProduct(params, examples, tangent, { product: false }),
    );
    expect(product).toBeNull();
  });

  it.each(shares)('%i ranks: log-probabilities and policy gradient, weighed by tokens', async (size, examples) => {
    const logProbs = await one.logProbs(params, examples, 1.3);
    const noisy = (scale: number) => logProbs.map((x) => x + scale * random.normal());
    const terms = {
      ...{ advantages: noisy(1), oldLogProbs: noisy(0.3), refLogProbs: noisy(0.5) },
      ...{ clip: 0.2, klCoef: 0.3, entropyCoef: 0.1, temperature: 1.3 },
    };
    const expected = await one.policyGradient(params, examples, terms);
    expect(expected.clipFraction).toBeGreaterThan(0);
    const all = await onAll(make, size, async (model) => ({
      logProbs: await model.logProbs(params, examples, 1.3),
      ...{ policy: await model.policyGradient(params, examples, terms) },
    }));
    for (const { logProbs: found, policy } of all) {
      expect(found).toBeAllClose(logProbs, { rtol: 1e-6 });
      expect(flat(policy.gradient)).toBeAllClose(flat(expected.gradient), { rtol: 1e-6 });
      expect(policy.logProbs).toBeAllClose(expected.logProbs, { rtol: 1e-6 });
      const means = ({ entropy, kl, clipFraction }: typeof policy) => [entropy, kl, clipFraction];
      expect(means(policy)).toBeAllClose(means(expected), { rtol: 1e-6 });
    }
  });

  it.each([2, 3, 8])('%i ranks: samples of five prompts, bit for bit', async (size) => {
    const prompts = { ids: Int32Array.from({ length: 15 }, () => random.integer(37)), size: 5, length: 3 };
    const options = {
      ...{ maxNewTokens: 6, temperature: 0.9, uniforms: random.uniforms(30), endTokens: [3, 7] },
      ...{ writable: sharedSupport(37, (id) => id !== 5), minP: 0.02, reference: params },
    };
    const expected = await one.sample(params, prompts, options);
    for (const found of await onAll(make, size, (model) => model.sample(params, prompts, options)))
      expect(found).toEqual(expected);
    const { support: none } = await one.sample(params, prompts, { ...options, minP: 0 });
    const [found] = await onAll(make, size, (model) => model.sample(params, prompts, { ...options, minP: 0 }));
    expect(found.support).toEqual(none);
  });

  it('τ of examples and tokens: those of one rank up to rounding, the same bits for as many ranks', async () => {
    const examples = Array.from({ length: 10 }, () => Array.from({ length: 4 + random.integer(4) }, () => random.integer(37)));
    const tau = (model: LanguageModel): Promise<Metagradient> =>
      metagradient({
        ...{ model, params, examples, batchSize: 5, sequenceLength: LENGTH },
        optimizer: adamw({ learningRate: 1e-2, epsRoot: 1e-3 }),
        objective: (tuned) => tf.neg(tf.norm(tuned['lm_head.weight'])),
      });
    const expected = await tau(one);
    const [first, second, again] = [...(await onAll(make, 2, tau)), (await onAll(make, 2, tau))[0]];
    expect(first.tau).toBeAllClose(expected.tau, { rtol: 1e-6 });
    expect(first.tokenTau).toBeAllClose(expected.tokenTau, { rtol: 1e-6 });
    for (const other of [second, again]) expect([other.tau, other.tokenTau]).toEqual([first.tau, first.tokenTau]);
  });
});

it('refuses on every rank alike what one rank refuses', async () => {
  const wrong = { ...batch, ids: batch.ids.map((id, i) => (i === 0 ? 99 : id)) };
  const refused = localRanks(2).map((ranks) => rankedModel(engines.tape(), ranks).gradient(params, wrong));
  for (const { status, reason } of (await Promise.allSettled(refused)) as PromiseRejectedResult[])
    expect([status, String(reason)]).toEqual(['rejected', 'RangeError: token id 99 is outside the vocabulary of 37']);
});
