/** Generator and target with different tokenizers: text goes between them, and every reward comes back to its rollout. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DATA, toStored, toTensors } from '../../src/dpg/actor';
import type { ConfigInput } from '../../src/dpg/config';
import { sixtySeven } from '../../src/experiments/sixtySeven';
import type { Experiment } from '../../src/dpg/experiment';
import { rewardOf } from '../../src/dpg/inner';
import { reading } from '../../src/dpg/reading';
import { startTraining, train } from '../../src/dpg/train';
import { validate } from '../../src/dpg/validate';
import { loadCheckpoint, saveCheckpoint } from '../../src/model/hub/checkpoint';
import { negativeNorm } from '../../src/objective/norm';
import { disposeParams } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { characterTokenizer, loadTokenizer, tokenizerFiles, tokenizerOf } from '../../src/text/tokenizer';
import { useBackend } from '../support/backend';
import { gpt2Tokenizer } from '../support/byteLevelTokenizer';
import { permutedRows, permutedTokenizer } from '../support/permutedVocabulary';
import { END, tinyExperiment } from '../support/tinyExperiment';

beforeAll(() => useBackend('cpu'));

const ORDER = [3, 10, 0, 7, 2, 9, 1, 5, 8, 4, 6];

/** The tiny experiment, and the same with a target whose tokens have other numbers; Φ does not depend on them. */
function pair(input: ConfigInput = {}): [Experiment, Experiment] {
  const same = { ...tinyExperiment(input), objective: negativeNorm, observe: () => ({ metrics: {} }) };
  const { target } = same;
  const params = toTensors(permutedRows(toStored(target.params), ORDER));
  const tokenizer = permutedTokenizer(target.tokenizer, ORDER);
  return [same, { ...same, target: { ...target, params, tokenizer } }];
}

const responses = [[0, 1, 2, 3, 4], [END], [6, 5, END], [], [2, 2, 2, 2, 2], [4, 0, 4, END], [1], [3, 6, 1, 0, 5]]; // prettier-ignore

describe('a target that differs in the numbers of its tokens alone', () => {
  it.each<[string, ConfigInput]>([
    ['one step', {}],
    ['several steps', { innerSteps: 4 }],
    ['cross-group batching off', { crossGroupBatching: false }],
    ['naive', { reward: 'naive' }],
  ])('gives every response the same reward: %s', async (_, input) => {
    const [expected, actual] = await Promise.all(
      pair(input).map((experiment) =>
        rewardOf(experiment)(reading(experiment)(responses).responses, 2, randomStream(5, 'batches')),
      ),
    );
    expect(actual.phi).toBeCloseTo(expected.phi, 5);
    expect(actual.values).toBeAllClose(expected.values, { rtol: 1e-4 });
    expect(new Set(expected.values).size).toBeGreaterThan(1);
    if (input.reward !== 'naive') expect([1, 3, 6].map((i) => actual.values[i])).toEqual([0, 0, 0]); // nothing to predict, exactly 0
    disposeParams(expected.tuned, actual.tuned);
  });

  it('is validated on the same text', async () => {
    const [first, second] = pair();
    const [a, b] = await Promise.all([first, second].map((each) => validate(each)));
    expect(b.examples).toEqual(a.examples);
    disposeParams(a.tuned, b.tuned);
  });
});

describe('a target with quite another tokenizer', () => {
  const other = (input: ConfigInput = {}): Experiment => {
    const [, experiment] = pair(input);
    const bytes = characterTokenizer('snioate…');
    return { ...experiment, target: { ...experiment.target, tokenizer: bytes } };
  };

  it('is trained on from its own ids, and the row says how much was empty and cut off; no tensor is left', async () => {
    const [experiment] = pair({ steps: 2 });
    const wider = tf.tidy(() =>
      Object.fromEntries(Object.entries(experiment.target.params).map(([name, x]) => [name, x.clone()])),
    );
    const tokenizer = permutedTokenizer(experiment.target.tokenizer, ORDER);
    const state = startTraining(experiment);
    const seen: (readonly number[])[][] = [];
    const run: Experiment = { ...experiment, target: { ...experiment.target, params: wider, tokenizer } };
    const inner = rewardOf(run);
    const reward: Experiment['reward'] =
      () =>
      (texts, ...rest) => (seen.push([...texts]), inner(texts, ...rest));
    const before = tf.memory().numTensors;
    for await (const { row, rollouts } of train({ ...run, reward, state })) {
      expect(row.empty_responses).toBeGreaterThanOrEqual(0);
      expect(row.truncated_responses).toBe(0);
      const texts = seen.at(-1)!.map((ids) => tokenizer.decode(ids));
      const written = Array.from({ length: rollouts.size }, (_, i) => {
        const ids = [...rollouts.ids.subarray(i * 5, (i + 1) * 5)].filter((__, t) => rollouts.mask[i * 5 + t] === 1);
        return experiment.generator.tokenizer.decode(ids);
      });
      expect(texts).toEqual(written);
    }
    expect(seen).toHaveLength(2);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('cannot give credit to single tokens, which is said before the first step', async () => {
    const experiment = other({ credit: 'token' });
    const steps = train({ ...experiment, state: startTraining(experiment) });
    await expect(steps.next()).rejects.toThrow("credit 'token' needs one tokenizer for generator and target");
  });

  it('must be able to read what the generator can write', async () => {
    const generator = tokenizerOf(gpt2Tokenizer('the tone is noise', 3));
    const experiment = { ...other(), generator: { ...other().generator, tokenizer: generator } };
    const steps = train({ ...experiment, state: startTraining(experiment) });
    await expect(steps.next()).rejects.toThrow("which the target's tokenizer cannot read");
  });

  it('a reward function that forgets a response stops the run', async () => {
    const experiment = tinyExperiment();
    const inner = rewardOf(experiment);
    const reward: Experiment['reward'] =
      () =>
      async (...rest) => {
        const rewards = await inner(...rest);
        return { ...rewards, values: rewards.values.slice(1) };
      };
    const steps = train({ ...experiment, reward, state: startTraining(experiment) });
    await expect(steps.next()).rejects.toThrow('the reward function returned 23 rewards for 24 rollouts');
  });
});

describe('the 67', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'tokenizers-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('appears in a target that numbers its tokens differently', async () => {
    const source = path.join(DATA, 'characters-target');
    const { config, params } = loadCheckpoint(source);
    const order = Array.from({ length: config.vocab_size }, (_, id) => (id < 21 ? 20 - id : id)); // the pattern's tokens stay common ones
    const target = path.join(folder, 'target');
    const files = tokenizerFiles(permutedTokenizer(loadTokenizer(source), order));
    await saveCheckpoint(target, { config, params: permutedRows(params, order) }, { files });
    const rates = { learningRate: 1e-3, learningRateEnd: 1e-4, klCoef: 0.06, strengthEnd: 6000 };
    const sizes = { steps: 200, stopAfterDone: 1, prompts: 64, maxNewTokens: 24, supportMinP: 0 };
    const experiment = await sixtySeven({ ...rates, ...sizes, credit: 'example' }, { target });
    const state = startTraining(experiment);
    let best = 0;
    for await (const { row } of train({ ...experiment, state })) best = Math.max(best, row.pixel_accuracy);
    expect(best).toBe(1);
    experiment.generator.model.dispose();
    experiment.target.model.dispose();
  }, 600_000);
});
