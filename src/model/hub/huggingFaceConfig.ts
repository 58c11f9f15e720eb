/**
 * `config.json` of a Hugging Face folder: what a model needs of it, and what it takes for granted. The many other keys are dropped.
 */
import { z } from 'zod';
import type { Gpt2Config, LlamaConfig, ModelConfig } from '../types';

/** A config, and whether the LM head is stored as the embedding. */
export interface ParsedConfig {
  readonly config: ModelConfig;
  readonly tied: boolean;
}

const size = z.number().int().positive();
const positive = z.number().positive();

const gpt2Schema = z.object({
  vocab_size: size,
  n_positions: size,
  n_embd: size,
  n_layer: size,
  n_head: size,
  layer_norm_epsilon: positive.default(1e-5),
  n_inner: size.nullish(),
  activation_function: z.enum(['gelu_new', 'gelu_pytorch_tanh']).default('gelu_new'), // two names of one function
  scale_attn_weights: z.literal(true).default(true),
  scale_attn_by_inverse_layer_idx: z.literal(false).default(false),
  tie_word_embeddings: z.boolean().default(true),
});

const anyRope = { rope_theta: positive.optional(), partial_rotary_factor: z.literal(1).optional() };
const scaling = z.object({
  factor: positive,
  low_freq_factor: positive,
  high_freq_factor: positive,
  original_max_position_embeddings: size,
});

/** Older files say `type` for `rope_type`. */
const ropeSchema = z.preprocess(
  (rope) => (typeof rope === 'object' && rope !== null ? { rope_type: 'type' in rope ? rope.type : 'default', ...rope } : rope),
  z.discriminatedUnion(
    'rope_type',
    [
      z.object({ rope_type: z.literal('default'), ...anyRope }),
      z.object({ rope_type: z.literal('llama3'), ...anyRope, ...scaling.shape }),
    ],
    { error: 'expected rope_type "llama3" or "default"' },
  ),
);

const llamaSchema = z.object({
  vocab_size: size,
  max_position_embeddings: size,
  hidden_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  intermediate_size: size,
  rms_norm_eps: positive.default(1e-6),
  rope_theta: positive.nullish(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(), // both of the above in one, since transformers 5
  hidden_act: z.literal('silu').default('silu'),
  attention_bias: z.literal(false).default(false),
  mlp_bias: z.literal(false).default(false),
  tie_word_embeddings: z.boolean().default(false),
});

/** All that is wrong with a JSON value in one line: path, expectation, value. */
export const describeIssues = (error: z.ZodError): string =>
  error.issues.map(({ path, message }) => (path.length ? `${path.join('.')}: ${message}` : message)).join('; ');

/** @throws RangeError naming the architecture and every key that does not fit, with its value */
function parse<T>(schema: z.ZodType<T>, json: unknown, architecture: string): T {
  const parsed = schema.safeParse(json, { reportInput: true });
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((issue) => ({
    ...issue,
    message: issue.message + (issue.input === undefined ? '' : ` (got ${JSON.stringify(issue.input)})`),
  }));
  throw new RangeError(`this ${architecture} cannot be run: ${describeIssues(new z.ZodError(issues))}`);
}

function parseGpt2(json: unknown): ParsedConfig {
  const parsed = parse(gpt2Schema, json, 'GPT-2');
  const { vocab_size, n_positions, n_embd, n_layer, n_head, layer_norm_epsilon, n_inner, tie_word_embeddings: tied } = parsed;
  if (n_embd % n_head !== 0) throw new RangeError(`n_head must divide n_embd (got ${n_head} and ${n_embd})`);
  if (n_inner && n_inner !== 4 * n_embd) throw new RangeError(`n_inner must be 4 · n_embd = ${4 * n_embd} (got ${n_inner})`);
  return { config: { vocab_size, n_positions, n_embd, n_layer, n_head, layer_norm_epsilon }, tied };
}

function parseLlama(json: unknown): ParsedConfig {
  const parsed = parse(llamaSchema, json, 'Llama');
  const { hidden_size: width, num_attention_heads: heads, tie_word_embeddings: tied } = parsed;
  const num_key_value_heads = parsed.num_key_value_heads ?? heads;
  const head_dim = parsed.head_dim ?? width / heads;
  const rope = parsed.rope_parameters ?? parsed.rope_scaling;
  const divides = (name: string, divisor: number, what: string, n: number): void => {
    if (n % divisor !== 0) throw new RangeError(`${name} must divide ${what} (got ${divisor} and ${n})`);
  };
  divides('num_key_value_heads', num_key_value_heads, 'num_attention_heads', heads);
  if (!parsed.head_dim) divides('num_attention_heads', heads, 'hidden_size', width);
  if (head_dim % 2) throw new RangeError(`head_dim must be even for rotary embeddings (got ${head_dim})`);
  const config: LlamaConfig = {
    model_type: 'llama',
    vocab_size: parsed.vocab_size,
    n_positions: parsed.max_position_embeddings,
    n_embd: width,
    n_layer: parsed.num_hidden_layers,
    n_head: heads,
    num_key_value_heads,
    head_dim,
    intermediate_size: parsed.intermediate_size,
    rms_norm_eps: parsed.rms_norm_eps,
    rope_theta: rope?.rope_theta ?? parsed.rope_theta ?? 10000,
    rope_scaling: rope?.rope_type === 'llama3' ? scaling.parse(rope) : null,
  };
  return { config, tied };
}

const PARSERS = { gpt2: parseGpt2, llama: parseLlama };

/**
 * Reads the content of a `config.json`.
 * @throws RangeError in one line: the architecture, or the keys of it that cannot be run, with their values
 */
export function parseModelConfig(json: Readonly<Record<string, unknown>>): ParsedConfig {
  const { model_type: type } = json;
  if (type === 'gpt2' || type === 'llama') return PARSERS[type](json);
  const supported = Object.keys(PARSERS).join(', ');
  throw new RangeError(`model_type ${JSON.stringify(type)} is not supported (supported: ${supported})`);
}

const gpt2Keys = (config: Gpt2Config): object => ({
  architectures: ['GPT2LMHeadModel'],
  ...config,
  model_type: 'gpt2',
  activation_function: 'gelu_new',
});

function llamaKeys({ n_positions, n_embd, n_layer, n_head, rope_scaling, ...others }: LlamaConfig): object {
  return {
    architectures: ['LlamaForCausalLM'],
    ...others,
    max_position_embeddings: n_positions,
    hidden_size: n_embd,
    num_hidden_layers: n_layer,
    num_attention_heads: n_head,
    hidden_act: 'silu',
    attention_bias: false,
    mlp_bias: false,
    rope_scaling: rope_scaling && { rope_type: 'llama3', ...rope_scaling },
  };
}

/** What `config.json` says beside the network. */
export interface FolderFacts {
  readonly dtype: 'F32' | 'F16' | 'BF16';
  readonly beginOfText?: number;
  readonly endOfText?: number;
}

/** The content of a `config.json` for transformers. */
export const huggingFaceConfig = (config: ModelConfig, { dtype, beginOfText, endOfText }: FolderFacts): object => ({
  ...(config.model_type === 'llama' ? llamaKeys(config) : gpt2Keys(config)),
  tie_word_embeddings: false,
  torch_dtype: { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }[dtype],
  bos_token_id: beginOfText ?? null, // without these keys Hugging Face assumes tokens of its own
  eos_token_id: endOfText ?? null,
});
