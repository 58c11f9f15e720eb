/**
 * Metagradients as rewards over HTTP, for trainers that exist: they send what they have sampled, and are told what it is paid.
 *
 * Every data set is one of the experiment's: of its size, paid with its objective and schedule as its own training would pay it (batches
 * are drawn from a stream of the step, so that a step is paid the same whenever it comes).
 */
import { Hono, type Context, type Next } from 'hono';
import { bearerAuth } from 'hono/bearer-auth';
import { bodyLimit } from 'hono/body-limit';
import { HTTPException } from 'hono/http-exception';
import { experimentAt, payResponses, type Paid } from '../dpg/inner';
import type { Experiment } from '../dpg/experiment';
import { textResponse } from '../dpg/reading';
import { parseJson } from '../files/json';
import { brief } from '../files/printable';
import { randomStream } from '../tensor/random';
import { dataSets, type Example, type PaidShard } from './dataSets';
import { openApi, shardSchema, type Answer } from './description';
import { serverMetrics } from './metrics';

/** Options of {@link rewardApp}. */
export interface RewardAppOptions {
  /** What every request but `/health` must bear; by default nothing. */
  readonly token?: string;
  /** How long a data set may take to arrive, in seconds. */
  readonly seconds: number;
  /** Hears warnings, and errors that callers are told. */
  readonly say?: (text: string) => void;
}

/** An application that answers requests, and its end. */
export interface RewardApp {
  readonly app: Hono;
  /** Turns away what is not being paid, and waits for that. */
  readonly end: () => Promise<void>;
}

/** Bytes that a token of a text may take in JSON: the longest tokens are words, and a character may be written as `\u0041`. */
const BYTES_PER_TOKEN = 64;
/** For everything else of a body. */
const BYTES_AROUND = 65_536;

const refuse = (status: 400 | 401 | 404 | 413 | 415, message: string): HTTPException => new HTTPException(status, { message });

/** What `f` returns; its errors are the caller's. */
function asBadRequest<T>(f: () => T): T {
  try {
    return f();
  } catch (error) {
    throw refuse(400, (error as Error).message);
  }
}

/** Pays data sets as the steps of an experiment; of the first it is checked whether float32 carries the rewards. */
function payer(experiment: Experiment) {
  let checkRounding = true;
  return async (step: number, examples: readonly Example[]): Promise<Paid> => {
    const { groupSize: group, seed } = experiment.config;
    const paid = await payResponses(experimentAt(experiment, step), step, {
      responses: examples.map(({ ids }) => ids),
      examples: examples.map(({ text: response }) => ({ prompt: '', response })),
      ...{ group, random: randomStream(seed, `batches of step ${step}`), checkRounding },
    });
    checkRounding = false;
    return paid;
  };
}

/** Reads the part of a data set that a request brings. */
function reader(experiment: Experiment, schema: ReturnType<typeof shardSchema>) {
  const { tokenizer } = experiment.target;
  const ofText = (text: string, i: number): Example => {
    try {
      return { ids: textResponse(experiment, text), text };
    } catch (error) {
      throw new RangeError(`texts.${i}: ${(error as Error).message}`);
    }
  };
  const ofIds = (ids: readonly number[], i: number): Example => {
    const foreign = ids.find((id) => !tokenizer.isToken(id));
    if (foreign !== undefined) throw new RangeError(`ids.${i}: the target has no token ${foreign}`);
    return { ids, text: tokenizer.decode(ids) };
  };
  return (body: string) => {
    const { rank, count, texts, ids } = parseJson('the body', body, schema);
    return { rank, count, examples: texts ? texts.map(ofText) : ids!.map(ofIds) };
  };
}

/** The step of a path. @throws HTTPException for what is no step of the experiment */
function stepOf(text: string, { steps }: Experiment['config']): number {
  const step = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (!(step < steps)) throw refuse(400, `steps go from 0 to ${steps - 1}, as the server's --steps says (got ${brief(text)})`);
  return step;
}

function deviation(values: Float32Array): number {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  return Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length);
}

