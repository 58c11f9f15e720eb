/**
 * Your own target: any differentiable Φ as an experiment like the built-in ones, recorded, resumed, compared, exported and swept as they
 * are.
 *
 *     const experiment = await dpg.ownTarget({ name: 'small-head', objective: (params) => tf.neg(tf.norm(params['lm_head.weight'])) });
 *
 * or as a module whose exports are the fields of {@link OwnTarget}: `npx dpg train ./small-head.mjs`.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Tensor } from '@tensorflow/tfjs-core/dist/tensor';
import type { Objective, ObjectiveWithGradient } from '../learn/objective';
import type { Optimizer } from '../learn/optimizer';
import type { InnerTraining } from '../reward/metagradient';
import type { Reward } from '../reward/reward';
import type { Params } from '../tensor/params';
import type { RandomStream } from '../tensor/random';
import type { Actors, Experiment, Observation, Observed } from '../dpg/experiment';
import type { ConfigOf, Keys } from '../dpg/keys';
import type { ModelFolders } from '../dpg/models';
import type { Scheduled } from '../dpg/schedule';
import { makeExperiment, type Definition, type Parts, type Sweep } from './definition';
import { EXPERIMENTS } from './experiments';
import { articlePrompts, CHARACTER_MODELS, promptedKeys, type PromptedConfig } from './weightSpace';

/** What every function of an own target gets as its last argument: the configuration and both models. */
export interface OwnContext<K extends Keys = Keys> extends Actors {
  readonly config: PromptedConfig & ConfigOf<K>;
}

/** Φ of the target's fine-tuned parameters, in tfjs ops, higher is better; or with a gradient of its own. */
type OwnObjective<K extends Keys> = ((params: Params, context: OwnContext<K>) => Tensor) | ObjectiveWithGradient;

/** An own target; only `name` and `objective` are needed. */
export interface OwnTarget<K extends Keys = Keys> {
  readonly name: string;
  readonly objective: Scheduled<OwnObjective<K>>;
  /** For cards: "… data, so that <purpose>". */
  readonly purpose?: string;
  /** Its own configuration keys, beside the shared ones. */
  readonly keys?: K;
  /** Settings where they differ from the keys' defaults. */
  readonly defaults?: Partial<PromptedConfig & ConfigOf<K>>;
  /** Folders, or names on the hub; by default the character models of data/. */
  readonly models?: ModelFolders;
  /** Measures, a picture, and whether it is done. */
  readonly observe?: (observed: Observed, context: OwnContext<K>) => Observation | Promise<Observation>;
  /** Token ids of prompts, all of one length; by default pieces of the encyclopedia, or requests to rephrase them. */
  readonly prompts?: (split: 'train' | 'heldOut', count: number, random: RandomStream, context: OwnContext<K>) => number[][];
  /** Of the target's fine-tuning; by default what the configuration says. */
  readonly optimizer?: Scheduled<Optimizer>;
  /** What rollouts are paid; by default what the configuration says. */
  readonly reward?: (inner: InnerTraining, context: OwnContext<K>) => Reward;
  /** Methods to compare: `dpg figures ./my-target.mjs`. */
  readonly sweep?: Sweep<PromptedConfig & ConfigOf<K>>;
}

const FIELDS = [
  'name',
  'objective',
  'purpose',
  'keys',
  'defaults',
  'models',
  'observe',
  'prompts',
  'optimizer',
  'reward',
  'sweep',
];

/** An objective, or a schedule of some, that knows the context. */
function bound<K extends Keys>(objective: Scheduled<OwnObjective<K>>, context: OwnContext<K>): Scheduled<Objective> {
  if (typeof objective === 'function') return (params) => objective(params, context);
  if ('at' in objective) return { at: (step, steps) => bound(objective.at(step, steps), context) as Objective };
  return objective;
}

/**
 * The definition of an own target, as the built-in experiments have one.
 * @throws RangeError for a field that there is not, or that is missing
 */
export function ownDefinition<K extends Keys = Keys>(own: OwnTarget<K>): Definition<PromptedConfig & ConfigOf<K>> {
  const unknown = Object.keys(own).find((field) => !FIELDS.includes(field));
  if (unknown) throw new RangeError(`a target has no "${unknown}"; there are ${FIELDS.join(', ')}`);
  if (typeof own.objective !== 'function' && typeof own.objective !== 'object')
    throw new RangeError(`the target ${own.name} needs an objective: a function of the parameters (got ${typeof own.objective})`);
  const { name, purpose, defaults = {}, optimizer, observe, prompts, reward, sweep } = own;
  return {
    name,
    keys: { ...promptedKeys, ...own.keys },
    defaults,
    models: { ...CHARACTER_MODELS, ...(own.models?.generator !== undefined && { evaluator: undefined }), ...own.models },
    presets: {},
    sweep,
    make(config, models): Parts<PromptedConfig & ConfigOf<K>> {
      const context = { config, ...models };
      return {
        purpose,
        optimizer,
        objective: bound(own.objective, context),
        observe: observe ? (observed) => observe(observed, context) : () => ({ metrics: {} }),
        prompts: prompts
          ? (split, count, random) => prompts(split, count, random, context)
          : articlePrompts(models.generator, config),
        reward: reward && ((inner) => reward(inner, context)),
      };
    },
  };
}

/**
 * An own target as an experiment ready to be trained.
 * @param own - the target, with `config` (keys that differ from its defaults) and `models` (folders, or names on the hub)
 * @throws as {@link ownDefinition} and {@link makeExperiment}
 */
export function ownTarget<K extends Keys = Record<never, never>>({
  config = {},
  ...own
}: OwnTarget<K> & { readonly config?: Partial<PromptedConfig & ConfigOf<K>> }): Promise<
  Experiment<PromptedConfig & ConfigOf<K>>
> {
  return makeExperiment(ownDefinition(own as OwnTarget<K>), config);
}

/**
 * The experiment of that name, or the own target in the module at that path.
 * @throws RangeError where there is neither, or the module exports no target
 */
export async function loadDefinition(nameOrFile: string): Promise<Definition> {
  if (Object.hasOwn(EXPERIMENTS, nameOrFile)) return EXPERIMENTS[nameOrFile];
  if (!/\.[cm]?js$/.test(nameOrFile) || !existsSync(nameOrFile))
    throw new RangeError(
      `there is no experiment ${JSON.stringify(nameOrFile)}: take one of ${Object.keys(EXPERIMENTS).join(', ')}, or a ` +
        `module of your own such as ./my-target.mjs`,
    );
  const file = path.resolve(nameOrFile);
  const exported = (await import(pathToFileURL(file).href)) as { default?: object };
  const { default: whole, ...parts } = exported; // a CommonJS module has all of them in its default
  const name = path.basename(file).replace(/\.[^.]+$/, '');
  const own = Object.fromEntries(Object.entries({ name, ...whole, ...parts }).filter(([field]) => field !== 'module.exports'));
  return { ...ownDefinition(own as unknown as OwnTarget), module: file } as unknown as Definition;
}
