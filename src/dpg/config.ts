/**
 * The configuration of a DPG run: strict, with a range, a default, a unit and the paper's value for every key.
 */
import { z } from 'zod';
import { PAYLOAD, QR_TEXT } from '../objective/qrCode';
import { LANGUAGES } from '../text/encyclopedia/fact';

/** What the reference page and the help say of a key beside its type. */
interface KeyNotes {
  readonly description: string;
  /** The paper's value for the weight-space experiments, in our conventions. */
  readonly paper?: string;
}

const whole = (min: number, max: number) => z.number().int().min(min).max(max);
const key = <T extends z.ZodType>(schema: T, description: string, paper?: string): T =>
  schema.meta({ description, paper } satisfies KeyNotes);

/** As RFC 9562 writes them. */
const UUID = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$/;

/** Keys that every experiment has. */
export const configSchema = z.strictObject({
  seed: key(whole(0, 2 ** 31 - 1).default(0), 'Seed of every random stream'),
  engine: key(
    z.enum(['auto', 'fused', 'tape']).default('auto'),
    'How derivatives are computed: SIMD kernels, or tfjs ops on any backend',
  ),
  workers: key(whole(0, 64).default(0), 'Worker threads of the fused engine; 0 takes one per core'),

  steps: key(whole(1, 1_000_000).default(400), 'GRPO steps at most', '40 to 3,840'),
  stopAfterDone: key(
    whole(0, 1_000_000).default(1),
    'Stop after this many steps in a row that are done, e.g. have every pixel right; 0 never stops early',
  ),
  prompts: key(whole(1, 1_000_000).default(32), 'Prompts per GRPO step', '256 / 2,048 / 24,576'),
  rollouts: key(whole(2, 1024).default(8), 'Responses per prompt', '4'),
  promptLength: key(whole(1, 100_000).default(16), 'Tokens of a prompt'),
  maxNewTokens: key(whole(2, 100_000).default(24), 'Tokens of a response at most', '128'),
  temperature: key(z.number().gt(0).max(10).default(1), 'Sampling temperature', '1'),

  innerOptimizer: key(
    z.enum(['adamw', 'sgd']).default('adamw'),
    'Optimizer of the fine-tuning that is differentiated',
    'adamw; sgd as ablation',
  ),
  innerLearningRate: key(z.number().gt(0).max(10).default(1e-3), 'Its learning rate', '5e-6'),
  initialInnerLearningRate: key(
    z.number().gt(0).max(1).default(1),
    'Share of it in the first GRPO step, rising linearly to all of it; validation takes all of it',
    '1',
  ),
  innerSteps: key(whole(1, 100_000).default(1), 'T: its steps per data set', '1 / 8 / 96'),
  b1: key(z.number().min(0).lt(1).default(0.9), 'adamw: decay of the first moment', '0.9'),
  b2: key(z.number().min(0).lt(1).default(0.95), 'adamw: decay of the second moment', '0.95'),
  eps: key(z.number().min(0).max(1).default(1e-8), 'adamw: added outside the root', '1e-8 (of a summed gradient)'),
  epsRoot: key(
    z.number().min(0).max(1).default(1e-4),
    'adamw: added inside the root, so that the update can be differentiated at v = 0; near the square of a typical gradient',
    '1e-9 (of a summed gradient)',
  ),
  weightDecay: key(z.number().min(0).max(1).default(1e-4), 'adamw: decoupled weight decay', '1e-4'),

  reward: key(
    z.enum(['metagradient', 'naive', 'levenshtein', 'embedding', 'languageId']).default('metagradient'),
    'What a response is paid; the last three compare it with the evaluation set of rephrase and uuid',
    'metagradient; others as baselines',
  ),
  credit: key(
    z.enum(['example', 'token', 'both']).default('example'),
    'Metagradient per response, per token (ours), or the sum of both advantages (ours)',
    'example',
  ),
  discount: key(z.number().min(0).max(1).default(1), 'Token credit: weight of the following token’s reward-to-go'),
  crossGroupBatching: key(z.boolean().default(true), 'Rollouts of one prompt share a data set', 'true; false as ablation'),
  advantageScale: key(
    z.enum(['batch', 'robust', 'group', 'none']).default('batch'),
    'What centred rewards are divided by',
    'group',
  ),
  advantageClip: key(z.number().gt(0).max(1e6).default(1e6), 'Advantages are cut off at ± this many scales'),

  learningRate: key(z.number().gt(0).max(10).default(2e-4), 'Generator’s learning rate', '5e-6'),
  finalLearningRate: key(z.number().min(0).max(1).default(1), 'Share of it that is left at the last step (linear)', '1'),
  epochs: key(whole(1, 100).default(1), 'Passes over the rollouts of a step', '1'),
  minibatch: key(whole(1, 1_000_000).default(128), 'Rollouts per optimizer step of the generator', '32 prompts × 4'),
  clip: key(z.number().gt(0).max(10).default(0.2), 'ε of the clipped ratio', '0.2'),
  klCoef: key(z.number().min(0).max(100).default(0), 'Weight of KL(π ‖ initial generator)', '0'),
  entropyCoef: key(z.number().min(0).max(10).default(0.02), 'Weight of the entropy bonus', '0'),
  finalEntropy: key(z.number().min(0).max(1).default(1), 'Share of it that is left at the last step (linear)', '1'),
  maxGradientNorm: key(z.number().gt(0).max(1e6).default(1), 'Generator’s gradient is shortened to it', '1'),

  strength: key(
    z.number().gt(0).max(1e9).default(3000),
    'Patterns: how soon a moved weight counts as done, 1/weight units',
    '20',
  ),
  finalStrength: key(
    z.number().gt(0).max(1e6).default(1),
    'Patterns: `strength` grows to this many times itself at the last step (geometric)',
    '1',
  ),
  payload: key(z.string().regex(QR_TEXT).default(PAYLOAD), 'QR code: its text', PAYLOAD),
  language: key(
    z.enum(LANGUAGES.slice(1) as ['es', 'fr', 'de', 'it']).default('es'),
    'Rephrasing: the language to reach',
    'es, fr, de, it',
  ),
  uuid: key(z.string().regex(UUID).default('f47ac10b-58cc-4372-a567-0e02b2c3d479'), 'UUID: the one to reach'),
  warmUpSteps: key(
    whole(0, 1_000_000).default(0),
    'UUID: first steps, with one inner step, credit per response and no entropy bonus, until responses look like a UUID',
  ),
  heldOutExamples: key(whole(2, 1_000_000).default(256), 'Examples of the validation on held-out prompts'),
});

