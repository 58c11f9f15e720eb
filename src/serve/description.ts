/** The shapes of requests and answers, and the OpenAPI description that is made of them. */
import { z } from 'zod';
import type { Experiment } from '../dpg/experiment';

/** What a request may hold, by the experiment that is served. */
export function shardSchema({ size, longest, vocabulary }: Readonly<Record<'size' | 'longest' | 'vocabulary', number>>) {
  const ids = z.array(z.int().min(0).max(vocabulary - 1)).min(1).max(longest); // prettier-ignore
  return z
    .strictObject({
      rank: z.int().min(0).describe('Which shard of the data set this is, from 0; examples are put together in this order.'),
      count: z.int().min(1).max(size).describe('How many shards the data set has; 1 where it comes whole.'),
      texts: z
        .array(z.string())
        .min(1)
        .max(size)
        .optional()
        .describe(`Examples as text; each gets its end token and is cut off at ${longest} tokens.`),
      ids: z
        .array(ids)
        .min(1)
        .max(size)
        .optional()
        .describe('Instead: examples as token ids of the target, with their end token.'),
    }) // prettier-ignore
    .refine(({ texts, ids }) => (texts === undefined) !== (ids === undefined), { error: 'expected either texts or ids' })
    .refine(({ rank, count }) => rank < count, { error: 'expected a rank below count' });
}

const answerSchema = z.object({
  step: z.int(),
  tau: z.array(z.number()).describe('Rewards of the shard’s examples, in their order: the metagradients ∂Φ/∂w.'),
  tau_std: z
    .number()
    .describe('Standard deviation of the rewards of the whole data set: their scale, the same for all its shards.'),
  phi: z.number().describe('Φ of the target fine-tuned on the whole data set.'),
  metrics: z.record(z.string(), z.number()).describe('What the experiment observes of that target, e.g. pixel_accuracy.'),
  warning: z.string().optional().describe('What people should know of these rewards.'),
});

/** An answer with rewards. */
export type Answer = z.infer<typeof answerSchema>;

const errorSchema = z.object({ error: z.string().describe('What is wrong, with the value, in a sentence.') });

const jsonOf = (schema: z.ZodType): object => ({
  content: { 'application/json': { schema: z.toJSONSchema(schema, { io: 'input' }) } },
});

/** Statuses other than 200 of a request with examples. */
const ERRORS = {
  400: 'No JSON, an unknown field, a value out of range, or a text that the target cannot read; nothing was taken.',
  401: 'No bearer token, or a wrong one.',
  408: 'The data set was not complete in time; send it again as a whole.',
  409: 'The shard is there already, its data set has another number of shards, or too many examples; nothing was taken.',
  413: 'The body is too large.',
  415: 'The body is not application/json.',
  422: 'All shards are there, and have too few examples together.',
  500: 'The rewards cannot be computed; the sentence has the cause.',
  503: 'The server is ending.',
};

/** The server as OpenAPI 3.1 describes one. */
export function openApi({ name, config }: Pick<Experiment, 'name' | 'config'>, schema: z.ZodType) {
  const { steps, prompts, groupSize } = config;
  const told = (text: string, type: string) => ({ 200: { description: text, content: { [type]: {} } } });
  const errors = Object.entries(ERRORS).map(([status, description]): [string, object] => [
    status,
    { description, ...jsonOf(errorSchema) },
  ]);
  return {
    openapi: '3.1.0',
    info: { title: `Metagradients of ${name} as rewards`, version: '1.0.0' },
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
    security: [{ token: [] }, {}],
    paths: {
      '/v1/datasets/{step}/examples': {
        post: {
          summary: `A shard of the ${prompts * groupSize} examples of a step; answers when the data set is complete and paid.`,
          parameters: [{ name: 'step', in: 'path', required: true, schema: { type: 'integer', minimum: 0, maximum: steps - 1 } }],
          requestBody: { required: true, ...jsonOf(schema) },
          responses: { 200: { description: 'What the shard is paid.', ...jsonOf(answerSchema) }, ...Object.fromEntries(errors) },
        },
      },
      '/health': { get: { summary: 'Whether it is up; needs no token.', responses: told('Yes.', 'application/json') } },
      '/metrics': { get: { summary: 'For Prometheus.', responses: told('Metrics.', 'text/plain') } },
      '/openapi.json': { get: { summary: 'This description.', responses: told('It.', 'application/json') } },
    },
  };
}
