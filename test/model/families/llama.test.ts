/** Llama on the tape engine against float64: logits, losses, first and second derivatives, the policy gradient; sampling with a cache. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { padExamples } from '../../../src/model/batch';
import { languageModel } from '../../../src/model/engine';
import { llama } from '../../../src/model/families/llama';
import { rotaryFrequencies } from '../../../src/model/families/rotary';
import { tapeModel } from '../../../src/model/tape/tape';
import { lmHead } from '../../../src/model/families/transformer';
import type { LlamaConfig, TokenBatch } from '../../../src/model/types';
import { disposeParams, type Params } from '../../../src/tensor/params';
import { randomStream } from '../../../src/tensor/random';
import { mixedSlope, moved, slope, slopes } from '../../oracles/differences';
import type { NamedValues, Values } from '../../oracles/gpt2Float64';
import { inverseFrequency, llamaLogits, llamaLogProbs, llamaLoss, llamaTokenLosses } from '../../oracles/llamaFloat64';
import { useBackend } from '../../support/backend';
import { llamaParams, randomLlamaValues, TINY_LLAMA as config } from '../../support/randomLlama';

const random = randomStream(8, 'llama');
const p = randomLlamaValues(config, random, 0.4);
const v = randomLlamaValues(config, random, 0.4, 0);
const tokens = (count: number): number[] => Array.from({ length: count }, () => random.integer(config.vocab_size));
const batch = padExamples([tokens(7), tokens(3), [], tokens(8), tokens(5)], 7, config.vocab_size);
const model = tapeModel(config, { microbatch: 2 });
let [params, tangent]: Params[] = [];

beforeAll(async () => {
  await useBackend('cpu');
  [params, tangent] = [llamaParams(config, p), llamaParams(config, v)];
});

/** Along random directions inside one tensor at a time: ⟨result, u⟩ against the derivative of `f` along u. */
function checkPerTensor(result: Params, f: (at: (h: number) => NamedValues) => number): void {
  expect(Object.keys(result).sort()).toEqual(Object.keys(p).sort());
  const [found, expected]: number[][] = [[], []];
  for (const [name, values] of [...Object.entries(p), ...Object.entries(p)]) {
    const u = Float64Array.from(values, () => random.normal());
    expected.push(f((h) => ({ ...p, [name]: moved([values], [u], h)[0] })));
    found.push(result[name].dataSync<'float32'>().reduce((sum, x, i) => sum + x * u[i], 0));
  }
  expect(found).toBeAllClose(expected, { rtol: 1e-4 });
}

const movedNamed = (at: NamedValues, h: number): NamedValues =>
  Object.fromEntries(Object.entries(at).map(([name, x]) => [name, moved([x], [v[name]], h)[0]]));

describe('rotary frequencies', () => {
  const llama32: LlamaConfig = {
    ...config,
    head_dim: 64,
    rope_theta: 500_000,
    rope_scaling: { factor: 32, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 },
  };

  it.each([
    ['the tiny model', config],
    ['Llama 3.2', llama32],
  ])('of %s are kept, mixed and divided by the factor', (_, c) => {
    const found = rotaryFrequencies(c);
    expect(found).toBeAllClose(
      found.map((_f, pair) => inverseFrequency(pair, c)),
      { rtol: 1e-12 },
    );
    const ratios = rotaryFrequencies({ ...c, rope_scaling: null }).map((plain, pair) => plain / found[pair]);
    const { factor } = c.rope_scaling!;
    expect(ratios[0]).toBe(1);
    expect(ratios[ratios.length - 1]).toBeCloseTo(factor, 9);
    expect(ratios.some((ratio) => ratio > 1.01 && ratio < 0.99 * factor)).toBe(true);
  });
});

