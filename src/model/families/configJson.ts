/**
 * What families read of a `config.json`: schemas of the keys that they share, and their values as our configs. The types stand apart from
 * it, beside the forward passes, so that the declarations which notebooks check do not bring in zod's.
 */
import { z } from 'zod';
import { describeIssues } from '../../files/json';
import type { DecoderConfig } from './decoder';
import { requireDivides } from './family';
import type { Rope } from './rotary';

/** Keys of a `config.json`. */
export const size = z
  .number()
  .int()
  .positive()
  .max(2 ** 31 - 1);
/** Layers: their names are listed before a file is looked at; the largest models have hundreds. */
export const layers = size.max(1000);
export const positive = z.number().positive();

/** Keys of families in which attention may be restricted to a window of positions: here it never is. */
export const fullAttention = {
  use_sliding_window: z.literal(false).default(false),
  layer_types: z.array(z.literal('full_attention')).nullish(),
};

/**
 * A JSON value by a schema; keys that it does not name are dropped.
 * @throws RangeError naming the family and the keys that do not fit, with their values
 */
export function parseKeys<T>(schema: z.ZodType<T>, json: unknown, title: string): T {
  const { success, data, error } = schema.safeParse(json, { reportInput: true });
  if (success) return data;
  throw new RangeError(`this ${title} cannot be run: ${describeIssues(error, json)}`);
}

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

/** Keys of the rotary embedding. */
const ropeKeys = {
  rope_theta: positive.nullish(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(), // both of the above in one, since transformers 5
};

/** @throws RangeError for heads of odd width */
function ropeOf(parsed: z.output<z.ZodObject<typeof ropeKeys>>, head_dim: number): Rope {
  if (head_dim % 2) throw new RangeError(`head_dim must be even for rotary embeddings (got ${head_dim})`);
  const rope = parsed.rope_parameters ?? parsed.rope_scaling;
  const rope_scaling = rope?.rope_type === 'llama3' ? scaling.parse(rope) : null;
  return { head_dim, rope_theta: rope?.rope_theta ?? parsed.rope_theta ?? 10000, rope_scaling };
}

/** Keys of `config.json` that all have. */
export const decoderKeys = {
  vocab_size: size,
  max_position_embeddings: size,
  hidden_size: size,
  num_hidden_layers: layers,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  intermediate_size: size,
  rms_norm_eps: positive.default(1e-6),
  ...ropeKeys,
  hidden_act: z.literal('silu').default('silu'),
  tie_word_embeddings: z.boolean().default(false),
};

/** @throws RangeError for sizes that do not fit each other */
export function decoderConfig(parsed: z.output<z.ZodObject<typeof decoderKeys>>): Omit<DecoderConfig, 'model_type'> {
  const { hidden_size: width, num_attention_heads: heads } = parsed;
  const num_key_value_heads = parsed.num_key_value_heads ?? heads;
  const head_dim = parsed.head_dim ?? width / heads;
  requireDivides(['num_key_value_heads', num_key_value_heads], ['num_attention_heads', heads]);
  if (!parsed.head_dim) requireDivides(['num_attention_heads', heads], ['hidden_size', width]);
  return {
    vocab_size: parsed.vocab_size,
    n_positions: parsed.max_position_embeddings,
    n_embd: width,
    n_layer: parsed.num_hidden_layers,
    n_head: heads,
    num_key_value_heads,
    intermediate_size: parsed.intermediate_size,
    rms_norm_eps: parsed.rms_norm_eps,
    ...ropeOf(parsed, head_dim),
  };
}
