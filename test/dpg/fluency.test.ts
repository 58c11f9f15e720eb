/**
 * Measures of text that need models: against sums of losses, one response at a time, and against themselves where they must be 1 or equal.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toStored } from '../../src/dpg/actor';
import type { Experiment } from '../../src/dpg/experiment';
import { heldOutFluency, stepFluency } from '../../src/dpg/fluency';
import { writtenExamples } from '../../src/dpg/reading';
import { startTraining, train } from '../../src/dpg/train';
import { validate } from '../../src/dpg/validate';
import { supportRule } from '../../src/dpg/supportRule';
import type { SupportRule } from '../../src/model/types';
import { saveCheckpoint } from '../../src/model/hub/checkpoint';
import { responsesOf, rollout, type Rollouts } from '../../src/policy/rollouts';
import { disposeParams, type Params } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { tokenizerFiles, type Tokenizer } from '../../src/text/tokenizer';
import { useBackend } from '../support/backend';
import { permutedRows, permutedTokenizer } from '../support/permutedVocabulary';
import { END, TINY, tinyExperiment, tinyParams, tinyPrompts } from '../support/tinyExperiment';

const folder = mkdtempSync(path.join(tmpdir(), 'fluency-'));
let experiment: Experiment;
beforeAll(async () => {
  await useBackend('cpu');
  experiment = tinyExperiment();
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Twelve responses of some generator. */
const written = (params: Params, temperature = 1, rule?: SupportRule): Promise<Rollouts> =>
  rollout({
    model: experiment.generator.model,
    params,
    prompts: tinyPrompts(6, 3, randomStream(1, 'prompts')),
    group: 2,
    maxNewTokens: 5,
    temperature,
    endTokens: experiment.generator.tokenizer.eosIds,
    rule,
    random: randomStream(2, 'sampling'),
  });

/** −log p of every response, and all their tokens, from losses instead of log-probabilities. */
async function surpriseOf(params: Params, rollouts: Rollouts): Promise<{ surprise: number; tokens: number }> {
  let [surprise, tokens] = [0, 0];
  for (const [i, response] of responsesOf(rollouts).entries()) {
    const ids = Int32Array.from([...rollouts.prompts[Math.floor(i / 2)], ...response]);
    const length = ids.length - 1;
    const mask = Float32Array.from({ length }, (_, t) => (t >= 2 ? 1 : 0));
    const { losses, gradient } = await experiment.generator.model.gradient(params, { ids, mask, size: 1, length });
    disposeParams(gradient);
    surprise += losses[0] * length;
    tokens += response.length;
  }
  return { surprise, tokens };
}

const perplexityOf = async (params: Params, rollouts: Rollouts): Promise<number> => {
  const { surprise, tokens } = await surpriseOf(params, rollouts);
  return Math.exp(surprise / tokens);
};

/** The tiny generator as a folder; with an order, under other token numbers. */
async function evaluatorFolder(name: string, params: Params, order?: number[]): Promise<string> {
  const place = path.join(folder, name);
  const { tokenizer } = experiment.generator;
  const own: Tokenizer = order ? permutedTokenizer(tokenizer, order) : tokenizer;
  const stored = order ? permutedRows(toStored(params), order) : toStored(params);
  await saveCheckpoint(place, { config: TINY, params: stored }, { files: tokenizerFiles(own) });
  return place;
}

