import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';
import { setFlagsFromString } from 'node:v8';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Experiment } from '../../src/dpg/experiment';
import { parseSpec, runCase } from '../../src/experiments/metagradientSpec';
import type { PatternConfig } from '../../src/experiments/pattern';
import { patternObjective } from '../../src/objective/pattern';
import { randomStream } from '../../src/tensor/random';
import { useBackend } from '../support/backend';
import { END, TINY, tinyExperiment } from '../support/tinyExperiment';
import { serveTiny, type Answered } from './server';

beforeAll(() => useBackend('cpu'));

const PATTERN = [
  [1, -1],
  [-1, 1],
];
const STRENGTH = 500;

function experimentOf(input: Partial<PatternConfig>): Experiment<PatternConfig> {
  const experiment = tinyExperiment(input);
  return { ...experiment, objective: patternObjective(PATTERN, experiment.target.params, { strength: STRENGTH }) };
}

/** Responses of 2 to 5 tokens. */
function responsesOf(count: number, seed: number): number[][] {
  const random = randomStream(seed, 'responses');
  return Array.from({ length: count }, () => {
    const letters = Array.from({ length: 1 + random.integer(4) }, () => random.integer(7));
    return [...letters, END];
  });
}

/** What `dpg metagradient` makes of a data set in the order of a step's batches. */
async function expectedTau({ config, target }: Experiment<PatternConfig>, ids: number[][], step: number): Promise<number[]> {
  const order = [...randomStream(config.seed, `batches of step ${step}`).permutation(ids.length)];
  const size = ids.length / config.innerSteps;
  const batches = Array.from({ length: config.innerSteps }, (_, t) => order.slice(t * size, (t + 1) * size).map((i) => ids[i]));
  const { innerB1: b1, innerB2: b2, innerEps: eps, innerEpsRoot: eps_root, innerWeightDecay: weight_decay } = config;
  const optimizer = { type: 'adamw', learning_rate: config.innerLearningRate, b1, b2, eps, eps_root, weight_decay };
  const goal = { type: 'pattern', pattern: PATTERN, strength: STRENGTH };
  const spec = { name: 'same', sequence_length: config.maxNewTokens - 1, optimizer, batches, target: goal };
  const { tau } = await runCase(parseSpec([spec], TINY)[0], target.model, target.params);
  const paid = tau.flat();
  return ids.map((_, i) => paid[order.indexOf(i)]);
}

describe('512 examples', () => {
  const ids = responsesOf(512, 1);
  let experiment: Experiment<PatternConfig>;
  let server: Awaited<ReturnType<typeof serveTiny>>;
  beforeAll(async () => {
    experiment = experimentOf({ prompts: 128, groupSize: 4, innerSteps: 4 });
    server = await serveTiny(experiment);
  });
  afterAll(() => server.close());

  /** Sends them in as many shards as there are lists, the last first, all at once. */
  async function tauOf(shards: readonly number[][][]): Promise<number[]> {
    const sent = shards.map((part, rank) => ({ rank, count: shards.length, ids: part }));
    const answers = await Promise.all(sent.reverse().map((shard) => server.post(1, shard)));
    expect(answers.map(({ status }) => status)).toEqual(sent.map(() => 200));
    return answers.reverse().flatMap(({ body }) => body.tau);
  }
  const cut = (size: number): number[][][] =>
    Array.from({ length: ids.length / size }, (_, i) => ids.slice(i * size, (i + 1) * size));

  test('are paid what dpg metagradient says, bit for bit, whole, in 4 shards at once, and one by one', async () => {
    const expected = await expectedTau(experiment, ids, 1);
    expect(new Set(expected).size).toBeGreaterThan(200);
    expect(await tauOf([ids])).toEqual(expected);
    expect(await tauOf(cut(128))).toEqual(expected);
    expect(await tauOf([ids.slice(0, 500), ids.slice(500, 501), ids.slice(501)])).toEqual(expected);
    expect(await tauOf(cut(1))).toEqual(expected);
  });

  test('are paid the same as text', async () => {
    const texts = ids.map((each) => experiment.target.tokenizer.decode(each));
    const { body } = await server.post(1, { rank: 0, count: 1, texts });
    expect(body.tau).toEqual(await expectedTau(experiment, ids, 1));
    const mean = body.tau.reduce((sum, x) => sum + x, 0) / 512;
    const std = Math.sqrt(body.tau.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 512);
    expect([body.tau_std]).toBeAllClose([std], { rtol: 1e-6 });
  });

  test('are shuffled otherwise at another step', async () => {
    const { body } = await server.post(2, { rank: 0, count: 1, ids });
    expect(body.tau).toEqual(await expectedTau(experiment, ids, 2));
    expect(body.tau).not.toEqual(await expectedTau(experiment, ids, 1));
  });
});

