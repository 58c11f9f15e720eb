/**
 * Llama, Qwen2 and Qwen3 on both engines against float64: logits, losses, first and second derivatives, the policy gradient, metagradients;
 * sampling with a cache.
 */
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { metagradient } from '../../../src/learn/metagradient';
import { sgd } from '../../../src/learn/optimizer';
import { padExamples } from '../../../src/model/batch';
import { languageModel } from '../../../src/model/engine';
import { familyOf, parameterShapes } from '../../../src/model/families';
import { llama } from '../../../src/model/families/llama';
import { rotaryFrequencies } from '../../../src/model/families/rotary';
import { lmHead } from '../../../src/model/families/transformer';
import { fusedModel } from '../../../src/model/fused';
import { tapeModel } from '../../../src/model/tape/tape';
import type { LanguageModel, LlamaConfig, ModelConfig, TokenBatch } from '../../../src/model/types';
import { negativeNorm } from '../../../src/objective/norm';
import { disposeParams, type Params } from '../../../src/tensor/params';
import { randomStream } from '../../../src/tensor/random';
import { decoderLogits, decoderLogProbs, decoderLoss, decoderTokenLosses, inverseFrequency } from '../../oracles/decoderFloat64';
import { mixedSlope, numericalGradient, slope, slopes } from '../../oracles/differences';
import type { NamedValues, Values } from '../../oracles/gpt2Float64';
import { useBackend } from '../../support/backend';
import { along, directions, movedNamed } from '../../support/namedValues';
import {
  decoderParams,
  randomDecoderValues,
  TINY_BIASED_LLAMA,
  TINY_LLAMA,
  TINY_QWEN2,
  TINY_QWEN3,
} from '../../support/randomDecoder';

beforeAll(() => useBackend('cpu'));

const random = randomStream(8, 'llama');
const vocab = TINY_LLAMA.vocab_size;
const tokens = (count: number): number[] => Array.from({ length: count }, () => random.integer(vocab));
const families = [
  ['Llama', TINY_LLAMA],
  ['Llama with biases', TINY_BIASED_LLAMA],
  ['Qwen2', TINY_QWEN2],
  ['Qwen3', TINY_QWEN3],
] as const;

