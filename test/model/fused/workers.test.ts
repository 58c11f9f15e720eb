/** Worker threads: results do not depend on them, failures reach the caller, idle threads let the process end. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gpt2 } from '../../../src/model/families/gpt2';
import { fusedModel } from '../../../src/model/fused';
import { workerThreads } from '../../../src/model/fused/pool';
import type { Params } from '../../../src/tensor/params';
import { randomStream } from '../../../src/tensor/random';
import { useBackend } from '../../support/backend';
import { flat, randomBatch, randomValues, toParams } from '../../support/randomGpt2';

const config = { vocab_size: 37, n_positions: 9, n_embd: 20, n_layer: 2, n_head: 2, layer_norm_epsilon: 1e-5 };
const random = randomStream(6, 'workers');
const batch = randomBatch(config, random, 7, 9);
const models = [1, 2, 3].map((workers) => fusedModel(config, { workers }));
let [params, tangent]: Params[] = [];

beforeAll(async () => {
  await useBackend('cpu');
  params = toParams(config, randomValues(config, random, 0.3));
  tangent = toParams(config, randomValues(config, random, 0.3, 0));
});
afterAll(() => models.forEach((model) => model.dispose()));

it('agrees on 1, 2 and 3 workers, and repeats bit for bit', async () => {
  const results = await Promise.all(
    [...models, ...models].map(async (model) => {
      const { losses, gradient } = await model.gradient(params, batch);
      const { tokenTangents, product } = await model.hessianVectorProduct(params, batch, tangent);
      return [losses, flat(gradient), tokenTangents, flat(product!)];
    }),
  );
  for (const other of results.slice(1, 3))
    other.forEach((values, i) => expect(values).toBeAllClose(results[0][i], { rtol: 1e-5 }));
  expect(results.slice(3)).toEqual(results.slice(0, 3));
});

it('runs fused multiply-adds, on Node 20 as on later ones', () => {
  expect(models.map(({ engine }) => engine)).toEqual([1, 2, 3].map((n) => `fused, ${n} worker${n > 1 ? 's' : ''}, relaxed SIMD`));
});

it('uses no more workers than examples', async () => {
  const one = randomBatch(config, random, 1, 9);
  const mask = one.mask.fill(1);
  const [a, b] = [await models[0].gradient(params, { ...one, mask }), await models[2].gradient(params, { ...one, mask })];
  expect(flat(b.gradient)).toEqual(flat(a.gradient));
});

it('sees a variable that was assigned new values', async () => {
  const name = 'transformer.ln_f.bias';
  const variable = tf.variable(params[name]);
  const before = await models[0].gradient({ ...params, [name]: variable }, batch);
  variable.assign(tf.add<tf.Tensor1D>(variable, 1));
  const after = await models[0].gradient({ ...params, [name]: variable }, batch);
  expect(after.losses).not.toEqual(before.losses);
});

describe('a worker that fails', () => {
  const tooMany = new SharedArrayBuffer(2 ** 20); // parameters: setting them throws in the worker
  const task = { params: { values: tooMany, version: 1 }, batch, temperature: 1 };

  it('rejects the pending call and later ones with its error', async () => {
    const team = workerThreads(2, { layers: gpt2.fused!(config) });
    await expect(team.run('logProbs', [task, task])).rejects.toThrow(RangeError);
    const first = await team.run('logProbs', [task]).catch((error: Error) => error.message);
    const second = await team.run('logProbs', [task]).catch((error: Error) => error.message);
    expect(second).toBe(first);
  });

  it('does so when the model is disposed during a call', async () => {
    const model = fusedModel(config, { workers: 2 });
    const call = model.gradient(params, batch);
    model.dispose();
    await expect(call).rejects.toThrow('disposed');
    await expect(model.logProbs(params, batch)).rejects.toThrow('disposed');
  });
});

it('lets the process end while idle', async () => {
  const built = path.resolve(__dirname, '../../../dist/model/fused/pool.js');
  const script = `
    const { workerThreads } = require(${JSON.stringify(built)});
    const team = workerThreads(2, { layers: ${JSON.stringify(gpt2.fused!(config))} });
    const task = { parts: [new SharedArrayBuffer(8)], from: 0, to: 2 };
    team.run('reduce', [task, task]).then(() => console.log('done'));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', script], { timeout: 20_000 });
  expect(stdout).toBe('done\n');
});
