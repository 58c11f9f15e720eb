/**
 * Metagradients without a generator: a JSON description of fine-tuning and Φ in, τ of every example out.
 *
 * This is what `dpg metagradient` runs, for data weighting, filtering and attribution.
 */
import { z } from 'zod';
import { metagradient } from '../learn/metagradient';
import type { Objective } from '../learn/objective';
import { EPS_ROOT, type Optimizer } from '../learn/optimizer';
import { OPTIMIZERS } from '../learn/optimizers';
import { padExamples } from '../model/batch';
import type { LanguageModel, ModelShape } from '../model/types';
import { likelihoodObjective } from '../objective/likelihood';
import { negativeNorm } from '../objective/norm';
import { patternObjective } from '../objective/pattern';
import { disposeParams, type Params } from '../tensor/params';

const positive = z.number().positive();
const tokens = z.array(z.number().int().nonnegative()).min(2);

const optimizerSchema = z.discriminatedUnion(
  'type',
  [
    z.strictObject({ type: z.literal('sgd'), learning_rate: positive, momentum: z.number().min(0).lt(1).default(0) }),
    z.strictObject({
      type: z.literal('adamw'),
      learning_rate: positive,
      b1: z.number().min(0).lt(1).default(0.9),
      b2: z.number().min(0).lt(1).default(0.95),
      eps: z.number().nonnegative().default(1e-8),
      eps_root: z.number().nonnegative().default(EPS_ROOT),
      weight_decay: z.number().nonnegative().default(0),
    }),
    z.strictObject({
      type: z.literal('lion'),
      learning_rate: positive,
      b1: z.number().min(0).lt(1).default(0.9),
      b2: z.number().min(0).lt(1).default(0.99),
      eps_root: positive.default(EPS_ROOT),
      weight_decay: z.number().nonnegative().default(0),
    }),
  ],
  { error: 'an optimizer is an object of type "sgd", "adamw" or "lion"' },
);

const targetSchema = z.discriminatedUnion(
  'type',
  [
    z.strictObject({
      type: z.literal('pattern'),
      pattern: z.array(z.array(z.literal([1, -1])).min(1)).min(1),
      strength: positive,
      token_offset: z.number().int().nonnegative().default(0),
      dim_offset: z.number().int().nonnegative().default(0),
    }),
    z.strictObject({ type: z.literal('l2_norm') }),
    z.strictObject({ type: z.literal('language_modeling'), examples: z.array(tokens).min(1) }),
  ],
  { error: 'a target is an object of type "pattern", "l2_norm" or "language_modeling"' },
);

const caseSchema = z.strictObject({
  name: z.string().min(1),
  /** S: predicted positions every example is padded to and divided by. */
  sequence_length: z.number().int().positive(),
  optimizer: optimizerSchema,
  /** One optimizer step each, in order. */
  batches: z.array(z.array(tokens).min(1)).min(1),
  target: targetSchema,
  /** Known values, ignored here. */
  expected: z.unknown().optional(),
});

/** A list of cases; keys as in `config.json` files of the field (snake_case). */
export const specSchema = z.array(caseSchema).min(1);
export type MetagradientCase = z.infer<typeof caseSchema>;

/** Result of one case; `tau` is shaped like its `batches`. */
export interface CaseResult {
  readonly name: string;
  readonly phi: number;
  readonly tau: number[][];
  readonly trainLosses: number[];
  /** That float32 does not carry `tau`, and the way out. */
  readonly warning?: string;
}

/** What does not fit the model or the rest of the case; `path` leads to it from the case. */
interface Misfit {
  readonly path: (string | number)[];
  readonly message: string;
}

function* misfits({ sequence_length: length, batches, target }: MetagradientCase, config: ModelShape): Generator<Misfit> {
  if (length > config.n_positions)
    yield { path: ['sequence_length'], message: `the model has only ${config.n_positions} positions` };
  for (const [b, batch] of batches.entries()) yield* badExamples(batch, ['batches', b], length, config);
  if (target.type === 'language_modeling') yield* badExamples(target.examples, ['target', 'examples'], length, config);
  if (target.type === 'pattern') yield* badPatch(target, config);
}

function* badExamples(
  examples: readonly number[][],
  path: Misfit['path'],
  length: number,
  { vocab_size }: ModelShape,
): Generator<Misfit> {
  for (const [i, example] of examples.entries()) {
    if (example.length > length + 1)
      yield { path: [...path, i], message: `sequence_length ${length} allows ${length + 1} tokens, here are ${example.length}` };
    const t = example.findIndex((token) => token >= vocab_size);
    if (t >= 0) yield { path: [...path, i, t], message: `tokens go from 0 to ${vocab_size - 1}` };
  }
}