describe('small data sets', () => {
  const ids = responsesOf(8, 2);
  const whole = { rank: 0, count: 1, ids };
  const half = (rank: number, more: object = {}) => ({ rank, count: 2, ids: ids.slice(4 * rank, 4 * rank + 4), ...more });
  let experiment: Experiment<PatternConfig>;
  let server: Awaited<ReturnType<typeof serveTiny>>;
  beforeAll(async () => {
    experiment = experimentOf({ prompts: 4, groupSize: 2, steps: 300 });
    server = await serveTiny(experiment);
  });
  afterAll(() => server.close());

  test('200 at once are queued, and each gets its own rewards', async () => {
    const sets = Array.from({ length: 200 }, (_, step) => responsesOf(8, step + 10));
    const answers = await Promise.all(sets.map((set, step) => server.post(step, { rank: 0, count: 1, ids: set })));
    for (const [step, { status, body }] of answers.entries()) {
      expect(status).toBe(200);
      expect(body.step).toBe(step);
      expect(body.tau).toHaveLength(8);
      if (step % 10 === 0) expect(body.tau).toEqual(await expectedTau(experiment, sets[step], step));
    }
    expect(await server.metric('dpg_data_sets_total{outcome="paid"}')).toBe(200);
  });

  test.each<[string, number, RegExp, number | string, unknown]>([
    ['no JSON', 400, /^the body is no JSON \(it begins with "\{"\)$/, 0, '{'],
    ['an empty body', 400, /it is empty/, 0, ''],
    ['NaN', 400, /is no JSON/, 0, '{"rank":0,"count":1,"ids":[[NaN,1]]}'],
    ['infinity', 400, /ids\.0\.0: .*Infinity/, 0, '{"rank":0,"count":1,"ids":[[1e999,1]]}'],
    ['an unknown field', 400, /"ranks"/, 0, { ...whole, ranks: 1 }],
    ['no examples', 400, /either texts or ids/, 0, { rank: 0, count: 1 }],
    ['both texts and ids', 400, /either texts or ids/, 0, { ...whole, texts: ['a'] }],
    ['a list without examples', 400, /ids: .*>=1 items/, 0, { ...whole, ids: [] }],
    ['an example without tokens', 400, /ids\.0: .*>=1 items/, 0, { ...whole, ids: [[]] }],
    ['too many tokens', 400, /ids\.0: .*<=5 items/, 0, { ...whole, ids: [[1, 2, 3, 4, 5, 6]] }],
    ['a token outside the vocabulary', 400, /ids\.0\.1: .*<=10 \(got 11\)/, 0, { ...whole, ids: [[1, 11]] }],
    ['half a token', 400, /ids\.0\.0: .*\(got 0\.5\)/, 0, { ...whole, ids: [[0.5]] }],
    ['a text that cannot be read', 400, /^texts\.1: .*"z"/, 0, { rank: 0, count: 1, texts: ['ate', 'toz'] }],
    ['a rank that is none of count', 400, /rank below count/, 0, { ...whole, rank: 1 }],
    ['more shards than examples', 400, /count: .*<=8 \(got 9\)/, 0, { ...whole, count: 9 }],
    ['too many examples', 400, /ids: .*<=8 items/, 0, { ...whole, ids: [...ids, ...ids] }],
    ['a step beyond the last', 400, /^steps go from 0 to 299, .* \(got 300\)$/, 300, whole],
    ['a step that is no number', 400, /\(got NaN\)/, 'NaN', whole],
    ['a body that is too large', 413, /more than \d+ bytes/, 0, { rank: 0, count: 1, texts: ['a'.repeat(100_000)] }],
    ['too few examples', 422, /has 7 examples .*should have 8/, 0, { ...whole, ids: ids.slice(1) }],
  ])('%s: %i', async (_, status, sentence, step, body) => {
    const answer = await server.post(step, body);
    expect(answer.status).toBe(status);
    expect(Object.keys(answer.body)).toEqual(['error']);
    expect(answer.body.error).toMatch(sentence);
    expect(answer.body.error).not.toContain('\n');
    expect((await server.post(0, whole)).status).toBe(200); // nothing is left of it
  });

  test('other paths, methods and content types', async () => {
    expect(await server.request('/v1')).toMatchObject({ status: 404, body: { error: expect.stringContaining('GET /v1') } });
    expect((await server.request('/v1/datasets/0/examples')).status).toBe(404);
    expect(await server.post(0, whole, { headers: { 'content-type': 'text/plain' } })).toMatchObject({ status: 415 });
  });

  test('what is no HTTP, or ends in the middle of its body, is no defect of the server', async () => {
    const { port, hostname } = new URL(server.url);
    const answerTo = async (text: string): Promise<string> => {
      const socket = connect(Number(port), hostname);
      socket.end(text);
      return (await once(socket.setEncoding('latin1'), 'data'))[0] as string;
    };
    expect(await answerTo('POST nonsense\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
    const socket = connect(Number(port), hostname);
    socket.write(
      'POST /v1/datasets/0/examples HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"ra',
    );
    await once(socket, 'connect');
    await setTimeout(50); // until the beginning has arrived
    socket.destroy();
    await expect.poll(() => server.metric('dpg_http_requests_total{status="408"}')).toBeGreaterThan(0);
    expect(await server.metric('dpg_http_requests_total{status="500"}')).toBeNaN();
    expect(server.said).toEqual([]);
  });

  test('a shard that does not fit leaves those that are there as they are', async () => {
    const first = server.post(5, half(0));
    await expect.poll(() => server.metric('dpg_data_sets{state="arriving"}')).toBe(1);
    const wrong: [object, RegExp][] = [
      [half(0), /^shard 0 of step 5 is there already$/],
      [half(1, { count: 4 }), /^the data set of step 5 has 2 shards \(got count 4\)$/],
      [half(1, { ids: ids.slice(1) }), /would have 11 examples, more than 8$/],
    ];
    for (const [shard, sentence] of wrong)
      expect(await server.post(5, shard)).toMatchObject({ status: 409, body: { error: expect.stringMatching(sentence) } });
    const answers = await Promise.all([first, server.post(5, half(1))]);
    expect(answers.flatMap(({ body }) => body.tau)).toEqual(await expectedTau(experiment, ids, 5));
  });

  test('what is not complete in time is told so, and the step is free again', async () => {
    const { post, close } = await serveTiny(experiment, { seconds: 0.3 });
    expect(await post(6, half(1))).toMatchObject({
      status: 408,
      body: { error: 'the data set of step 6 was not complete after 0.3 s: of 2 shards there is missing 0' },
    });
    expect((await post(6, whole)).status).toBe(200);
    await close();
  });

  test('a caller who leaves takes the shard along', async () => {
    const leaving = new AbortController();
    const left = server.post(7, half(0, { ids: [[1, 2]] }), { signal: leaving.signal });
    await expect.poll(() => server.metric('dpg_data_sets{state="arriving"}')).toBe(1);
    leaving.abort();
    await expect(left).rejects.toThrow();
    await expect.poll(() => server.metric('dpg_data_sets{state="arriving"}')).toBe(0);
    const answers = await Promise.all([server.post(7, half(0)), server.post(7, half(1))]);
    expect(answers.flatMap(({ body }) => body.tau)).toEqual(await expectedTau(experiment, ids, 7));
  });

  test('1,000 malformed requests are refused, and leave nothing in memory', async () => {
    const random = randomStream(4, 'malformed');
    const good = JSON.stringify(whole);
    const send = async (): Promise<number> => {
      const at = random.integer(good.length);
      const body = random.pick([
        good.slice(0, at), // cut off
        `${good.slice(0, at)}${random.pick(['"', '{', ']', '\u0000', '\ud800', '-'])}${good.slice(at)}}`,
        JSON.stringify({
          ...whole,
          [random.pick(['rank', 'count', 'ids'])]: random.pick([null, -1, 1.5, '0', {}, [[[]]], true]),
        }),
        JSON.stringify({ ...whole, ids: Array.from({ length: 9 + random.integer(500) }, () => [1, 2]) }),
        '['.repeat(20_000 + random.integer(40_000)),
        '['.repeat(30_000) + ']'.repeat(30_000),
      ]);
      return (await server.post(random.pick([0, 1, 299, '-1', '1e2', '%00', '9'.repeat(20)]), body)).status;
    };
    const sendMany = async (count: number): Promise<void> => {
      const statuses = new Set<number>();
      for (let i = 0; i < count; i += 20)
        for (const status of await Promise.all(Array.from({ length: 20 }, send))) statuses.add(status);
      expect([...statuses].filter((status) => status < 400 || status > 499)).toEqual([]);
    };
    await sendMany(100);
    const [before, tensors] = [heapUsed(), tf.memory().numTensors];
    await sendMany(1000);
    expect(heapUsed() - before).toBeLessThan(4e6); // their bodies have five times as many bytes
    expect(tf.memory().numTensors).toBe(tensors);
    expect(await server.metric('dpg_data_sets{state="arriving"}')).toBe(0);
    expect((await server.post(0, whole)).status).toBe(200);
  });

  test('the description names what there is, and the fields of a request', async () => {
    const { body } = await server.request('/openapi.json');
    const paths = body.paths as Record<string, Record<string, { requestBody?: unknown; responses: object }>>;
    expect(Object.keys(paths)).toEqual(['/v1/datasets/{step}/examples', '/health', '/metrics', '/openapi.json']);
    const { requestBody, responses } = paths['/v1/datasets/{step}/examples'].post;
    expect(requestBody).toHaveProperty('content.application/json.schema.properties.ids.items.maxItems', 5);
    expect(requestBody).toHaveProperty('content.application/json.schema.additionalProperties', false);
    expect(Object.keys(responses)).toEqual(['200', '400', '401', '408', '409', '413', '415', '422', '500', '503']);
  });
});

function heapUsed(): number {
  setFlagsFromString('--expose_gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

describe('rewards that cannot be computed', () => {
  const ids = responsesOf(8, 3);
  const input = { prompts: 4, groupSize: 2 };
  const shards = [0, 1].map((rank) => ({ rank, count: 2, ids: ids.slice(4 * rank, 4 * rank + 4) }));
  const answersOf = async (experiment: Experiment): Promise<{ answers: Answered[]; said: string[] }> => {
    const { post, said, close } = await serveTiny(experiment);
    const answers = await Promise.all(shards.map((shard) => post(0, shard)));
    await close();
    return { answers, said };
  };

  test.each<[string, Partial<Experiment>, string]>([
    ['Φ is not finite', { objective: (params) => tf.mul(NaN, tf.norm(params['lm_head.weight'])) }, 'NaN'],
    [
      'a reward is not finite',
      {
        observe: () => ({ metrics: {} }),
        reward: () => async () => ({
          ...{ values: new Float32Array(8).fill(Infinity), baseline: 'batch' as const, phi: 1, tuned: {} },
          ...{ targetLossFirst: 1, targetLossLast: 1 },
        }),
      },
      'the reward of example 0 is Infinity',
    ],
  ])('%s: every caller is told the cause, and the console once', async (_, broken, cause) => {
    const { answers, said } = await answersOf({ ...experimentOf(input), ...broken });
    for (const { status, body } of answers) {
      expect(status).toBe(500);
      expect(body.error).toMatch(/^the rewards of step 0 cannot be computed: /);
      expect(body.error).toContain(cause);
    }
    expect(said).toEqual([answers[0].body.error]);
  });
});

test('a server that ends pays what it has begun, and turns the others away', async () => {
  const experiment = experimentOf({ prompts: 4, groupSize: 2 });
  let begin!: () => void;
  const begun = new Promise<void>((resolve) => (begin = resolve));
  const slow: Experiment = { ...experiment, observe: () => (begin(), { metrics: {} }) };
  const ids = responsesOf(8, 5);
  const { post, close } = await serveTiny(slow);
  const answers = [
    post(0, { rank: 0, count: 1, ids }),
    post(1, { rank: 0, count: 1, ids }),
    post(2, { rank: 0, count: 2, ids: ids.slice(4) }),
  ];
  await begun;
  await close();
  const statuses = (await Promise.all(answers)).map(({ status }) => status);
  expect(statuses).toEqual([200, 503, 503]);
  await expect(post(3, {})).rejects.toThrow('fetch failed');
});

test('with a token, everything but /health asks for it', async () => {
  const token = 'a-token-of-some-length';
  const { request, close } = await serveTiny(experimentOf({}), { token });
  const bearing = (authorization: string): RequestInit => ({ headers: { authorization } });
  expect((await request('/health')).status).toBe(200);
  for (const path of ['/metrics', '/openapi.json', '/v1/datasets/0/examples', '/none'])
    expect((await request(path)).status).toBe(401);
  expect((await request('/openapi.json', bearing(`Bearer ${token}`))).status).toBe(200);
  const wrong = await request('/openapi.json', bearing(`Bearer ${token}x`));
  expect(wrong).toEqual({ status: 401, body: { error: 'the bearer token is not that of this server' } });
  expect((await request('/openapi.json', bearing('Basic eA=='))).status).toBe(400);
  await close();
});
