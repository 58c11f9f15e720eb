/**
 * What an experiment is made of, the built-in ones and your own: its keys, what it starts from, and a function that makes Φ and all else of
 * a configuration and the two models. Command line, help, reference page and notebooks read these data.
 */
import type { Config, ConfigInput, sharedKeys } from '../dpg/config';
import { parseConfig } from '../dpg/config';
import type { Actors, Experiment } from '../dpg/experiment';
import { requireFit } from '../dpg/fit';
import { given, type Keys } from '../dpg/keys';
import { loadModels, type ModelFolders } from '../dpg/models';

/** What an experiment brings once its models are there. */
export type Parts<C extends Config = Config> = Omit<
  Experiment<C>,
  'name' | 'module' | 'config' | 'generator' | 'target' | 'evaluator'
>;

/** A setting of another size: keys to be overridden by a user's own, and the models that it is made for. */
export interface Preset<C extends Config = Config> {
  readonly input: Partial<C>;
  readonly models: ModelFolders;
}

/** One method of a sweep. */
export interface SweepMethod<C extends Config = Config> {
  readonly name: string;
  /** What differs from the sweep's configuration. */
  readonly config: Partial<C>;
  /** Candidates for the generator's learning rate (a single one needs no tuning), or the method whose choice is taken over. */
  readonly learningRates: readonly number[] | string;
  /** By default the sweep's. */
  readonly seeds?: readonly number[];
}

/** The methods that an experiment compares, and what they share. */
export interface Sweep<C extends Config = Config> {
  /** Synthetic examples that a reported run sees. */
  readonly examples: number;
  /** Synthetic examples that a tuning run sees. */
  readonly tuningExamples: number;
  /** Examples between two measurements; a multiple of every method's prompts × groupSize. */
  readonly every: number;
  readonly seeds: readonly number[];
  /** Learning rates whose tuning run leaves a smaller share of words in the vocabulary are no candidates; by default all are. */
  readonly minWords?: number;
  readonly config: Partial<C> & Required<Pick<ConfigInput, 'prompts' | 'groupSize'>>;
  readonly methods: readonly SweepMethod<C>[];
}

/** An experiment before it is given a configuration and models. */
export interface Definition<C extends Config = Config, P extends Parts<C> = Parts<C>> {
  readonly name: string;
  /** Of your own target: the file that defines it. */
  readonly module?: string;
  /** The shared keys and its own. */
  readonly keys: Keys & typeof sharedKeys;
  /** Settings found for the small models; every key can be overridden. */
  readonly defaults: Partial<C>;
  /** Folders, or names on the hub. */
  readonly models: ModelFolders & { readonly generator: string; readonly target: string };
  /** By name; the target's optimizer decides on its learning rate. */
  readonly presets: Readonly<Record<string, (optimizer: Config['innerOptimizer']) => Preset<C>>>;
  readonly sweep?: Sweep<C>;
  make(config: C, models: Actors): P | Promise<P>;
}

/**
 * An experiment ready to be trained.
 * @param input - the configuration keys that differ from its defaults
 * @param models - instead of its own
 * @throws RangeError for a configuration that is wrong, or does not fit the models
 * @throws Error as {@link loadModels}
 */
export async function makeExperiment<C extends Config, P extends Parts<C>>(
  definition: Definition<C, P>,
  input: Partial<C> = {},
  models: ModelFolders = {},
): Promise<Experiment<C> & P> {
  const config = parseConfig(definition, input) as unknown as C;
  const actors = await loadModels({ ...definition.models, ...given(models) }, config);
  const { name, module } = definition;
  const evaluator = models.evaluator ?? (models.generator === undefined ? definition.models.evaluator : undefined);
  const experiment = { name, module, config, ...actors, evaluator, ...(await definition.make(config, actors)) };
  requireFit(experiment);
  return experiment;
}
