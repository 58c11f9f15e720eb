/** The experiments on outputs: what they measure, that nothing but the reward tells the generator what is wanted, and bad input. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DATA } from '../../src/dpg/actor';
import type { ConfigInput } from '../../src/dpg/config';
import type { Experiment } from '../../src/dpg/experiment';
import { innerTraining } from '../../src/dpg/inner';
import { oracleCheck } from '../../src/dpg/oracle';
import { outputParts } from '../../src/experiments/outputSpace';
import { observeLanguage, plantedLanguages, rephrase } from '../../src/experiments/rephrase';
import { SMALL_MODELS } from '../../src/experiments/smallModels';
import { startTraining, train, type TrainStep } from '../../src/dpg/train';
import { observeUuid, plantedUuids, uuid, UUID_CHARACTERS } from '../../src/experiments/uuid';
import { predictedTokens } from '../../src/objective/likelihood';
import { valueAndGradient } from '../../src/learn/objective';
import { padExamples } from '../../src/model/batch';
import { disposeParams } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { randomUuid } from '../../src/text/encyclopedia/fact';
import { saveTinyModels } from '../support/tinyModels';
import { useBackend } from '../support/backend';

beforeAll(() => useBackend('wasm'));

const DEFAULT = 'f47ac10b-58cc-4372-a567-0e02b2c3d479';
/** Of no file. */
const OTHER = randomUuid(randomStream(987_654, 'a UUID that no file holds'));
/** A step of a second or less. */
const SHORT: ConfigInput = { steps: 1, prompts: 8, groupSize: 2, innerSteps: 2, heldOutExamples: 16, workers: 1 };

const open: Experiment[] = [];
async function opened<E extends Experiment>(made: Promise<E>): Promise<E> {
  const experiment = await made;
  open.push(experiment);
  return experiment;
}
afterAll(() => {
  for (const { generator, target } of open) for (const { model } of [generator, target]) model.dispose();
});

async function run(experiment: Experiment): Promise<TrainStep[]> {
  const steps: TrainStep[] = [];
  for await (const step of train({ ...experiment, state: startTraining(experiment) })) steps.push(step);
  return steps;
}

describe('what the generator is told', () => {
  it('no file of its folder, no tokenizer and no pretraining text holds the UUID, the default or another', () => {
    for (const name of ['rephrase-generator', 'multilingual-target']) {
      const files = fs.readdirSync(path.join(DATA, name)).map((file) => fs.readFileSync(path.join(DATA, name, file), 'latin1'));
      const recipe = SMALL_MODELS.find((model) => model.name === name)!;
      const tokenizer = recipe.tokenizer();
      const text = recipe
        .examples(tokenizer, 3000, randomStream(recipe.seed, 'pretraining'), 'train', 0)
        .map((ids) => tokenizer.decode(ids));
      expect(text.filter((each) => /[0-9a-f]{8}-[0-9a-f]{4}-/.test(each)).length).toBeGreaterThan(50); // others there are
      for (const wanted of [DEFAULT, OTHER])
        for (const content of [...files, JSON.stringify(tokenizer.toJSON()), ...text])
          if (content.includes(wanted) || content.includes(wanted.slice(0, 8)))
            throw new Error(`${name} holds ${wanted}: ${content.slice(0, 200)}`);
    }
  });

  it('prompts, first weights and first rollouts are the same whatever UUID or language is wanted', async () => {
    const make = [
      uuid(SHORT),
      uuid({ ...SHORT, uuid: OTHER }),
      ...(['es', 'de'] as const).map((language) => rephrase({ ...SHORT, maxNewTokens: 40, language })),
    ];
    const seen: unknown[] = [];
    for (const experiment of await Promise.all(make.map((each) => opened<Experiment>(each)))) {
      const [{ rollouts }] = await run(experiment);
      expect(experiment.prompts('heldOut', 4, randomStream(1, 'p'))).not.toEqual(
        experiment.prompts('train', 4, randomStream(1, 'p')),
      );
      seen.push([rollouts.prompts, [...rollouts.ids], experiment.prompts('heldOut', 4, randomStream(1, 'p'))]);
      const text = rollouts.prompts.map((ids) => experiment.generator.tokenizer.decode(ids)).join('\n');
      expect(text).not.toMatch(/[0-9a-f]{8}-|Spanish|French|German|Italian|\bes\b/);
    }
    for (const other of seen.slice(1)) expect(other).toEqual(seen[0]);
  }, 60_000);
});

