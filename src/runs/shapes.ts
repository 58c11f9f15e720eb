/**
 * What the files of a run folder hold: `config.json metrics.jsonl examples.jsonl checkpoints/ figures/ summary.json`, the same from notebooks,
 * commands and batch systems. Numbers that are not finite are written as null, as JSON has it, and read as NaN.
 */
import { z } from 'zod';
import type { MetricsRow } from '../dpg/train';

const number = z
  .number()
  .nullable()
  .transform((value) => value ?? NaN);
const numbers = z.record(z.string(), number);
const unknowns = z.record(z.string(), z.unknown());

/** A model that a run starts from: its Hugging Face folder, absent for the experiment's own, and the SHA-256 of its parameters. */
const modelSchema = z.strictObject({ folder: z.string().optional(), sha256: z.string() });

/** `config.json`: the configuration, what the run ran on, the models it began with, and what was changed along the way. */
export const runRecordSchema = z.strictObject({
  config: z.looseObject({ experiment: z.string(), seed: z.int() }),
  /** What a model fine-tuned on the generated data becomes, as a clause: "… data, so that <purpose>". */
  purpose: z.string().optional(),
  /** The file that defines the experiment, where it is not one of the built-in ones. */
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
  models: z.strictObject({ generator: modelSchema, target: modelSchema }).optional(),
  /** Keys that were changed when the run was resumed after `step`, with their new values. */
  changes: z.array(z.strictObject({ step: z.int(), config: unknowns })).optional(),
});
export type RunRecord = z.infer<typeof runRecordSchema>;

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
export const exampleRowSchema = z.looseObject({ step: z.int().positive() });
export type ExampleRow = z.infer<typeof exampleRowSchema>;

/** `summary.json`: the result of one step on held-out prompts. */
export const summarySchema = z.strictObject({
  experiment: z.string(),
  seed: z.int(),
  /** GRPO steps that the validated generator had taken. */
  steps: z.int().nonnegative(),
  /** Of all steps, resumed or not. */
  seconds: z.number(),
  /** Φ and the experiment's measures of a fresh target, fine-tuned on responses to held-out prompts. */
  held_out: numbers,
  /** The same of the untrained generator. */
  before: numbers.optional(),
  /** What independent programs read in the decoded image. */
  read: z.record(z.string(), z.string().nullable()).optional(),
  /** Some of the held-out prompts and responses. */
  examples: z.array(z.strictObject({ prompt: z.string(), response: z.string() })).optional(),
});
export type Summary = z.infer<typeof summarySchema>;

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