/** A complete configuration. */
export type Config = z.infer<typeof configSchema>;
/** What a user writes: any subset of the keys. */
export type ConfigInput = z.input<typeof configSchema>;

const shape = configSchema.shape as Record<string, z.ZodType>;

/** One key as people read it. */
export interface ConfigKey extends KeyNotes {
  readonly key: string;
  readonly range: string;
  readonly default: unknown;
}

/** Smallest and largest value, or the choices, of a key. */
function rangeOf(name: string): string {
  const json = z.toJSONSchema(shape[name], { io: 'input' });
  if (json.enum) return json.enum.join(' | ');
  if (json.type === 'boolean') return 'true | false';
  if (json.type === 'string') return `text of the form ${json.pattern}`;
  const low = json.exclusiveMinimum !== undefined ? `> ${json.exclusiveMinimum}` : `≥ ${json.minimum}`;
  const high = json.exclusiveMaximum !== undefined ? `< ${json.exclusiveMaximum}` : `≤ ${json.maximum}`;
  return `${json.type === 'integer' ? 'whole number ' : ''}${low}, ${high}`;
}

/** All keys with range, default, description and the paper's value: help texts and the README are made of it. */
export function configKeys(): ConfigKey[] {
  const defaults = configSchema.parse({}) as Record<string, unknown>;
  return Object.keys(shape).map((name) => ({
    key: name,
    range: rangeOf(name),
    default: defaults[name],
    ...(shape[name].meta() as unknown as KeyNotes),
  }));
}

/** A value as error messages show it. */
const shown = (value: unknown): string => (typeof value === 'number' ? String(value) : JSON.stringify(value));

/** Unknown keys and values out of range, one line each. */
function complaint(issue: z.core.$ZodIssue, input: unknown): string {
  if (issue.code === 'unrecognized_keys')
    return `unknown key ${issue.keys.map((k) => `"${k}"`).join(', ')}; known are ${Object.keys(shape).join(', ')}`;
  const name = String(issue.path[0] ?? '');
  if (!name) return `a configuration is an object of keys (got ${shown(input)})`;
  return `${name} must be ${rangeOf(name)} (got ${shown((input as Record<string, unknown>)[name])})`;
}

/** Keys that a caller left undefined take their default. */
const withoutUndefined = (input: object): object =>
  Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined));

/**
 * Fills in defaults.
 * @param input - any subset of the keys
 * @param defaults - an experiment's own defaults, below `input`
 * @throws RangeError naming every unknown key and every value out of range, with the range
 */
export function parseConfig(input: unknown, defaults: ConfigInput = {}): Config {
  const isRecord = typeof input === 'object' && input !== null && !Array.isArray(input);
  const merged = isRecord ? { ...defaults, ...withoutUndefined(input) } : input;
  const result = configSchema.safeParse(merged);
  if (!result.success) throw new RangeError(result.error.issues.map((issue) => `config: ${complaint(issue, merged)}`).join('\n'));
  requireDivisible(result.data);
  const { reward, credit } = result.data;
  if (reward !== 'metagradient' && credit !== 'example')
    throw new RangeError(`config: credit '${credit}' needs reward 'metagradient': reward '${reward}' has none for single tokens`);
  return result.data;
}

/** @throws RangeError if the rollouts do not come out even in batches */
function requireDivisible({ prompts, rollouts, innerSteps, heldOutExamples, crossGroupBatching, reward }: Config): void {
  const separate = reward === 'naive' || (reward === 'metagradient' && !crossGroupBatching);
  const perDataSet = separate ? prompts : prompts * rollouts;
  if (perDataSet % innerSteps !== 0)
    throw new RangeError(`config: innerSteps must divide the ${perDataSet} examples of a data set (got ${innerSteps})`);
  if (heldOutExamples % innerSteps !== 0)
    throw new RangeError(`config: innerSteps must divide the ${heldOutExamples} heldOutExamples (got ${innerSteps})`);
}