describe('the forward pass', () => {
  const variants: [string, Partial<LlamaConfig>][] = [
    ['grouped queries, llama3 scaling', {}],
    ['one key head, no scaling', { num_key_value_heads: 1, rope_scaling: null, rope_theta: 10_000 }],
    ['as many key heads as query heads', { num_key_value_heads: 4, n_head: 4 }],
  ];

  it.each(variants)('agrees with float64: %s', (_, change) => {
    const c = { ...config, ...change };
    const values = randomLlamaValues(c, random, 0.4);
    const [ids, weights] = [Int32Array.from(tokens(3 * 25)), llamaParams(c, values)];
    const text: TokenBatch = { ids, mask: new Float32Array(3 * 24), size: 3, length: 24 };
    const inputs = Int32Array.from([0, 1, 2].flatMap((i) => [...ids.subarray(i * 25, i * 25 + 24)]));
    const logits = tf.tidy(() => lmHead(weights, llama.hidden(weights, c, inputs, 3)).dataSync());
    expect(logits).toBeAllClose(llamaLogits(values, c, text), { rtol: 2e-6 });
  });

  it('gives log-probabilities at a temperature', async () => {
    expect(await model.logProbs(params, batch, 0.7)).toBeAllClose(
      llamaLogProbs(p, config, batch, 0.7).chosen.map((lp, i) => lp * batch.mask[i]),
      { rtol: 2e-6 },
    );
  });

  it('starts from normal numbers of deviation 0.02, norms at 1', () => {
    const initial = llama.initialize({ ...config, n_embd: 40 }, randomStream(1, 'initial'));
    expect(initial['model.layers.1.input_layernorm.weight'].dataSync().every((x) => x === 1)).toBe(true);
    const head = initial['lm_head.weight'].dataSync<'float32'>();
    expect(Math.sqrt(head.reduce((sum, x) => sum + x * x, 0) / head.length)).toBeCloseTo(0.02, 2);
    expect(new Set(head).size).toBeGreaterThan(0.9 * head.length);
  });
});

