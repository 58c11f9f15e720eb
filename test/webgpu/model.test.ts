/** A GPT-2 on the GPU against the fused engine on the CPU, and the reference cases. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { runCase } from '../../src/experiments/metagradientSpec';
import { gpt2 } from '../../src/model/engine';
import { fusedModel } from '../../src/model/fused';
import { gpuModel } from '../../src/model/fused/onGpu';
import type { LanguageModel, PolicyTerms } from '../../src/model/types';
import { gpuTensors } from '../../src/tensor/gpuTensors';
import type { Params } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { packed, randomAllowed } from '../support/allowedTokens';
import { randomBatch, randomValues, toParams } from '../support/randomGpt2';
import { referenceCases, referenceModel } from '../support/reference';
import { regressionSlope, relativeError } from '../setup';
import { useGpu } from './twins';

useGpu();

const config = { vocab_size: 37, n_positions: 12, n_embd: 20, n_layer: 2, n_head: 2, layer_norm_epsilon: 1e-5 };

describe('of 2 layers, width 20', () => {
  const random = randomStream(1, 'gpu');
  const batch = randomBatch(config, random, 5, 7);
  const cpu = fusedModel(config, { workers: 0 });
  let [gpu, whole]: LanguageModel[] = [];
  let [params, tangent]: Params[] = [];
  beforeAll(() => {
    [gpu, whole] = [gpuModel(config, { microbatchRows: 14, logitBytes: 4 * 37 * 5 }), gpuModel(config)]; // several of everything, and one
    [params, tangent] = [
      toParams(config, randomValues(config, random, 0.3)),
      toParams(config, randomValues(config, random, 0.3, 0)),
    ];
  });

  const expectTree = (found: Params, expected: Params): void => {
    for (const [name, values] of Object.entries(expected))
      expect(found[name].dataSync(), name).toBeAllClose(values.dataSync(), { rtol: 2e-5 });
  };

  test('losses and gradient', async () => {
    const expected = await cpu.gradient(params, batch);
    for (const model of [gpu, whole]) {
      const { losses, gradient } = await model.gradient(params, batch);
      expect(losses).toBeAllClose(expected.losses, { rtol: 1e-5 });
      expectTree(gradient, expected.gradient);
    }
  });

  test('token tangents, with and without the Hessian-vector product', async () => {
    const expected = await cpu.hessianVectorProduct(params, batch, tangent);
    for (const model of [gpu, whole]) {
      const { tokenTangents, product } = await model.hessianVectorProduct(params, batch, tangent);
      expect(tokenTangents).toBeAllClose(expected.tokenTangents, { rtol: 2e-5 });
      expectTree(product!, expected.product!);
      const alone = await model.hessianVectorProduct(params, batch, tangent, { product: false });
      expect(alone.product).toBeNull();
      expect(alone.tokenTangents).toBeAllClose(expected.tokenTangents, { rtol: 2e-5 });
    }
  });

  test('log-probabilities at a temperature', async () => {
    const expected = await cpu.logProbs(params, batch, 0.7);
    expect(await gpu.logProbs(params, batch, 0.7)).toBeAllClose(expected, { rtol: 1e-5 });
  });

  test('policy gradient with and without a reference', async () => {
    const values = () => Float32Array.from(batch.mask, () => random.normal());
    const terms: PolicyTerms = {
      ...{ advantages: values(), oldLogProbs: values().map((x) => x - 3), refLogProbs: values().map((x) => x - 3) },
      ...{ clip: 0.2, klCoef: 0.1, entropyCoef: 0.01, temperature: 0.9 },
    };
    for (const asked of [terms, { ...terms, refLogProbs: undefined, klCoef: 0 }]) {
      const expected = await cpu.policyGradient(params, batch, asked);
      const found = await gpu.policyGradient(params, batch, asked);
      expect(found.logProbs).toBeAllClose(expected.logProbs, { rtol: 1e-5 });
      const numbers = ({ entropy, kl, clipFraction }: typeof found) => [entropy, kl, clipFraction];
      expect(numbers(found)).toBeAllClose(numbers(expected), { rtol: 1e-5 });
      expectTree(found.gradient, expected.gradient);
    }
  });

  test('the same tokens are sampled, with an end and without', async () => {
    const prompts = { ids: Int32Array.from({ length: 15 }, () => random.integer(37)), size: 5, length: 3 };
    const uniforms = Float32Array.from({ length: 45 }, () => random.uniform());
    for (const endOfText of [undefined, 7]) {
      const options = { maxNewTokens: 9, temperature: 0.8, uniforms, endOfText };
      const expected = await cpu.sample(params, prompts, options);
      for (const model of [gpu, gpuModel(config, { sampledRows: 2 })]) {
        const { ids, mask, logProbs } = await model.sample(params, prompts, options);
        expect([ids, mask]).toEqual([expected.ids, expected.mask]);
        expect(logProbs).toBeAllClose(expected.logProbs, { rtol: 1e-5 });
      }
    }
  });

  test('on a support: log-probabilities, the policy gradient, and samples that make one', async () => {
    const label = (cell: number) => batch.ids[Math.floor(cell / 7) * 8 + (cell % 7) + 1];
    const on = { ...batch, support: packed(randomAllowed(random, 35, 37, label), 37) };
    const expected = await cpu.logProbs(params, on, 0.7);
    expect(await gpu.logProbs(params, on, 0.7)).toBeAllClose(expected, { rtol: 1e-5 });
    const advantages = Float32Array.from(batch.mask, () => random.normal());
    const terms = { ...{ advantages, oldLogProbs: expected, clip: 0.2, klCoef: 0, entropyCoef: 0.1, temperature: 0.9 } };
    const [a, b] = [await gpu.policyGradient(params, on, terms), await cpu.policyGradient(params, on, terms)];
    expect(a.entropy).toBeCloseTo(b.entropy, 5);
    expectTree(a.gradient, b.gradient);
    const prompts = { ids: Int32Array.from({ length: 15 }, () => random.integer(37)), size: 5, length: 3 };
    const writable = packed([Array.from({ length: 36 }, (_, id) => id).filter((id) => id % 3 > 0)], 37);
    const drawing = { maxNewTokens: 9, temperature: 0.8, uniforms: random.uniforms(45), writable, endTokens: [7] };
    for (const minP of [0, 0.1]) {
      const asked = { ...drawing, minP, reference: tangent };
      const drawn = await cpu.sample(params, prompts, asked);
      for (const model of [gpu, gpuModel(config, { sampledRows: 2 })]) {
        const { ids, mask, logProbs, support } = await model.sample(params, prompts, asked);
        expect([ids, mask, support]).toEqual([drawn.ids, drawn.mask, drawn.support]);
        expect(logProbs).toBeAllClose(drawn.logProbs, { rtol: 1e-5 });
      }
    }
  });

  test('a batch in which no token counts', async () => {
    const { losses, gradient } = await gpu.gradient(params, { ...batch, mask: new Float32Array(35) });
    expect(losses).toEqual(new Float32Array(5));
    expect(gradient['lm_head.weight'].dataSync().every((x) => x === 0)).toBe(true);
  });

  test('one read for each operation, the same dispatches each time, no tensor left behind', async () => {
    const { counts } = gpuTensors().recorder;
    const counted = async (run: () => Promise<unknown>) => {
      const before = { ...counts };
      await run();
      return { reads: counts.reads - before.reads, dispatches: counts.dispatches - before.dispatches };
    };
    const tensors = tf.memory().numTensors;
    const first = await counted(async () => tf.dispose((await whole.gradient(params, batch)).gradient));
    expect(await counted(async () => tf.dispose((await whole.gradient(params, batch)).gradient))).toEqual(first);
    expect(first.reads).toBe(1);
    expect((await counted(() => whole.hessianVectorProduct(params, batch, tangent, { product: false }))).reads).toBe(1);
    expect(tf.memory().numTensors).toBe(tensors);
  });
});

test.each(referenceCases.filter(({ spec }) => spec.batches.length <= 4))(
  'metagradient of $spec.name equals unrolled float64 autograd in value and scale',
  async ({ spec, expected }) => {
    const { config: reference, params } = referenceModel();
    const { phi, tau, trainLosses } = await runCase(spec, gpt2(reference), params);
    expect(phi).toBeCloseTo(expected.phi, 4);
    expect(trainLosses).toBeAllClose(expected.train_losses, { rtol: 1e-5 });
    expect(relativeError(tau.flat(), expected.tau.flat())).toBeLessThanOrEqual(1e-3);
    expect(Math.abs(regressionSlope(tau.flat(), expected.tau.flat()) - 1)).toBeLessThanOrEqual(1e-2);
  },
);