describe('rotary frequencies', () => {
  const llama32: LlamaConfig = {
    ...TINY_LLAMA,
    head_dim: 64,
    rope_theta: 500_000,
    rope_scaling: { factor: 32, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 },
  };

  it.each([
    ['the tiny model', TINY_LLAMA],
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

describe('parameters', () => {
  it('start from normal numbers of deviation 0.02, norms at 1', () => {
    const initial = llama.initialize({ ...TINY_BIASED_LLAMA, n_embd: 40 }, randomStream(1, 'initial'));
    expect(initial['model.layers.1.input_layernorm.weight'].dataSync().every((x) => x === 1)).toBe(true);
    expect(initial['model.layers.1.self_attn.o_proj.bias'].dataSync().every((x) => x === 0)).toBe(true);
    const head = initial['lm_head.weight'].dataSync<'float32'>();
    expect(Math.sqrt(head.reduce((sum, x) => sum + x * x, 0) / head.length)).toBeCloseTo(0.02, 2);
    expect(new Set(head).size).toBeGreaterThan(0.9 * head.length);
  });

  const million = (config: ModelConfig, tied: boolean): number =>
    Object.values(parameterShapes(config)).reduce((sum, shape) => sum + shape.reduce((a, b) => a * b), 0) -
    (tied ? config.vocab_size * config.n_embd : 0);
  const wide = { n_head: 16, num_key_value_heads: 8, head_dim: 128, intermediate_size: 3072, n_embd: 1024, n_layer: 28 };

  // the published numbers, which count a tied head once
  it.each([
    [
      {
        ...TINY_LLAMA,
        ...wide,
        vocab_size: 128_256,
        n_embd: 2048,
        n_layer: 16,
        n_head: 32,
        head_dim: 64,
        intermediate_size: 8192,
      },
      1_235_814_400,
    ],
    [
      {
        ...TINY_QWEN2,
        vocab_size: 151_936,
        n_embd: 896,
        n_layer: 24,
        n_head: 14,
        num_key_value_heads: 2,
        head_dim: 64,
        intermediate_size: 4864,
      },
      494_032_768,
    ],
    [{ ...TINY_QWEN3, ...wide, vocab_size: 151_936 }, 596_049_920],
  ])('of Llama 3.2 1B, Qwen2.5 0.5B and Qwen3 0.6B are as many as published', (config, count) => {
    expect(million(config, true)).toBe(count);
  });
});

describe('the forward pass', () => {
  const variants: [string, ModelConfig][] = [
    ...families.map(([name, config]): [string, ModelConfig] => [name, config]),
    ['one key head, no scaling', { ...TINY_LLAMA, num_key_value_heads: 1, rope_scaling: null, rope_theta: 10_000 }],
    ['as many key heads as query heads', { ...TINY_LLAMA, num_key_value_heads: 4, n_head: 4 }],
  ];

  it.each(variants)('agrees with float64: %s', (_, config) => {
    const c = config as LlamaConfig;
    const values = randomDecoderValues(c, random, 0.4);
    const [ids, weights] = [Int32Array.from(tokens(3 * 25)), decoderParams(c, values)];
    const text: TokenBatch = { ids, mask: new Float32Array(3 * 24), size: 3, length: 24 };
    const inputs = Int32Array.from([0, 1, 2].flatMap((i) => [...ids.subarray(i * 25, i * 25 + 24)]));
    const logits = tf.tidy(() => lmHead(weights, familyOf(c).hidden(weights, c, inputs, 3)).dataSync());
    expect(logits).toBeAllClose(decoderLogits(values, c, text), { rtol: 2e-6 });
  });
});

/** Both engines; the second computes in the calling thread. With them, how far a result may be from float64. */
const engines = (config: ModelConfig): [LanguageModel, number][] => [
  [tapeModel(config, { microbatch: 2 }), 1e-4],
  [fusedModel(config, { workers: 0 }), 3e-5],
];

describe.each(families)('derivatives of %s', (_, config) => {
  const p = randomDecoderValues(config, random, 0.4);
  const v = randomDecoderValues(config, random, 0.4, 0);
  const batch = padExamples([tokens(7), tokens(3), [], tokens(5)], 6, vocab);
  let [params, tangent]: Params[] = [];
  let models: [LanguageModel, number][] = [];
  beforeAll(() => {
    [params, tangent] = [decoderParams(config, p), decoderParams(config, v)];
    models = engines(config);
  });
  afterAll(() => models.forEach(([model]) => model.dispose()));
  const perExample = (cells: Values): number[] =>
    Array.from({ length: batch.size }, (_i, i) => cells.subarray(i * 6, i * 6 + 6).reduce((a, b) => a + b, 0));

  it('losses and gradient', async () => {
    const losses = perExample(decoderTokenLosses(p, config, batch));
    const ways = directions(p, random, (at) => slope((h) => decoderLoss(at(h), config, batch)));
    for (const [model, rtol] of models) {
      const found = await model.gradient(params, batch);
      expect(found.losses).toBeAllClose(losses, { rtol: 1e-5 });
      expect(Object.keys(found.gradient)).toEqual(Object.keys(p));
      expect(along(found.gradient, ways)).toBeAllClose(
        ways.map(({ expected }) => expected),
        { rtol },
      );
    }
  });

  it('token tangents, whose rows are the derivatives of the examples, and the Hessian-vector product', async () => {
    const expected = slopes((h) => decoderTokenLosses(movedNamed(p, v, h), config, batch));
    const ways = directions(p, random, (at) => mixedSlope((g, h) => decoderLoss(movedNamed(at(g), v, h), config, batch), 3e-5));
    for (const [model, rtol] of models) {
      const found = await model.hessianVectorProduct(params, batch, tangent);
      expect(found.tokenTangents).toBeAllClose(expected, { rtol });
      expect(perExample(Float64Array.from(found.tokenTangents))).toBeAllClose(perExample(expected), { rtol });
      expect(along(found.product!, ways)).toBeAllClose(
        ways.map((way) => way.expected),
        { rtol },
      );
      const alone = await model.hessianVectorProduct(params, batch, tangent, { product: false });
      expect(alone.tokenTangents).toBeAllClose(expected, { rtol });
      expect(alone.product).toBeNull();
    }
  });

  it('log-probabilities at a temperature and the policy gradient', async () => {
    const terms = { clip: 0.2, klCoef: 0.3, entropyCoef: 0, temperature: 0.8 };
    const start = Float32Array.from(decoderLogProbs(p, config, batch, terms.temperature).chosen);
    const [advantages, refLogProbs] = [start.map(() => random.normal()), start.map((lp) => lp + 0.4 * random.normal())];
    const count = batch.mask.reduce((a, b) => a + b, 0);
    const surrogate = (at: NamedValues): number =>
      decoderLogProbs(at, config, batch, terms.temperature).chosen.reduce((sum, lp, i) => {
        const gap = refLogProbs[i] - lp;
        const cell = terms.klCoef * (Math.exp(gap) - gap - 1) - Math.exp(lp - start[i]) * advantages[i];
        return sum + (batch.mask[i] * cell) / count;
      }, 0);
    const ways = directions(p, random, (at) => slope((h) => surrogate(at(h))));
    for (const [model, rtol] of models) {
      const chosen = start.map((lp, i) => lp * batch.mask[i]);
      expect(await model.logProbs(params, batch, terms.temperature)).toBeAllClose(chosen, { rtol: 2e-6 });
      const found = await model.policyGradient(params, batch, { ...terms, advantages, refLogProbs, oldLogProbs: start });
      expect(along(found.gradient, ways)).toBeAllClose(
        ways.map(({ expected }) => expected),
        { rtol },
      );
    }
  });

  it('leave no tensors behind', async () => {
    const before = tf.memory().numTensors;
    for (const [model] of models) {
      const { gradient } = await model.gradient(params, batch);
      const { product } = await model.hessianVectorProduct(params, batch, tangent);
      disposeParams(gradient, product);
    }
    expect(tf.memory().numTensors).toBe(before);
  });

  it('sampling with a cache inverts the cumulative distribution of float64, and ends rows alike', async () => {
    const [size, length, maxNewTokens, temperature] = [5, 6, 9, 0.9];
    const prompts = { ids: Int32Array.from(tokens(size * length)), size, length };
    const options = { maxNewTokens, temperature, uniforms: random.uniforms(size * maxNewTokens) };
    const sampled = await Promise.all(models.map(([model]) => model.sample(params, prompts, options)));
    const { ids } = sampled[0];
    const row = (array: Int32Array, i: number, width: number) => [...array.subarray(i * width, (i + 1) * width)];
    const texts = Array.from({ length: size }, (_i, i) => [...row(prompts.ids, i, length), ...row(ids, i, maxNewTokens)]);
    const whole = padExamples(texts, length + maxNewTokens - 1, vocab);
    const { all, chosen } = decoderLogProbs(p, config, whole, temperature);
    for (let at = 0; at < size * maxNewTokens; at++) {
      const cell = Math.floor(at / maxNewTokens) * whole.length + length - 1 + (at % maxNewTokens);
      for (const { logProbs } of sampled) expect(Math.abs(logProbs[at] - chosen[cell])).toBeLessThan(2e-5);
      const below = all.subarray(cell * vocab, cell * vocab + ids[at]).reduce((sum, log) => sum + Math.exp(log), 0);
      expect(options.uniforms[at]).toBeGreaterThan(below - 1e-5);
      expect(options.uniforms[at]).toBeLessThan(below + Math.exp(chosen[cell]) + 1e-5);
    }
    const ended = await Promise.all(models.map(([model]) => model.sample(params, prompts, { ...options, endTokens: [ids[4]] })));
    for (const other of [sampled, ended]) {
      expect([...other[1].ids]).toEqual([...other[0].ids]);
      expect([...other[1].mask]).toEqual([...other[0].mask]);
    }
    const end = ids.indexOf(ids[4]);
    expect([...ended[0].mask.subarray(0, maxNewTokens)]).toEqual(
      Array.from({ length: maxNewTokens }, (_t, t) => Number(t <= end)),
    );
  });
});

describe.each(families)('the metagradient of %s', (_, { rope_scaling: __, ...family }) => {
  const sizes = { n_embd: 4, n_layer: 1, n_head: 2, num_key_value_heads: 1, head_dim: 2, intermediate_size: 3, vocab_size: 5 };
  const config = { ...family, ...sizes, rope_scaling: null } as LlamaConfig;

  it('is the derivative of training in float64 by the examples’ weights', async () => {
    const p = randomDecoderValues(config, random, 0.5);
    const examples = [0, 1, 2, 3].map(() => Array.from({ length: 4 }, () => random.integer(5)));
    const [names, learningRate] = [Object.keys(p), 0.3];
    const trained = (weights: number[]): number => {
      let at = Object.values(p);
      for (const from of [0, 2]) {
        const batch = padExamples(examples.slice(from, from + 2), 3, 5);
        const loss = (x: Values[]): number =>
          decoderTokenLosses(Object.fromEntries(names.map((name, i) => [name, x[i]])), config, batch).reduce(
            (sum, cell, i) => sum + (weights[from + Math.floor(i / 3)] * cell) / 2,
            0,
          );
        const gradient = numericalGradient(loss, at);
        at = at.map((x, i) => x.map((value, j) => value - learningRate * gradient[i][j]));
      }
      return -Math.sqrt(at[names.indexOf('lm_head.weight')].reduce((sum, x) => sum + x * x, 0));
    };
    const expected = examples.map((_e, i) => slope((h) => trained(examples.map((_f, j) => (i === j ? 1 + h : 1))), 1e-3));
    for (const [model] of engines(config)) {
      const params = decoderParams(config, p);
      const optimizer = sgd({ learningRate });
      const found = await metagradient({
        model,
        params,
        examples,
        batchSize: 2,
        sequenceLength: 3,
        optimizer,
        objective: negativeNorm,
      });
      expect(found.phi).toBeCloseTo(trained([1, 1, 1, 1]), 5);
      expect(found.tau).toBeAllClose(expected, { rtol: 1e-4 });
      disposeParams(params, found.finalParams);
    }
  });
});

it('the engine is the fused one, unless the tape is asked for', () => {
  for (const [, config] of families) {
    const model = languageModel(config, { workers: 1 });
    expect(model.engine).toMatch(/^fused/);
    model.dispose();
    expect(languageModel(config, { engine: 'tape' }).engine).toMatch(/^tape/);
  }
});

it('a family that there is not is refused by name', () => {
  const config = { ...TINY_LLAMA, model_type: 'mamba' } as unknown as ModelConfig;
  expect(() => languageModel(config)).toThrow('model_type "mamba" is not supported (supported: gpt2, llama, qwen2, qwen3)');
});