describe('perplexity and KL of a step', () => {
  it('are those of the untouched generator, over response tokens alone', async () => {
    const other = tinyParams(3);
    const rollouts = await written(other);
    const { perplexity, kl } = await stepFluency(experiment, rollouts, writtenExamples(experiment.generator, rollouts));
    const [reference, own] = [await surpriseOf(experiment.generator.params, rollouts), await surpriseOf(other, rollouts)];
    expect(perplexity).toBeCloseTo(Math.exp(reference.surprise / reference.tokens), 3);
    expect(kl).toBeCloseTo((reference.surprise - own.surprise) / reference.tokens, 4);
    expect(kl).toBeGreaterThan(0.1);
  });

  it('takes the KL at the sampling temperature, the perplexity at 1', async () => {
    const warm: Experiment = { ...experiment, config: { ...experiment.config, temperature: 2 } };
    const rollouts = await written(experiment.generator.params, 2);
    const { kl, perplexity } = await stepFluency(warm, rollouts, writtenExamples(experiment.generator, rollouts));
    expect(kl).toBeCloseTo(0, 5);
    expect(perplexity).toBeCloseTo(await perplexityOf(experiment.generator.params, rollouts), 3);
  });

  it('where some tokens alone may be written, takes the KL among these, the perplexity among all', async () => {
    const held: Experiment = { ...experiment, config: { ...experiment.config, supportMinP: 0.9 } };
    const { params } = experiment.generator;
    const rollouts = await written(params, 1, supportRule(held));
    const { kl, perplexity } = await stepFluency(held, rollouts, writtenExamples(experiment.generator, rollouts));
    expect(kl).toBeCloseTo(0, 5);
    expect(perplexity).toBeCloseTo(await perplexityOf(params, rollouts), 3);
    const { metrics, tuned } = await validate(held);
    disposeParams(tuned);
    expect(metrics.perplexity_ratio).toBeLessThan(0.9); // beside what the generator writes by itself
  });

  it('stand in every row, the KL also where none is asked for', async () => {
    const state = startTraining(experiment);
    const rows = [];
    for await (const { row } of train({ ...experiment, state })) rows.push(row);
    for (const row of rows) expect(row).toMatchObject({ words: expect.any(Number), distinct_2: expect.any(Number) });
    expect(rows[0].kl).toBeCloseTo(0, 5);
    expect(rows[3].kl).toBeGreaterThan(0.01);
  });
});

describe('an evaluator', () => {
  it('finds the texts as likely as its weights say, before and after', async () => {
    const judge = tinyParams(5);
    const [after, before] = [await written(tinyParams(3)), await written(experiment.generator.params)];
    const measured = await heldOutFluency({ ...experiment, evaluator: await evaluatorFolder('judge', judge) }, after, before);
    const [x, y] = [await perplexityOf(judge, after), await perplexityOf(judge, before)];
    expect(measured.evaluator_perplexity).toBeCloseTo(x, 3);
    expect(measured.evaluator_perplexity_ratio).toBeCloseTo(x / y, 3);
    const own = await perplexityOf(experiment.generator.params, after);
    expect(measured.perplexity_ratio).toBeCloseTo(own / (await perplexityOf(experiment.generator.params, before)), 3);
  });

  it('reads text, not token numbers', async () => {
    const judge = tinyParams(5);
    const ids = Int32Array.of(0, 1, 2, 3, 4, 6, 5, END, END, END, 2, 2, 1, 0, 6);
    const mask = Float32Array.of(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1);
    const prompts = [[1, 2, 3], [0, 0, 5], [4, 3, 6]]; // prettier-ignore
    const rollouts = { prompts, group: 1, size: 3, maxNewTokens: 5, ids, mask, logProbs: new Float32Array(15) };
    const evaluators = [
      await evaluatorFolder('same', judge),
      await evaluatorFolder('other', judge, [3, 10, 0, 7, 2, 9, 1, 5, 8, 4, 6]),
    ];
    const [same, text] = await Promise.all(
      evaluators.map((evaluator) => heldOutFluency({ ...experiment, evaluator }, rollouts, rollouts)),
    );
    expect(text.evaluator_perplexity).toBeCloseTo(same.evaluator_perplexity, 3);
    expect(text.evaluator_perplexity).not.toBeCloseTo(text.perplexity, 1);
  });

  it('stands in a validation, whose ratios are 1 before training', async () => {
    const judged = { ...experiment, evaluator: await evaluatorFolder('validation', tinyParams(5)) };
    const { metrics, untrained, examples, tuned } = await validate(judged);
    disposeParams(tuned);
    expect(metrics).toMatchObject({ perplexity_ratio: 1, evaluator_perplexity_ratio: 1 });
    expect(metrics.kl).toBeCloseTo(0, 5);
    expect(untrained).toEqual(examples.map(({ response }) => response));
    const trained = await validate(judged, { step: 1, training: { params: tinyParams(3) } });
    disposeParams(trained.tuned);
    expect(trained.untrained).toEqual(untrained);
    expect(trained.metrics.evaluator_perplexity_ratio).not.toBe(1);
  });
});
