/**
 * What an experiment is: data and plain functions. The loop, validation and the oracle check know nothing else of it, so that any field can
 * be replaced in a copy: `{ ...experiment, objective }`.
 */
import type { Objective } from '../learn/objective';
import type { Optimizer } from '../learn/optimizer';
import { forward, type Forward } from '../model/tape/forward';
import type { LanguageModel } from '../model/types';
import type { InnerTraining } from '../reward/metagradient';
import type { Reward } from '../reward/reward';
import type { Params } from '../tensor/params';
import type { RandomStream } from '../tensor/random';
import type { Language } from '../text/encyclopedia/fact';
import type { Tokenizer } from '../text/tokenizer';
import type { Config } from './config';
import type { Scheduled } from './schedule';

/** A language model with its initial parameters and its tokenizer. */
export interface Actor {
  readonly model: LanguageModel;
  readonly params: Params;
  readonly tokenizer: Tokenizer;
  /** What it shows of texts with other parameters, e.g. fine-tuned ones, in tfjs ops; see {@link forward}. */
  readonly forward: (params: Params, ids: readonly (readonly number[])[]) => Forward;
}

/** A model of any engine as an actor. */
export const actorOf = (model: LanguageModel, params: Params, tokenizer: Tokenizer): Actor => ({
  model,
  params,
  tokenizer,
  forward: (other, ids) => forward(model.config, other, ids),
});

/** What an experiment reads off a fine-tuned target and the text it learnt from, beside Φ. */
export interface Observation {
  /** Readable measures for the metrics row, e.g. `pixel_accuracy`. */
  readonly metrics: Readonly<Record<string, number>>;
  /** A picture to watch: the decoded patch of the LM head, [rows][columns]. */
  readonly image?: number[][];
  /** All that is wanted is there: training ends after `stopAfterDone` such steps in a row. */
  readonly done?: boolean;
  /** How much of what is wanted is there, 0 to 1: schedules follow it where it is ahead of the share of steps that are done. */
  readonly reached?: number;
}

/** One prompt and what was written for it. */
export interface WrittenExample {
  readonly prompt: string;
  readonly response: string;
}

/** What there is to observe: after the fine-tuning of a step, or of a validation. */
export interface Observed {
  /** The fine-tuned target's parameters; they are freed afterwards. */
  readonly tuned: Params;
  /** The text it was fine-tuned on. */
  readonly examples: readonly WrittenExample[];
  readonly phi: number;
}

/** Where prompts come from: training and held-out prompts never share an article. */
export type PromptSource = (split: 'train' | 'heldOut', count: number, random: RandomStream) => number[][];

/** Everything that defines a run. */
export interface Experiment<C extends Config = Config> {
  readonly name: string;
  /** The file that defines it, where it is not one of the built-in ones. */
  readonly module?: string;
  /** For cards: what a model fine-tuned on the generated data becomes, as a clause; "… data, so that <purpose>". */
  readonly purpose?: string;
  readonly config: C;
  readonly generator: Actor;
  readonly target: Actor;
  readonly prompts: PromptSource;
  /** Φ, in training and in validation. */
  readonly objective: Scheduled<Objective>;
  /** Of the target's fine-tuning, which is differentiated; by default what the config says. */
  readonly optimizer?: Scheduled<Optimizer>;
  /** What rollouts are paid, given the fine-tuning of the step; by default what the config says. */
  readonly reward?: (inner: InnerTraining) => Reward;
  /** A language model that takes no part, as a folder or a name on the hub: validation asks it how likely the texts are. */
  readonly evaluator?: string;
  /** Languages in which a word of a response counts as one; by default English. */
  readonly languages?: readonly Language[];
  readonly observe: (observed: Observed) => Observation | Promise<Observation>;
  /** Keys that differ at a training step (counted from 0), e.g. in a warm-up; validation takes `config`. */
  readonly configAt?: (step: number) => Partial<C>;
  /** What independent programs read in the image that `observe` shows, e.g. two readers of QR codes. */
  readonly decode?: (image: number[][]) => Promise<Readonly<Record<string, string | null>>>;
}

/** Both models of an experiment. */
export type Actors = Pick<Experiment, 'generator' | 'target'>;