describe('derivatives', () => {
  const perExample = (cells: Values): number[] =>
    Array.from({ length: batch.size }, (_, i) => cells.subarray(i * 7, i * 7 + 7).reduce((a, b) => a + b, 0));

  it('losses and gradient', async () => {
    const { losses, gradient } = await model.gradient(params, batch);
    expect(losses).toBeAllClose(perExample(llamaTokenLosses(p, config, batch)), { rtol: 1e-5 });
    checkPerTensor(gradient, (at) => slope((h) => llamaLoss(at(h), config, batch)));
  });

  it('token tangents, whose rows are the derivatives of the examples, with and without the product', async () => {
    const expected = slopes((h) => llamaTokenLosses(movedNamed(p, h), config, batch));
    for (const product of [true, false]) {
      const found = await model.hessianVectorProduct(params, batch, tangent, { product });
      expect(found.tokenTangents).toBeAllClose(expected, { rtol: 1e-4 });
      expect(perExample(Float64Array.from(found.tokenTangents))).toBeAllClose(perExample(expected), { rtol: 1e-4 });
      expect(found.product === null).toBe(!product);
    }
  });

  it('Hessian-vector product', async () => {
    const { product } = await model.hessianVectorProduct(params, batch, tangent);
    checkPerTensor(product!, (at) => mixedSlope((g, h) => llamaLoss(movedNamed(at(g), h), config, batch), 3e-5));
  });

  it('policy gradient', async () => {
    const terms = { clip: 0.2, klCoef: 0.3, entropyCoef: 0, temperature: 0.8 };
    const start = Float32Array.from(llamaLogProbs(p, config, batch, terms.temperature).chosen);
    const [advantages, refLogProbs] = [start.map(() => random.normal()), start.map((lp) => lp + 0.4 * random.normal())];
    const count = batch.mask.reduce((a, b) => a + b, 0);
    const surrogate = (at: NamedValues): number =>
      llamaLogProbs(at, config, batch, terms.temperature).chosen.reduce((sum, lp, i) => {
        const gap = refLogProbs[i] - lp;
        const cell = terms.klCoef * (Math.exp(gap) - gap - 1) - Math.exp(lp - start[i]) * advantages[i];
        return sum + (batch.mask[i] * cell) / count;
      }, 0);
    const found = await model.policyGradient(params, batch, { ...terms, advantages, refLogProbs, oldLogProbs: start });
    checkPerTensor(found.gradient, (at) => slope((h) => surrogate(at(h))));
  });

  it('leave no tensors behind', async () => {
    const before = tf.memory().numTensors;
    const { gradient } = await model.gradient(params, batch);
    const { product } = await model.hessianVectorProduct(params, batch, tangent);
    disposeParams(gradient, product);
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('sampling with a cache', () => {
  const [size, length, maxNewTokens, temperature] = [5, 6, 9, 0.9];
  const vocab = config.vocab_size;
  const prompts = { ids: Int32Array.from(tokens(size * length)), size, length };
  const options = { maxNewTokens, temperature, uniforms: random.uniforms(size * maxNewTokens) };
  const row = <A extends Int32Array | Float32Array>(array: A, i: number, width: number): A =>
    array.slice(i * width, (i + 1) * width) as A;

  it('inverts the cumulative distribution of the float64 model, and says the log-probabilities of the whole forward pass', async () => {
    const before = tf.memory().numTensors;
    const { ids, logProbs } = await model.sample(params, prompts, options);
    expect(tf.memory().numTensors).toBe(before);
    const texts = Array.from({ length: size }, (_, i) => [...row(prompts.ids, i, length), ...row(ids, i, maxNewTokens)]);
    const whole = padExamples(texts, length + maxNewTokens - 1, vocab);
    const forward = await model.logProbs(params, whole, temperature);
    const { all, chosen } = llamaLogProbs(p, config, whole, temperature);
    for (let at = 0; at < size * maxNewTokens; at++) {
      const cell = Math.floor(at / maxNewTokens) * whole.length + length - 1 + (at % maxNewTokens);
      expect(Math.abs(logProbs[at] - chosen[cell])).toBeLessThan(2e-5);
      expect(Math.abs(logProbs[at] - forward[cell])).toBeLessThan(2e-5);
      const below = all.subarray(cell * vocab, cell * vocab + ids[at]).reduce((sum, log) => sum + Math.exp(log), 0);
      expect(options.uniforms[at]).toBeGreaterThan(below - 1e-5);
      expect(options.uniforms[at]).toBeLessThan(below + Math.exp(chosen[cell]) + 1e-5);
    }
  });

  it('gives a row the same tokens alone, and ends it after the end token', async () => {
    const free = await model.sample(params, prompts, options);
    const [ids, uniforms] = [row(prompts.ids, 3, length), row(options.uniforms, 3, maxNewTokens)];
    const own = [...row(free.ids, 3, maxNewTokens)];
    const endOfText = own[4];
    const alone = await model.sample(params, { ids, size: 1, length }, { ...options, uniforms, endOfText });
    const end = own.indexOf(endOfText);
    expect([...alone.ids]).toEqual(own.map((id, t) => (t <= end ? id : endOfText)));
    expect([...alone.mask]).toEqual(own.map((_, t) => Number(t <= end)));
  });
});

describe('the engine', () => {
  it('is the tape, and never the fused one', () => {
    expect(languageModel(config).engine).toMatch(/^tape/);
    expect(languageModel(config, { engine: 'tape' }).config).toBe(config);
    expect(() => languageModel(config, { engine: 'fused' })).toThrow(
      /the fused engine has no layers for a Llama; take the engine "tape"/,
    );
  });

  it('knows the shapes of Llama 3.2 1B', () => {
    const shapes = llama.shapes({
      ...config,
      vocab_size: 128_256,
      n_embd: 2048,
      n_layer: 16,
      n_head: 32,
      num_key_value_heads: 8,
      head_dim: 64,
      intermediate_size: 8192,
    });
    const count = Object.values(shapes).reduce((sum, shape) => sum + shape.reduce((a, b) => a * b), 0);
    expect(count - 128_256 * 2048).toBe(1_235_814_400); // the published number, which counts the tied head once
  });
});