const answerOf = (step: number, { tau, rewards, observation }: PaidShard): Answer => ({
  step,
  tau: Array.from(tau),
  tau_std: deviation(rewards.values),
  phi: rewards.phi,
  metrics: observation.metrics,
  warning: rewards.warning,
});

/** Turns away who does not bear the token; the comparison takes as long for any other. */
function authorized(token: string) {
  const told = (error: string) => ({ message: { error } });
  return bearerAuth({
    token,
    noAuthenticationHeader: told('this server wants a header "Authorization: Bearer TOKEN"'),
    invalidAuthenticationHeader: told('the header "Authorization" is not "Bearer TOKEN"'),
    invalidToken: told('the bearer token is not that of this server'),
  });
}

/** Bodies are JSON, and no larger than a data set of the experiment. */
const limited = (maxSize: number) =>
  bodyLimit({
    maxSize,
    onError: () => {
      throw refuse(413, `the body has more than ${maxSize} bytes, which no data set of this experiment needs`);
    },
  });

function requireJson(c: Context, next: Next): Promise<void> {
  const type = c.req.header('content-type') ?? 'none';
  if (type.split(';')[0].trim().toLowerCase() !== 'application/json')
    throw refuse(415, `the body must be application/json (got content-type ${brief(type)})`);
  return next();
}

/** Every error as JSON of one sentence. */
function answerErrors(app: Hono, say: (text: string) => void): void {
  app.notFound((c) => {
    throw refuse(404, `there is no ${c.req.method} ${brief(c.req.path)}; GET /openapi.json says what there is`);
  });
  app.onError((error, c) => {
    if (c.req.raw.signal.aborted) return c.json({ error: 'the caller has left' }, 408); // perhaps in the middle of the body
    if (!(error instanceof HTTPException)) {
      say(error.message);
      return c.json({ error: error.message }, 500);
    }
    return error.res ? error.getResponse() : c.json({ error: error.message }, error.status);
  });
}

/** The experiment's data sets, and what is counted of them. */
function meteredSets(experiment: Experiment, { seconds, say = ignore }: RewardAppOptions) {
  const { prompts, groupSize } = experiment.config;
  const pay = payer(experiment);
  const sets = dataSets({
    size: prompts * groupSize,
    seconds,
    async pay(step, examples) {
      const end = metrics.seconds.startTimer();
      const paid = await pay(step, examples);
      end();
      if (paid.rewards.warning !== undefined) say(paid.rewards.warning);
      return paid;
    },
    onEnd(outcome, told) {
      metrics.ended.inc({ outcome });
      if (outcome === 'failed' && told !== undefined) say(told);
    },
  });
  const metrics = serverMetrics(() => sets.counts());
  return { sets, metrics };
}

const ignore = (): void => undefined;

/** The application that serves an experiment. */
export function rewardApp(experiment: Experiment, options: RewardAppOptions): RewardApp {
  const { config, target } = experiment;
  const size = config.prompts * config.groupSize;
  const schema = shardSchema({ size, longest: config.maxNewTokens, vocabulary: target.model.config.vocab_size });
  const { sets, metrics } = meteredSets(experiment, options);
  const read = reader(experiment, schema);
  const app = new Hono();
  answerErrors(app, options.say ?? ignore);
  app.use(async (c, next) => {
    await next();
    metrics.requests.inc({ status: c.res.status });
  });
  app.get('/health', (c) => c.json({ status: 'ok' }));
  if (options.token !== undefined) app.use(authorized(options.token));
  const { registry } = metrics;
  app.get('/metrics', async (c) => c.text(await registry.metrics(), 200, { 'content-type': registry.contentType }));
  app.get('/openapi.json', (c) => c.json(openApi(experiment, schema)));
  const limit = limited(BYTES_AROUND + size * config.maxNewTokens * BYTES_PER_TOKEN);
  app.post('/v1/datasets/:step/examples', requireJson, limit, async (c) => {
    const step = stepOf(c.req.param('step'), config);
    const body = await c.req.text();
    const shard = asBadRequest(() => read(body));
    return c.json(answerOf(step, await sets.add(step, shard, c.req.raw.signal)));
  });
  return { app, end: () => sets.end() };
}