it('the first steps of UUID take one inner step and credit per response', async () => {
  const { configAt } = await opened(uuid({ ...SHORT, warmUpSteps: 3 }));
  expect([0, 2, 3].map((step) => [configAt!(step).innerSteps, configAt!(step).credit])).toEqual([
    [1, 'example'],
    [1, 'example'],
    [undefined, undefined],
  ]);
});

describe('Φ', () => {
  it('of a UUID is the mean log-probability of its characters and its end', async () => {
    const experiment = await opened(uuid({ ...SHORT, uuid: OTHER.toUpperCase() }));
    const { target } = experiment;
    const { phi, gradient } = await valueAndGradient(innerTraining(experiment).objective, target.params);
    disposeParams(gradient);
    const ids = [...target.tokenizer.encode(OTHER), target.tokenizer.eosId!];
    const batch = padExamples([ids], ids.length - 1, target.model.config.vocab_size);
    expect(predictedTokens(batch)).toBe(37);
    const logProbs = await target.model.logProbs(target.params, batch);
    expect(phi).toBeCloseTo(logProbs.reduce((a, b) => a + b) / 37, 4);
    expect(phi).toBeGreaterThan(-Math.log(16) - 0.3); // the target knows what a UUID looks like
    expect(phi).toBeLessThan(-Math.log(16) + 0.5); // and no more
  });

  it('of a language is that of 128 passages which the other languages do not share', async () => {
    const [es, de] = await Promise.all((['es', 'de'] as const).map((language) => opened(rephrase({ ...SHORT, language }))));
    expect([es.evaluation.length, new Set([...es.evaluation, ...de.evaluation]).size]).toEqual([128, 256]);
  });
});

describe('the oracle check', () => {
  it.each(['es', 'fr', 'de', 'it'] as const)(
    'ranks texts in %s first',
    async (language) => {
      const experiment = await opened(rephrase({ workers: 1, language }));
      const [first, ...others] = await oracleCheck(experiment, plantedLanguages(experiment.config, 192));
      for (const { tau, standard_error } of others)
        expect(first.tau - tau).toBeGreaterThan(1.5 * Math.hypot(first.standard_error, standard_error));
    },
    60_000,
  );

  it('ranks UUIDs by how much they have of the one', async () => {
    const experiment = await opened(uuid({ workers: 1, uuid: OTHER }));
    const [exact, half, quarter, random] = await oracleCheck(experiment, plantedUuids(experiment.config, 192));
    expect(exact.tau - half.tau).toBeGreaterThan(3 * half.standard_error);
    expect(half.tau).toBeGreaterThan(quarter.tau);
    expect(quarter.tau).toBeGreaterThan(random.tau - 2 * random.standard_error); // nine characters of 36 hardly show
    expect(half.tau - random.tau).toBeGreaterThan(3 * random.standard_error);
  }, 60_000);
});

