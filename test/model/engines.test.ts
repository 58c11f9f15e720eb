/** The two engines check each other on everything a language model does. */
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCase } from '../../src/experiments/metagradientSpec';
import { padExamples } from '../../src/model/batch';
import { fusedGpt2 } from '../../src/model/fused';
import { initializeGpt2 } from '../../src/model/families/gpt2';
import { tapeGpt2 } from '../../src/model/tape/tape';
import type { LanguageModel } from '../../src/model/types';
import { mapParams, type Params } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { regressionSlope, relativeError } from '../setup';
import { useBackend } from '../support/backend';
import { referenceCases, referenceModel } from '../support/reference';

const config = { vocab_size: 37, n_positions: 24, n_embd: 20, n_layer: 2, n_head: 2, layer_norm_epsilon: 1e-5 }; // nothing divides by 8
const random = randomStream(9, 'engines');
const batch = padExamples(
  Array.from({ length: 11 }, () => Array.from({ length: 3 + random.integer(15) }, () => random.integer(37))),
  17,
  37,
);
const flat = (tree: Params | null): number[] =>
  Object.keys(tree!)
    .sort()
    .flatMap((name) => Array.from(tree![name].dataSync()));

let params: Params;
let tangent: Params;
let tape: LanguageModel;
let fused: LanguageModel;

beforeAll(async () => {
  await useBackend('cpu');
  const wider = (seed: number, factor: number): Params =>
    mapParams((name, x) => tf.mul(x, name.includes('ln_') ? 1 : factor), initializeGpt2(config, randomStream(seed, 'init')));
  [params, tangent] = [wider(1, 8), wider(2, 1)];
  [tape, fused] = [tapeGpt2(config), fusedGpt2(config, { workers: 2 })];
});
afterAll(() => fused.dispose());

describe('fused and tape agree', () => {
  it('on losses and gradient', async () => {
    const [a, b] = [await fused.gradient(params, batch), await tape.gradient(params, batch)];
    expect(a.losses).toBeAllClose(b.losses, { rtol: 1e-5 });
    expect(flat(a.gradient)).toBeAllClose(flat(b.gradient), { rtol: 1e-4 });
  });

  it('on token tangents and the Hessian-vector product', async () => {
    const [a, b] = [
      await fused.hessianVectorProduct(params, batch, tangent),
      await tape.hessianVectorProduct(params, batch, tangent),
    ];
    expect(a.tokenTangents).toBeAllClose(b.tokenTangents, { rtol: 1e-4 });
    expect(flat(a.product)).toBeAllClose(flat(b.product), { rtol: 1e-4 });
    const only = await fused.hessianVectorProduct(params, batch, tangent, { product: false });
    expect(only.product).toBeNull();
    expect(only.tokenTangents).toBeAllClose(b.tokenTangents, { rtol: 1e-4 });
  });

  it('on log-probabilities at a temperature', async () => {
    expect(await fused.logProbs(params, batch, 0.7)).toBeAllClose(await tape.logProbs(params, batch, 0.7), { rtol: 1e-4 });
  });

  it('on the policy gradient, clipped tokens, KL and entropy included', async () => {
    const logProbs = await tape.logProbs(params, batch, 1.3);
    const noise = (scale: number) => logProbs.map((lp) => lp + scale * random.normal());
    const terms = {
      advantages: logProbs.map(() => random.normal()),
      oldLogProbs: noise(0.3),
      refLogProbs: noise(0.5),
      clip: 0.2,
      klCoef: 0.3,
      entropyCoef: 0.1,
      temperature: 1.3,
    };
    const [a, b] = [await fused.policyGradient(params, batch, terms), await tape.policyGradient(params, batch, terms)];
    expect(b.clipFraction).toBeGreaterThan(0.1);
    expect(a.clipFraction).toBeCloseTo(b.clipFraction, 5);
    expect([a.entropy, a.kl]).toBeAllClose([b.entropy, b.kl], { rtol: 1e-4 });
    expect(a.logProbs).toBeAllClose(b.logProbs, { rtol: 1e-4 });
    expect(flat(a.gradient)).toBeAllClose(flat(b.gradient), { rtol: 1e-4 });
  });

  it('on samples, token by token, with an end of text', async () => {
    const prompts = { ids: Int32Array.from({ length: 9 * 5 }, () => random.integer(37)), size: 9, length: 5 };
    const options = { maxNewTokens: 12, temperature: 0.9, uniforms: random.uniforms(9 * 12), endOfText: 3 };
    const [a, b] = [await fused.sample(params, prompts, options), await tape.sample(params, prompts, options)];
    expect([...a.ids]).toEqual([...b.ids]);
    expect([...a.mask]).toEqual([...b.mask]);
    expect(a.logProbs).toBeAllClose(b.logProbs, { rtol: 1e-4 });
  });
});

describe.each(referenceCases)('fused metagradient, $spec.name', ({ spec, expected }) => {
  it('equals unrolled float64 autograd in value and scale', async () => {
    const reference = referenceModel();
    const model = fusedGpt2(reference.config, { workers: 2 });
    const { phi, tau } = await runCase(spec, model, reference.params);
    model.dispose();
    expect(phi).toBeCloseTo(expected.phi, 4);
    expect(relativeError(tau.flat(), expected.tau.flat())).toBeLessThanOrEqual(1e-3);
    expect(Math.abs(regressionSlope(tau.flat(), expected.tau.flat()) - 1)).toBeLessThanOrEqual(1e-2);
  });
});
