/**
 * Metagradients without a generator: a JSON description of fine-tuning and Φ in, τ of every example out.
 *
 * This is what `dpg metagradient` runs, for data weighting, filtering and attribution.
 */
import { z } from 'zod';
import { metagradient } from '../learn/metagradient';
import type { Objective } from '../learn/objective';
import { adamw, sgd, type Optimizer } from '../learn/optimizer';
import { padExamples } from '../model/batch';
import type { LanguageModel } from '../model/types';
import { likelihoodObjective } from '../objective/likelihood';
import { negativeNorm } from '../objective/norm';
import { patternObjective } from '../objective/pattern';
import { disposeParams, type Params } from '../tensor/params';

const positive = z.number().positive();
const tokens = z.array(z.number().int().nonnegative()).min(2);

const optimizerSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('sgd'), learning_rate: positive }),
  z.strictObject({
    type: z.literal('adamw'),
    learning_rate: positive,
    b1: z.number().min(0).lt(1).default(0.9),
    b2: z.number().min(0).lt(1).default(0.95),
    eps: z.number().nonnegative().default(1e-8),
    eps_root: z.number().nonnegative().default(0),
    weight_decay: z.number().nonnegative().default(0),
  }),
]);

const targetSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('pattern'),
    pattern: z.array(z.array(z.union([z.literal(1), z.literal(-1)])).min(1)).min(1),
    strength: positive,
    token_offset: z.number().int().nonnegative().default(0),
    dim_offset: z.number().int().nonnegative().default(0),
  }),
  z.strictObject({ type: z.literal('l2_norm') }),
  z.strictObject({ type: z.literal('language_modeling'), examples: z.array(tokens).min(1) }),
]);

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
}

function optimizerOf(spec: MetagradientCase['optimizer']): Optimizer {
  if (spec.type === 'sgd') return sgd({ learningRate: spec.learning_rate });
  const { learning_rate: learningRate, b1, b2, eps, eps_root: epsRoot, weight_decay: weightDecay } = spec;
  return adamw({ learningRate, b1, b2, eps, epsRoot, weightDecay });
}

function objectiveOf({ target, sequence_length }: MetagradientCase, model: LanguageModel, params: Params): Objective {
  if (target.type === 'l2_norm') return negativeNorm;
  if (target.type === 'language_modeling')
    return likelihoodObjective(model, padExamples(target.examples, sequence_length, model.config.vocab_size));
  const { pattern, strength, token_offset: tokenOffset, dim_offset: dimOffset } = target;
  return patternObjective(pattern, params, { strength, tokenOffset, dimOffset });
}

/** Runs one case. @throws RangeError for tokens or lengths that do not fit the model */
export async function runCase(spec: MetagradientCase, model: LanguageModel, params: Params): Promise<CaseResult> {
  const sizes = spec.batches.map((batch) => batch.length);
  const { phi, tau, trainLosses, finalParams } = await metagradient({
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
  return { name: spec.name, phi, tau: sizes.map((size) => [...tau.subarray(from, (from += size))]), trainLosses };
}