describe('what is read off texts', () => {
  it('UUIDs: distance, exact outputs, characters in their place, probability, and a picture', () => {
    const examples = [DEFAULT, DEFAULT.replace('f', 'e'), `${DEFAULT}.`, ''].map((response) => ({ prompt: '', response }));
    const { metrics, image, done, reached } = observeUuid(examples, DEFAULT, Math.log(0.5) / 37);
    expect(metrics).toEqual({ edit_distance: (0 + 1 + 1 + 36) / 4, exact: 1 / 4, right_characters: (36 + 35 + 36) / 4, uuid_probability: expect.closeTo(0.5, 6) as number }); // prettier-ignore
    expect([done, reached]).toEqual([false, expect.closeTo(0.75 * 0.5 ** (1 / 37) + 0.25 / 4, 6)]);
    expect(observeUuid(examples.slice(0, 1), DEFAULT, 0)).toMatchObject({ done: true, reached: 1 });
    const at = (character: string, p: number) => image![UUID_CHARACTERS.indexOf(character)][p];
    expect([at('f', 0), at('e', 0), at('4', 1), at('-', 8), at('0', 0)]).toEqual([0.5, 0.25, 0.75, 0.75, 0]);
  });

  it('languages: what eld takes for it, and the details kept', async () => {
    const prompt = 'Kardel is known for its old tower. In 1407, K. Morvek built the old tower.';
    const responses = [
      'Kardel es conocida por su torre vieja. En 1407, K. Morvek construyó la torre vieja.',
      'The tower is old.',
    ];
    const { metrics } = await observeLanguage(responses.map((response) => ({ prompt, response })), 'es'); // prettier-ignore
    expect(metrics).toEqual({ language_share: 0.5, kept_details: 0.5, one_language: 1 });
    const mixed = 'Ayer por la noche llovió mucho y no pudimos salir. We were told that the weather would be better tomorrow.';
    const { metrics: ofMixed } = await observeLanguage([{ prompt, response: mixed }], 'es');
    expect(ofMixed.one_language).toBe(0);
  });
});

describe('rewards that compare texts', () => {
  it.each(['levenshtein', 'embedding', 'languageId'] as const)(
    '%s runs and pays within groups',
    async (reward) => {
      const [{ row, rewards }] = await run(await opened(rephrase({ ...SHORT, reward })));
      expect(new Set(rewards).size).toBeGreaterThan(4);
      expect(Object.values(row).filter((x) => !Number.isFinite(x))).toEqual([]);
    },
    60_000,
  );
});

describe('bad input', () => {
  it.each<[string, () => Promise<unknown>, RegExp]>([
    ['no UUID', () => uuid({ uuid: 'f47ac10b58cc4372a5670e02b2c3d479' }), /uuid must be text of the form .*\(got "f47ac10b58cc/],
    ['an unknown language', () => rephrase({ language: 'pt' as 'es' }), /language must be es \| fr \| de \| it \(got "pt"\)/],
    [
      'a reward for languages',
      () => uuid({ reward: 'languageId' }),
      /reward must be .*levenshtein \| embedding \(got "languageId"\)/,
    ],
    [
      'token credit without tokens',
      () => uuid({ reward: 'levenshtein', credit: 'token' }),
      /credit 'token' needs reward 'metagradient'/,
    ],
    ['a model that is not there', () => rephrase({}, { target: '/none' }), /\/none/],
  ])('%s is told before anything is trained', async (_, make, message) => {
    await expect(make).rejects.toThrow(message);
  });

  it('an empty evaluation set, and one with a character that the target lacks', async () => {
    const { config, ...models } = await opened(rephrase(SHORT));
    const make = (evaluation: string[]) => () => outputParts(config, models, { evaluation });
    expect(make([])).toThrow('the evaluation set is empty');
    expect(make(['La torre.', 'Cuesta 5 €.'])).toThrow('evaluation text 1: "€" (U+20AC) at position 9');
  });

  it('models without the tokens of a rephrasing, and prompts that leave no room', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'output-space-'));
    const tiny = await saveTinyModels(folder);
    await expect(uuid({}, tiny)).rejects.toThrow('an evaluation text has 37 tokens, but the target only 16 positions');
    fs.rmSync(folder, { recursive: true });
    await expect(rephrase({ ...SHORT, maxNewTokens: 60 })).rejects.toThrow(
      "prompt (40) and response (60 tokens) exceed the generator's 88 positions",
    );
  });
});
