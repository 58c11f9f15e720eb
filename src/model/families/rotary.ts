/**
 * Rotary position embedding (RoFormer, arXiv 2104.09864) in the layout of Hugging Face: dimension j of a head is rotated together with
 * dimension j + width / 2.
 */
import * as tf from '@tensorflow/tfjs-core';

/** How Llama 3.1 and 3.2 slow down the low frequencies of their rotary embedding (`"rope_type": "llama3"`). */
export interface RopeScaling {
  readonly factor: number;
  readonly low_freq_factor: number;
  readonly high_freq_factor: number;
  /** Context of the model before its extension, in tokens. */
  readonly original_max_position_embeddings: number;
}

/** What the frequencies follow from. */
export interface Rope {
  /** Width of a head; even. */
  readonly head_dim: number;
  /** Base of the rotary frequencies. */
  readonly rope_theta: number;
  readonly rope_scaling: RopeScaling | null;
}

/** `rope_scaling` as `config.json` has it. */
export const ropeToJson = (rope: RopeScaling | null): object | null => rope && { rope_type: 'llama3', ...rope };

/** cos and sin of every position's angles, [length, width / 2] each. */
export interface RotaryTables {
  readonly cos: tf.Tensor2D;
  readonly sin: tf.Tensor2D;
}

/**
 * Frequency after the extension of the context by `factor` in Llama 3.1 and 3.2: waves that fit `high_freq_factor` times into the original
 * context stay, those that do not fit `low_freq_factor` times are slowed down by `factor`, in between the two are mixed.
 */
function scaled(frequency: number, scaling: RopeScaling): number {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: context } = scaling;
  const waves = (context * frequency) / (2 * Math.PI); // in the original context
  const kept = Math.min(1, Math.max(0, (waves - low) / (high - low)));
  return frequency * (kept + (1 - kept) / factor);
}

/** Radians per position of every pair of dimensions, [head_dim / 2]. */
export function rotaryFrequencies({ head_dim, rope_theta, rope_scaling }: Rope): number[] {
  const plain = Array.from({ length: head_dim / 2 }, (_, pair) => rope_theta ** ((-2 * pair) / head_dim));
  return rope_scaling ? plain.map((frequency) => scaled(frequency, rope_scaling)) : plain;
}

/** The tables of positions `from` … `from + length − 1`; angles in float64, for positions in the thousands. */
export function rotaryTables(rope: Rope, from: number, length: number): RotaryTables {
  const frequencies = rotaryFrequencies(rope);
  const pairs = frequencies.length;
  const table = (f: (angle: number) => number): tf.Tensor2D => {
    const angle = (i: number): number => (from + Math.floor(i / pairs)) * frequencies[i % pairs];
    return tf.tensor2d(
      Float32Array.from({ length: length * pairs }, (_, i) => f(angle(i))),
      [length, pairs],
    );
  };
  return { cos: table(Math.cos), sin: table(Math.sin) };
}

/** Queries or keys [batch, heads, length, width], rotated by their positions. */
export function rotate(x: tf.Tensor4D, { cos, sin }: RotaryTables): tf.Tensor4D {
  const [a, b] = tf.split(x, 2, 3); // [batch, heads, length, width / 2]
  const rotated = [tf.sub(tf.mul(a, cos), tf.mul(b, sin)), tf.add(tf.mul(b, cos), tf.mul(a, sin))];
  return tf.concat(rotated, 3) as tf.Tensor4D;
}
