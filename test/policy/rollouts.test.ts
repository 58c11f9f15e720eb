import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fusedModel } from '../../src/model/fused';
import type { LanguageModel } from '../../src/model/types';
import { atResponses, policyBatch, responsesOf, rollout, type RolloutOptions, type Rollouts } from '../../src/policy/rollouts';
import { disposeParams, type Params } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { packed } from '../support/allowedTokens';
import { useBackend } from '../support/backend';
import { END, TINY, tinyParams, tinyPrompts } from '../support/tinyExperiment';

let params: Params;
let model: LanguageModel;
let rollouts: Rollouts;
const prompts = tinyPrompts(5, 3, randomStream(1, 'prompts'));
const [group, maxNewTokens, temperature] = [8, 6, 0.8];
const options = (more: Partial<RolloutOptions> = {}): RolloutOptions => ({
  ...{ model, params, prompts, group, maxNewTokens, temperature, endTokens: [END], random: randomStream(2, 'sampling') },
  ...more,
});

beforeAll(async () => {
  await useBackend('cpu');
  params = tinyParams(1);
  model = fusedModel(TINY, { workers: 0 });
  rollouts = await rollout(options());
});
afterAll(() => disposeParams(params));

describe('rollouts', () => {
  it('are the same for the same stream and others for another', async () => {
    expect(await rollout(options())).toEqual(rollouts);
    expect((await rollout(options({ random: randomStream(3, 'sampling') }))).ids).not.toEqual(rollouts.ids);
  });

  it('end with the end of text, which some reach and some do not', () => {
    const responses = responsesOf(rollouts);
    expect(responses).toHaveLength(40);
    responses.forEach((response, i) => {
      const row = [...rollouts.ids.slice(i * maxNewTokens, (i + 1) * maxNewTokens)];
      const end = row.indexOf(END);
      expect(response).toEqual(end < 0 ? row : row.slice(0, end + 1));
    });
    const lengths = new Set(responses.map((response) => response.length));
    expect(lengths.has(1) && lengths.has(maxNewTokens)).toBe(true);
  });

  it('carry the log-probabilities with which the tokens follow their own prompt', async () => {
    const indices = Int32Array.from({ length: 40 }, (_, i) => (i * 7) % 40);
    const taught = await model.logProbs(params, policyBatch(rollouts, indices), temperature);
    expect(taught).toBeAllClose(atResponses(rollouts, rollouts.logProbs, indices), { rtol: 1e-5 });
  });

  it.each(['all for all positions', 'what a reference finds likely'])(
    'carry the support they were drawn from: %s',
    async (kind) => {
      const writable = packed([[0, 1, 4, 6, 9, END]], 11);
      const rule = { writable, ...(kind.startsWith('what') && { minP: 0.3, reference: tinyParams(2) }) };
      const own = await rollout(options({ rule }));
      const indices = Int32Array.from({ length: 40 }, (_, i) => (i * 7) % 40);
      const taught = await model.logProbs(params, policyBatch(own, indices), temperature);
      expect(taught).toBeAllClose(atResponses(own, own.logProbs, indices), { rtol: 1e-5 });
      expect(own.logProbs.some((lp, at) => own.mask[at] === 1 && lp === 0)).toBe(kind.startsWith('what')); // one token was left
    },
  );

  it('become batches of prompt and response whose cells predict the response tokens', () => {
    const batch = policyBatch(rollouts, [9, 0]);
    const response = (i: number) => [...rollouts.ids.slice(i * maxNewTokens, (i + 1) * maxNewTokens)];
    expect([...batch.ids]).toEqual([...prompts[1], ...response(9), ...prompts[0], ...response(0)]);
    expect([batch.size, batch.length]).toEqual([2, 8]);
    const cells = atResponses(rollouts, rollouts.ids.map((_, cell) => cell + 1) as unknown as Float32Array, [9, 0]);
    expect([...cells]).toEqual([0, 0, 55, 56, 57, 58, 59, 60, 0, 0, 1, 2, 3, 4, 5, 6]);
    expect([...batch.mask].map((m, cell) => m * batch.ids[Math.floor(cell / 8) * 9 + (cell % 8) + 1])).toEqual(
      [9, 0].flatMap((i) => [0, 0, ...response(i).map((id, t) => rollouts.mask[i * maxNewTokens + t] * id)]),
    );
  });

  it('refuse prompts of several lengths, and responses that do not fit the positions', async () => {
    await expect(rollout(options({ prompts: [...prompts, [1, 2]] }))).rejects.toThrow('prompt 0 has 3 tokens, prompt 5 has 2');
    await expect(rollout(options({ maxNewTokens: 10 }))).rejects.toThrow(
      "prompt (3) and response (10 tokens) exceed the generator's 12 positions",
    );
    await expect(rollout(options({ prompts: [[1, TINY.vocab_size]] }))).rejects.toThrow(
      'token id 11 is outside the vocabulary of 11',
    );
  });
});
