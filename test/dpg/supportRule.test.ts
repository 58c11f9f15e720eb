/**
 * What a generator may write, from the configuration to the rollouts: no token that its tokenizer lacks, none that it was not likely to
 * write untrained.
 */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { generate } from '../../src/dpg/generate';
import { actorOf, type Experiment } from '../../src/dpg/experiment';
import { startTraining, train, type TrainStep } from '../../src/dpg/train';
import { validate } from '../../src/dpg/validate';
import { fusedModel } from '../../src/model/fused';
import { tapeGpt2 } from '../../src/model/tape/tape';
import { negativeNorm } from '../../src/objective/norm';
import { responsesOf } from '../../src/policy/rollouts';
import { disposeParams, mapParams } from '../../src/tensor/params';
import { useBackend } from '../support/backend';
import { TINY, tinyExperiment } from '../support/tinyExperiment';

beforeAll(() => useBackend('cpu'));

async function run(experiment: Experiment, state = startTraining(experiment), count = Infinity): Promise<TrainStep[]> {
  const steps: TrainStep[] = [];
  for await (const step of train({ ...experiment, state })) if (steps.push(step) >= count) break;
  return steps;
}

const rowsOf = (steps: readonly TrainStep[]) => steps.map(({ row: { seconds: _, ...row } }) => row);

describe.each(['fused', 'tape'])('a vocabulary padded beyond the tokenizer, %s', (engine) => {
  const config = { ...TINY, vocab_size: 40 };
  /** The tiny experiment's models with 29 more tokens, which the generator would write almost always. */
  function padded(): Experiment {
    const experiment = tinyExperiment({ klCoef: 0.1, minibatch: 24 });
    const model = engine === 'tape' ? tapeGpt2(config) : fusedModel(config, { workers: 0 });
    const actor = ({ params, tokenizer }: Experiment['generator']) => {
      const pad = (name: string, x: tf.Tensor) => (/wte|lm_head/.test(name) ? tf.pad(x, [[0, 29], [0, 0]], 3) : x); // prettier-ignore
      return actorOf(model, mapParams(pad, params), tokenizer);
    };
    const [generator, target] = [actor(experiment.generator), actor(experiment.target)];
    return { ...experiment, generator, target, objective: negativeNorm, observe: () => ({ metrics: {} }) };
  }

  it('is written from the tokens that the tokenizer has, in training, after a resume and in validation', async () => {
    const experiment = padded();
    const whole = await run(experiment);
    expect(whole).toHaveLength(4);
    for (const { rollouts } of whole) expect(Math.max(...rollouts.ids)).toBeLessThan(11);
    const state = startTraining(experiment);
    const parts = [...(await run(experiment, state, 2)), ...(await run(experiment, state))];
    expect(rowsOf(parts)).toEqual(rowsOf(whole));
    const { examples, tuned } = await validate(experiment, state);
    expect(examples.every(({ response }) => /^[etaoins]*$/.test(response))).toBe(true);
    expect(await generate(experiment.generator, 'eta', { maxNewTokens: 9 })).toMatch(/^[etaoins]*$/);
    disposeParams(tuned);
  });

  it('moves as if it were not padded where the padding has no probability', async () => {
    const plain = await run(tinyExperiment({ klCoef: 0.1, minibatch: 24 }), undefined, 1);
    const [first] = await run(padded(), undefined, 1);
    expect([...first.rollouts.ids]).toEqual([...plain[0].rollouts.ids]);
    expect([first.row.entropy, first.row.kl]).toBeAllClose([plain[0].row.entropy, plain[0].row.kl], { rtol: 1e-4, atol: 1e-6 });
  });
});

/** The untrained generator's probability of every token of some responses, as a share of its likeliest token's there. */
async function shares(
  { generator }: Experiment,
  prompts: readonly (readonly number[])[],
  responses: number[][],
): Promise<number[]> {
  const { model, params } = generator;
  const result: number[] = [];
  for (const [i, response] of responses.entries())
    for (const [t, drawn] of response.entries()) {
      const before = [...prompts[i], ...response.slice(0, t)];
      const ids = Int32Array.from(Array.from({ length: 11 }, (_, id) => [...before, id]).flat());
      const { length } = before;
      const mask = Float32Array.from({ length: 11 * length }, (_, cell) => Number(cell % length === length - 1));
      const logs = (await model.logProbs(params, { ids, mask, size: 11, length })).filter((_, cell) => mask[cell]);
      result.push(Math.exp(logs[drawn] - Math.max(...logs)));
    }
  return result;
}

describe('supportMinP', () => {
  const make = (supportMinP: number): Experiment =>
    tinyExperiment({ supportMinP, learningRate: 0.3, klCoef: 0.1, temperature: 1.2, epochs: 2 });

  it.each([
    [0.25, true],
    [0, false],
  ])('%d: every token is one that the untrained generator might have written: %s', async (minP, isWithin) => {
    const experiment = make(minP);
    const state = startTraining(experiment);
    const [, second] = await run(experiment, state, 2);
    const { prompts, group } = second.rollouts;
    const responses = responsesOf(second.rollouts);
    const found = await shares(
      experiment,
      responses.map((_, i) => prompts[Math.floor(i / group)]),
      responses,
    );
    expect(Math.min(...found) >= 0.25 * (1 - 1e-5)).toBe(isWithin);
    expect(Math.min(...found)).toBeLessThan(0.5);
    const { examples, tuned } = await validate(experiment, state);
    const { encode } = experiment.generator.tokenizer;
    const written = await shares(experiment, examples.map(({ prompt }) => encode(prompt)), examples.map(({ response }) => encode(response))); // prettier-ignore
    expect(Math.min(...written) >= 0.25 * (1 - 1e-5)).toBe(isWithin);
    disposeParams(tuned);
  });

  it('0 changes nothing, and a support that allows all changes nothing but rounding', async () => {
    const [none, all] = [await run(make(0)), await run(make(1e-30))];
    expect(rowsOf(none)).toEqual(rowsOf(await run(make(0))));
    expect([...all[3].rollouts.ids]).toEqual([...none[3].rollouts.ids]);
    expect(all[3].row.grad_norm).toBeCloseTo(none[3].row.grad_norm, 3);
  });

  it('is a share of the likeliest token’s probability', () => {
    expect(() => make(1)).toThrow('supportMinP must be');
  });
});
