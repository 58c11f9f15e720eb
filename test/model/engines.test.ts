/** The two engines check each other on everything a language model does. */
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCase } from '../../src/experiments/metagradientSpec';
import { padExamples } from '../../src/model/batch';
import { fusedModel } from '../../src/model/fused';
import { initializeGpt2 } from '../../src/model/families/gpt2';
import { tapeGpt2 } from '../../src/model/tape/tape';
import type { LanguageModel, PolicyTerms } from '../../src/model/types';
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
  [tape, fused] = [tapeGpt2(config), fusedModel(config, { workers: 2 })];
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
    const options = { maxNewTokens: 12, temperature: 0.9, uniforms: random.uniforms(9 * 12), endTokens: [3, 7] };
    const [a, b] = [await fused.sample(params, prompts, options), await tape.sample(params, prompts, options)];
    expect([...a.ids]).toEqual([...b.ids]);
    expect([...a.mask]).toEqual([...b.mask]);
    expect(a.logProbs).toBeAllClose(b.logProbs, { rtol: 1e-4 });
  });
});

describe('both engines', () => {
  const engines = () => [fused, tape];
  const cells = (value: number) => new Float32Array(batch.size * batch.length).fill(value);
  const terms: PolicyTerms = {
    ...{ advantages: cells(1), oldLogProbs: cells(-3), clip: 0.2, klCoef: 0, entropyCoef: 0.1, temperature: 1 },
  };
  const prompts = { ids: new Int32Array(6).fill(1), size: 2, length: 3 };
  const sampling = { maxNewTokens: 4, temperature: 1, uniforms: new Float32Array(8).fill(0.4) };
  /** The parameters with one number of a tensor changed. */
  const spoilt = (name: string, value: number, at = 3): Params => {
    const values = params[name].dataSync<'float32'>().slice();
    values[at] = value;
    return { ...params, [name]: tf.tensor(values, params[name].shape) };
  };

  it('are stopped by the clip, however far the policy has moved', async () => {
    const far = { ...terms, oldLogProbs: cells(-200) }; // a ratio of e^197, more than float32 holds
    const [a, b] = [await fused.policyGradient(params, batch, far), await tape.policyGradient(params, batch, far)];
    expect([a.clipFraction, b.clipFraction]).toEqual([1, 1]);
    expect(flat(a.gradient)).toBeAllClose(flat(b.gradient), { rtol: 1e-4 });
    expect(flat(a.gradient).every(Number.isFinite)).toBe(true);
    expect(a.entropy).toBeCloseTo(b.entropy, 4);
  });

  it.each<[string, Partial<PolicyTerms> & { batch?: Partial<typeof batch> }, string]>([
    ['KL without a reference', { klCoef: 0.1 }, 'klCoef 0.1 needs refLogProbs'],
    ['no token that counts', { batch: { mask: cells(0) } }, 'at least one token that counts'],
    ['advantages of another batch', { advantages: new Float32Array(3) }, 'advantages must have 187 elements (got 3)'],
    ['temperature 0', { temperature: 0 }, 'temperature must be positive (got 0)'],
    ['ids outside the vocabulary', { batch: { ids: new Int32Array(batch.ids.length).fill(37) } }, 'token id 37 is outside'],
    ['too many positions', { batch: { length: 25 } }, "length 25 exceeds the model's 24 positions"],
  ])('refuse a policy gradient with %s', async (_, { batch: other, ...more }, message) => {
    for (const engine of engines())
      await expect(engine.policyGradient(params, { ...batch, ...other }, { ...terms, ...more })).rejects.toThrow(message);
  });

  it('refuse half a token', async () => {
    for (const engine of engines())
      await expect(engine.sample(params, prompts, { ...sampling, maxNewTokens: 2.5 })).rejects.toThrow('(got 2.5)');
  });

  it.each([NaN, Infinity])('sample nothing from weights with %s, and name the tensor', async (value) => {
    const name = 'transformer.h.1.mlp.c_fc.weight';
    for (const engine of engines()) {
      await engine.sample(params, prompts, sampling); // leaves tokens behind that must not come back
      const failing = engine.sample(spoilt(name, value), prompts, sampling);
      await expect(failing).rejects.toThrow(`sampling: the weights "${name}" hold ${value} (number 3 of 1600)`);
    }
  });

  it('give no finite loss for a head with a row of NaN', async () => {
    for (const engine of engines()) {
      const { losses } = await engine.gradient(spoilt('lm_head.weight', NaN, 36 * 20), batch);
      expect([...losses].every(Number.isNaN)).toBe(true);
    }
  });
});

it('the tape lets the event loop turn at every microbatch and token, so that Ctrl-C is heard', async () => {
  const model = tapeGpt2(config, { microbatch: 1 });
  const few = { ids: batch.ids.slice(0, 3 * 18), mask: batch.mask.slice(0, 3 * 17), size: 3, length: 17 };
  const perToken = new Float32Array(few.mask.length);
  const terms = { advantages: perToken, oldLogProbs: perToken, clip: 0.2, klCoef: 0, entropyCoef: 0, temperature: 1 };
  const prompts = { ids: new Int32Array(2).fill(1), size: 2, length: 1 };
  const calls: [number, () => Promise<unknown>][] = [
    [few.size, () => model.gradient(params, few)],
    [few.size, () => model.hessianVectorProduct(params, few, tangent)],
    [few.size, () => model.logProbs(params, few)],
    [few.size, () => model.policyGradient(params, few, terms)],
    [9, () => model.sample(params, prompts, { maxNewTokens: 9, temperature: 1, uniforms: new Float32Array(18) })],
  ];
  for (const [pieces, call] of calls) {
    let [turns, running] = [0, true];
    const turn = () => void (running && (turns++, setImmediate(turn)));
    setImmediate(turn);
    await call();
    running = false;
    expect(turns).toBeGreaterThanOrEqual(pieces);
  }
});

describe.each(referenceCases)('fused metagradient, $spec.name', ({ spec, expected }) => {
  it('equals unrolled float64 autograd in value and scale', async () => {
    const reference = referenceModel();
    const model = fusedModel(reference.config, { workers: 2 });
    const { phi, tau } = await runCase(spec, model, reference.params);
    model.dispose();
    expect(phi).toBeCloseTo(expected.phi, 4);
    expect(relativeError(tau.flat(), expected.tau.flat())).toBeLessThanOrEqual(1e-3);
    expect(Math.abs(regressionSlope(tau.flat(), expected.tau.flat()) - 1)).toBeLessThanOrEqual(1e-2);
  });
});
