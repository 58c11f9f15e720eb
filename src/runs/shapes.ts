/**
 * What the files of a run folder hold: `config.json metrics.jsonl examples.jsonl checkpoints/ figures/ summary.json`, the same from
 * notebooks, commands and batch systems. Numbers that are not finite are written as null, as JSON has it, and read as NaN.
 */
import { z } from 'zod';
import type { MetricsRow } from '../dpg/train';
import type { ExampleRow, RunRecord, Summary } from './records';

const number = z
  .number()
  .nullable()
  .transform((value) => value ?? NaN);
const numbers = z.record(z.string(), number);
const unknowns = z.record(z.string(), z.unknown());

const modelSchema = z.strictObject({ folder: z.string().optional(), sha256: z.string() });

/** `config.json`: the configuration, what the run ran on, the models it began with, and what was changed along the way. */
export const runRecordSchema: z.ZodType<RunRecord> = z.strictObject({
  config: z.looseObject({ experiment: z.string(), seed: z.int() }),
  purpose: z.string().optional(),
  module: z.string().optional(),
  environment: z.object({
    version: z.string(),
    commit: z.string().nullable(),
    node: z.string(),
    tfjs: z.string(),
    backend: z.string(),
    engine: z.string(),
    seed: z.int(),
  }),
  models: z.strictObject({ generator: modelSchema, target: modelSchema, evaluator: z.string().optional() }).optional(),
  changes: z.array(z.strictObject({ step: z.int(), config: unknowns })).optional(),
});

/** A line of `metrics.jsonl`: one GRPO step, in ascending order; beside these keys whatever numbers the experiment measures. */
const columnsSchema = z
  .object({
    step: z.int().positive(),
    phi: number,
    reward: number,
    reward_std: number,
    /** Share of prompts whose rollouts all have the same reward. */
    frac_reward_zero_std: number,
    /** Nats per token. */
    entropy: number,
    kl: number,
    'clip_ratio/region_mean': number,
    grad_norm: number,
    'completions/mean_length': number,
    /** Loss of the target on its first and last batch. */
    target_loss_first: number,
    target_loss_last: number,
    seconds: number,
  })
  .catchall(number);

/** The same, with the columns in the order in which they were written: what an experiment measures stands where it put it. */
export const metricsRowSchema: z.ZodType<MetricsRow> = z.unknown().transform((row, context) => {
  const { data, error } = columnsSchema.safeParse(row);
  for (const { message, path } of error?.issues ?? []) context.addIssue({ code: 'custom', message, path: [...path] });
  return data ? (Object.fromEntries(Object.keys(row as object).map((key) => [key, data[key]])) as MetricsRow) : z.NEVER;
});

/** A line of `examples.jsonl`: a sample of what was written in a step. */
export const exampleRowSchema: z.ZodType<ExampleRow> = z.looseObject({ step: z.int().positive() });

/** `summary.json`: the result of one step on held-out prompts. */
export const summarySchema: z.ZodType<Summary> = z.strictObject({
  experiment: z.string(),
  seed: z.int(),
  steps: z.int().nonnegative(),
  seconds: z.number(),
  held_out: numbers,
  before: numbers.optional(),
  read: z.record(z.string(), z.string().nullable()).optional(),
  examples: z.array(z.strictObject({ prompt: z.string(), untrained: z.string().optional(), response: z.string() })).optional(),
});

/** `checkpoints/step-…/state.json`, beside `state.safetensors` with the tensors of all trees. */
export const checkpointSchema = z.strictObject({
  step: z.int().nonnegative(),
  /** Names of the trees of tensors. */
  trees: z.array(z.string()),
  /** Random states, counters and the like. */
  values: unknowns,
});

/** What a run folder puts into a checkpoint beside the trainer's own values. */
export const checkpointValuesSchema = z.strictObject({
  /** The configuration that the steps so far were made with, changes included. */
  config: unknowns,
  /** Length of the row files at this step, in bytes. */
  rowBytes: z.record(z.string(), z.int().nonnegative()),
  values: unknowns,
});
