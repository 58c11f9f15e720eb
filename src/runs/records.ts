/**
 * What the files of a run folder hold, as types: `shapes.ts` has the schemas that they are read by. They stand apart so that the
 * declarations which notebooks check do not bring in zod's.
 */

/** Numbers by name; what is not finite is NaN. */
export type Numbers = Record<string, number>;

/** A model that a run starts from: its Hugging Face folder, absent for the experiment's own, and the SHA-256 of its parameters. */
export interface ModelRecord {
  folder?: string;
  sha256: string;
}

/** `config.json`: the configuration, what the run ran on, the models it began with, and what was changed along the way. */
export interface RunRecord {
  config: { experiment: string; seed: number; [key: string]: unknown };
  /** What a model fine-tuned on the generated data becomes, as a clause: "… data, so that <purpose>". */
  purpose?: string;
  /** The file that defines the experiment, where it is not one of the built-in ones. */
  module?: string;
  environment: {
    version: string;
    commit: string | null;
    node: string;
    tfjs: string;
    backend: string;
    engine: string;
    seed: number;
  };
  models?: {
    generator: ModelRecord;
    target: ModelRecord;
    /** The folder of the evaluator, where it is not the experiment's own. */
    evaluator?: string;
  };
  /** Keys that were changed when the run was resumed after `step`, with their new values. */
  changes?: { step: number; config: Record<string, unknown> }[];
}

/** A line of `examples.jsonl`: a sample of what was written in a step. */
export interface ExampleRow {
  step: number;
  [column: string]: unknown;
}

/** `summary.json`: the result of one step on held-out prompts. */
export interface Summary {
  experiment: string;
  seed: number;
  /** GRPO steps that the validated generator had taken. */
  steps: number;
  /** Of all steps, resumed or not. */
  seconds: number;
  /** Φ and the experiment's measures of a fresh target, fine-tuned on responses to held-out prompts. */
  held_out: Numbers;
  /** The same of the untrained generator. */
  before?: Numbers;
  /** What independent programs read in the decoded image. */
  read?: Record<string, string | null>;
  /** Some of the held-out prompts and responses, beside what the untrained generator writes there. */
  examples?: { prompt: string; untrained?: string; response: string }[];
}
