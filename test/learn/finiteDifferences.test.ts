/** τ against central differences of Φ over the example weights: the definition itself. */
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { batchesOf, trainingStep } from '../../src/learn/fineTune';
import { metagradient } from '../../src/learn/metagradient';
import { valueAndGradient, type Objective } from '../../src/learn/objective';
import { adamw, sgd, type Optimizer } from '../../src/learn/optimizer';
import { padExamples } from '../../src/model/batch';
import { initializeGpt2 } from '../../src/model/families/gpt2';
import { tapeGpt2 } from '../../src/model/tape/tape';
import { likelihoodObjective } from '../../src/objective/likelihood';
import { patternObjective } from '../../src/objective/pattern';
import { disposeParams, type Params } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { relativeError } from '../setup';
import { useBackend } from '../support/backend';

const config = { vocab_size: 11, n_positions: 8, n_embd: 8, n_layer: 1, n_head: 2, layer_norm_epsilon: 1e-5 };
const random = randomStream(5, 'finite differences');
const examples = Array.from({ length: 24 }, (_, i) => Array.from({ length: 4 + (i % 4) }, () => random.integer(11)));
const data = { examples, batchSize: 6, sequenceLength: 6 };

/** Φ after fine-tuning with the weight of some cells of the masks changed, as a function of both. */
async function phiOf(model: ReturnType<typeof tapeGpt2>, params: Params, optimizer: Optimizer, objective: Objective) {
  const run = { model, optimizer, trees: { hold: () => undefined, free: () => undefined }, losses: [] };
  const batches = batchesOf(model, data);
  const states = [optimizer.init(params)]; // before each step: a weight changes nothing before its own
  for (const batch of batches) states.push((await trainingStep(run, states.at(-1)!, batch)).after);
  return async (cells: readonly number[], weight: number): Promise<number> => {
    const weightsOf = ({ mask }: { mask: Float32Array }, t: number) =>
      mask.map((m, i) => (cells.includes(t * mask.length + i) ? m * weight : m));
    const first = Math.floor(Math.min(...cells) / batches[0].mask.length);
    let state = states[first];
    for (let t = first; t < batches.length; t++)
      state = (await trainingStep(run, state, { ...batches[t], mask: weightsOf(batches[t], t) })).after;
    return (await valueAndGradient(objective, state.params)).phi;
  };
}

/** dΦ/dw by central differences, extrapolated to width 0 (Richardson). */
async function slopeAt(phi: (weight: number) => Promise<number>, h: number): Promise<number> {
  const central = async (width: number) => ((await phi(1 + width)) - (await phi(1 - width))) / (2 * width);
  return (4 * (await central(h / 2)) - (await central(h))) / 3;
}

const ranks = (values: ArrayLike<number>): number[] => {
  const order = Array.from(values, (_, i) => i).sort((a, b) => values[a] - values[b]);
  return order.reduce<number[]>((r, i, rank) => ((r[i] = rank), r), []);
};
const spearman = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  const [x, y] = [ranks(a), ranks(b)];
  return 1 - (6 * x.reduce((sum, r, i) => sum + (r - y[i]) ** 2, 0)) / (x.length * (x.length ** 2 - 1));
};

const optimizers: Record<string, Optimizer> = {
  adamw: adamw({ learningRate: 0.01, epsRoot: 1e-3, weightDecay: 0.05 }),
  sgd: sgd({ learningRate: 0.2 }),
};

describe.each(Object.keys(optimizers))('metagradient through %s', (name) => {
  const optimizer = optimizers[name];
  const model = tapeGpt2(config);
  let params: Params;
  beforeAll(async () => {
    await useBackend('cpu');
    params = Object.fromEntries(
      Object.entries(initializeGpt2(config, randomStream(2, 'model'))).map(([key, x]) => [
        key,
        tf.mul(x, /ln_|bias/.test(key) ? 1 : 6),
      ]),
    );
  });
  afterEach(() => tf.disposeVariables());

  const objectives: Record<string, () => Objective> = {
    pattern: () =>
      patternObjective(
        [
          [1, -1, 1],
          [-1, -1, 1],
        ],
        params,
        { strength: 20 },
      ),
    likelihood: () =>
      likelihoodObjective(
        model,
        padExamples(
          [
            [1, 2, 3, 4, 5],
            [6, 7, 8],
          ],
          6,
          11,
        ),
      ),
  };

  it.each(Object.keys(objectives))('equals central differences in every example, Φ = %s', async (kind) => {
    const objective = objectives[kind]();
    const { tau } = await metagradient({ model, params, optimizer, objective, ...data });
    const phi = await phiOf(model, params, optimizer, objective);
    const differences: number[] = [];
    for (let i = 0; i < examples.length; i++) {
      const cells = Array.from({ length: 6 }, (_, t) => i * 6 + t);
      differences.push(await slopeAt((weight) => phi(cells, weight), 0.1));
    }
    expect(relativeError(tau, differences)).toBeLessThan(0.02);
    expect(spearman(tau, differences)).toBeGreaterThanOrEqual(0.99);
  });

  it('equals central differences in single tokens', async () => {
    const objective = objectives.likelihood();
    const { tau, tokenTau, sequenceLength } = await metagradient({ model, params, optimizer, objective, ...data });
    const scale = Math.max(...tokenTau.map(Math.abs));
    const phi = await phiOf(model, params, optimizer, objective);
    for (const cell of [0, 6, 14, 25]) {
      const slope = await slopeAt((weight) => phi([cell], weight), 0.4);
      expect(Math.abs(tokenTau[cell] - slope)).toBeLessThan(0.02 * scale);
    }
    tau.forEach((t, i) =>
      expect(tokenTau.subarray(i * sequenceLength, (i + 1) * sequenceLength).reduce((a, b) => a + b, 0)).toBeCloseTo(t, 6),
    );
  });

  it('does not depend on the microbatch', async () => {
    const objective = objectives.pattern();
    const whole = await metagradient({ model, params, optimizer, objective, ...data });
    const pieces = await metagradient({ model: tapeGpt2(config, { microbatch: 1 }), params, optimizer, objective, ...data });
    expect(pieces.tau).toBeAllClose(whole.tau, { rtol: 1e-4 });
  });

  it('leaves no tensors behind', async () => {
    const objective = objectives.pattern();
    const before = tf.memory().numTensors;
    const { finalParams } = await metagradient({ model, params, optimizer, objective, ...data });
    disposeParams(finalParams);
    expect(tf.memory().numTensors).toBe(before);
  });
});