type PatternTarget = Extract<MetagradientCase['target'], { type: 'pattern' }>;

function* badPatch({ pattern, token_offset, dim_offset }: PatternTarget, { n_embd, vocab_size }: ModelShape): Generator<Misfit> {
  const columns = pattern[0].length;
  const ragged = pattern.findIndex((row) => row.length !== columns);
  if (ragged >= 0) yield { path: ['target', 'pattern', ragged], message: `row 0 has ${columns} pixels` };
  if (token_offset + columns > vocab_size || dim_offset + pattern.length > n_embd)
    yield {
      path: ['target', 'pattern'],
      message:
        `${pattern.length} dimensions from ${dim_offset} on × ${columns} tokens from ${token_offset} on lie outside the ` +
        `LM head (${n_embd} × ${vocab_size})`,
    };
}

/** What JSON holds at a path, shortened; empty where there is nothing short to show. */
function valueAt(json: unknown, path: readonly PropertyKey[]): string {
  const value = path.reduce((place, key) => (place as Record<PropertyKey, unknown> | undefined)?.[key], json);
  const text = JSON.stringify(value) ?? 'nothing';
  return ` (got ${text.length > 60 ? `${text.slice(0, 57)}...` : text})`;
}

/** One line: case, path inside the JSON, what is wrong there, and the value. */
function complaint({ path, message }: z.core.$ZodIssue, json: unknown): string {
  const [index] = path;
  const name = typeof index === 'number' ? (json as { name?: unknown }[])[index]?.name : undefined;
  const where = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  return `${typeof name === 'string' ? `case ${JSON.stringify(name)}, ` : ''}at ${where || 'the top'}: ${message}${valueAt(json, path)}`;
}

/**
 * Reads a list of cases for a model.
 * @throws RangeError in one line with the first mistake: the case's name, the path inside the JSON, the value
 */
export function parseSpec(json: unknown, config: ModelShape): MetagradientCase[] {
  const fitting = specSchema.superRefine((cases, context) => {
    for (const [index, spec] of cases.entries())
      for (const { path, message } of misfits(spec, config))
        context.addIssue({ code: 'custom', path: [index, ...path], message });
  });
  const result = fitting.safeParse(json);
  if (!result.success) throw new RangeError(complaint(result.error.issues[0], json));
  return result.data;
}

/** Every optimizer is asked only for what its own schema has. */
function optimizerOf({ type, ...spec }: MetagradientCase['optimizer']): Optimizer {
  const given = { momentum: 0, b1: 0, b2: 0, eps: 0, eps_root: 0, weight_decay: 0, ...spec };
  const { learning_rate: learningRate, eps_root: epsRoot, weight_decay: weightDecay, momentum, b1, b2, eps } = given;
  return OPTIMIZERS[type].make({ learningRate, momentum, b1, b2, eps, epsRoot, weightDecay });
}

function objectiveOf({ target, sequence_length }: MetagradientCase, model: LanguageModel, params: Params): Objective {
  if (target.type === 'l2_norm') return negativeNorm;
  if (target.type === 'language_modeling')
    return likelihoodObjective(model, padExamples(target.examples, sequence_length, model.config.vocab_size));
  const { pattern, strength, token_offset: first = 0, dim_offset: dimOffset } = target;
  return patternObjective(pattern, params, { strength, tokens: pattern[0].map((_, c) => first + c), dimOffset });
}

/** Runs one case. @throws RangeError for tokens or lengths that do not fit the model */
export async function runCase(spec: MetagradientCase, model: LanguageModel, params: Params): Promise<CaseResult> {
  const sizes = spec.batches.map((batch) => batch.length);
  const { phi, tau, trainLosses, finalParams, warning } = await metagradient({
    checkRounding: true,
    model,
    params,
    examples: spec.batches.flat(),
    batchSize: sizes,
    sequenceLength: spec.sequence_length,
    optimizer: optimizerOf(spec.optimizer),
    objective: objectiveOf(spec, model, params),
  });
  disposeParams(finalParams);
  let from = 0;
  return { name: spec.name, phi, tau: sizes.map((size) => [...tau.subarray(from, (from += size))]), trainLosses, warning };
}
