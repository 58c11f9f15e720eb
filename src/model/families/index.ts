/** The families of models by the `model_type` of their `config.json`. */
import { shown } from '../../files/printable';
import type { Family, ParsedConfig } from './family';
import { gpt2 } from './gpt2';
import { llama } from './llama';
import { qwen2 } from './qwen2';
import { qwen3 } from './qwen3';
import type { Shapes } from './transformer';

const FAMILIES = { gpt2, llama, qwen2, qwen3 };

type ConfigOf<F> = F extends Family<infer C> ? C : never;

/** The config of a model of any family; `model_type` tells them apart. */
export type ModelConfig = ConfigOf<(typeof FAMILIES)[keyof typeof FAMILIES]>;

/** @throws RangeError naming a `model_type` that is none of a family, and those that are */
function familyNamed(modelType: unknown): Family<ModelConfig> {
  if (typeof modelType === 'string' && Object.hasOwn(FAMILIES, modelType))
    return FAMILIES[modelType as keyof typeof FAMILIES] as Family<ModelConfig>;
  const supported = Object.keys(FAMILIES).join(', ');
  throw new RangeError(`model_type ${shown(modelType)} is not supported (supported: ${supported})`);
}

/**
 * The family of a config; one written by hand without `model_type` is a GPT-2's.
 * @throws RangeError naming a `model_type` that is none of a family, and those that are
 */
export const familyOf = ({ model_type = 'gpt2' }: ModelConfig): Family<ModelConfig> => familyNamed(model_type);

/**
 * Reads the content of a `config.json`.
 * @throws RangeError in one line: the family, or the keys of it that cannot be run, with their values
 */
export const parseModelConfig = (json: Readonly<Record<string, unknown>>): ParsedConfig<ModelConfig> =>
  familyNamed(json.model_type).parse(json);

/** Names and shapes of a model's parameters, in the order of the network. */
export const parameterShapes = (config: ModelConfig): Shapes => familyOf(config).shapes(config);

/** Number of parameters, the untied head included. */
export const parameterCount = (config: ModelConfig): number =>
  Object.values(parameterShapes(config)).reduce((sum, shape) => sum + shape.reduce((a, b) => a * b), 0);
