/**
 * Llama 3.2 written once more from its published description (The Llama 3 Herd of Models, arXiv 2407.21783, and the formulas of
 * RMSNorm, RoPE, SwiGLU and grouped-query attention that it names), one position at a time, as plain scalar loops in float64. Where
 * there are biases they are added, and where there are norms of queries and keys (Qwen3, arXiv 2505.09388) these are normalized.
 */
import type { DecoderConfig } from '../../src/model/families/decoder';
import type { TokenBatch } from '../../src/model/types';
import { labelLogProbs, meanLoss, tokenLosses, type NamedValues, type Values } from './gpt2Float64';

type Vector = number[];

/** W x, W [out, in] as PyTorch stores it. */
function times(weight: Values, x: Vector): Vector {
  return Array.from({ length: weight.length / x.length }, (_, row) =>
    x.reduce((sum, value, column) => sum + weight[row * x.length + column] * value, 0),
  );
}

function rootMeanSquareNorm(x: Vector, gain: Values, epsilon: number): Vector {
  const meanSquare = x.reduce((sum, v) => sum + v * v, 0) / x.length;
  return x.map((v, i) => (v / Math.sqrt(meanSquare + epsilon)) * gain[i]);
}

/** Wavelengths shorter than context / high stay, longer than context / low are stretched by the factor, a smooth mixture between. */
export function inverseFrequency(pair: number, { head_dim, rope_theta, rope_scaling }: DecoderConfig): number {
  const frequency = 1 / Math.pow(rope_theta, (2 * pair) / head_dim);
  if (!rope_scaling) return frequency;
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: context } = rope_scaling;
  const wavelength = (2 * Math.PI) / frequency;
  if (wavelength < context / high) return frequency;
  if (wavelength > context / low) return frequency / factor;
  const smooth = (context / wavelength - low) / (high - low);
  return ((1 - smooth) * frequency) / factor + smooth * frequency;
}

/** x·cos + rotateHalf(x)·sin, with rotateHalf(x) = (−second half, first half). */
function rotated(x: Vector, position: number, config: DecoderConfig): Vector {
  const half = x.length / 2;
  const swapped = [...x.slice(half).map((v) => -v), ...x.slice(0, half)];
  return x.map((v, j) => {
    const angle = position * inverseFrequency(j % half, config);
    return v * Math.cos(angle) + swapped[j] * Math.sin(angle);
  });
}

const slices = (x: Vector, width: number): Vector[] =>
  Array.from({ length: x.length / width }, (_, i) => x.slice(i * width, (i + 1) * width));
const inner = (a: Vector, b: Vector): number => a.reduce((sum, v, i) => sum + v * b[i], 0);
const plus = (a: Vector, b: Vector): Vector => a.map((v, i) => v + b[i]);

/** Attention of the last position; `keys` and `values` are [position][key head]. */
function mixture(queries: Vector[], keys: Vector[][], values: Vector[][]): Vector {
  return queries.flatMap((query, head) => {
    const served = Math.floor((head * keys[0].length) / queries.length);
    const scores = keys.map((key) => Math.exp(inner(query, key[served]) / Math.sqrt(query.length)));
    const total = scores.reduce((a, b) => a + b);
    return query.map((_, j) => scores.reduce((sum, score, at) => sum + (score / total) * values[at][served][j], 0));
  });
}

/** Logits after every token of one text. */
function textLogits(p: NamedValues, config: DecoderConfig, tokens: readonly number[]): Vector[] {
  const { n_embd: d, head_dim: width, rms_norm_eps: epsilon } = config;
  const norm = (x: Vector, name: string): Vector => rootMeanSquareNorm(x, p[`model.${name}.weight`], epsilon);
  let h: Vector[] = tokens.map((token) => [...p['model.embed_tokens.weight'].subarray(token * d, (token + 1) * d)]);
  for (let layer = 0; layer < config.n_layer; layer++) {
    const apply = (name: string, x: Vector): Vector => {
      const y = times(p[`model.layers.${layer}.${name}.weight`], x);
      const bias = p[`model.layers.${layer}.${name}.bias`];
      return bias ? plus(y, [...bias]) : y;
    };
    const turned = (name: 'q' | 'k', x: Vector, position: number): Vector[] => {
      const gain = p[`model.layers.${layer}.self_attn.${name}_norm.weight`];
      return slices(apply(`self_attn.${name}_proj`, x), width)
        .map((head) => (gain ? rootMeanSquareNorm(head, gain, epsilon) : head))
        .map((head) => rotated(head, position, config));
    };
    const [keys, values]: Vector[][][] = [[], []];
    h = h.map((x, position) => {
      const normed = norm(x, `layers.${layer}.input_layernorm`);
      keys.push(turned('k', normed, position));
      values.push(slices(apply('self_attn.v_proj', normed), width));
      const mixed = mixture(turned('q', normed, position), keys, values);
      return plus(x, apply('self_attn.o_proj', mixed));
    });
    h = h.map((x) => {
      const normed = norm(x, `layers.${layer}.post_attention_layernorm`);
      const up = apply('mlp.up_proj', normed);
      const gated = apply('mlp.gate_proj', normed).map((v, i) => (v / (1 + Math.exp(-v))) * up[i]);
      return plus(x, apply('mlp.down_proj', gated));
    });
  }
  return h.map((x) => times(p['lm_head.weight'], norm(x, 'norm')));
}

/** Logits [size · length, vocab] of a batch. */
export const decoderLogits = (p: NamedValues, config: DecoderConfig, { ids, size, length }: TokenBatch): Values =>
  Float64Array.from(
    Array.from({ length: size }, (_, i) => [...ids.subarray(i * (length + 1), (i + 1) * (length + 1) - 1)]).flatMap((text) =>
      textLogits(p, config, text).flat(),
    ),
  );

export const decoderLogProbs = (p: NamedValues, config: DecoderConfig, batch: TokenBatch, temperature = 1) =>
  labelLogProbs(decoderLogits(p, config, batch), config.vocab_size, batch, temperature);

/** m_it · CE_it / S, [size · length]. */
export const decoderTokenLosses = (p: NamedValues, config: DecoderConfig, batch: TokenBatch): Values =>
  tokenLosses(decoderLogProbs(p, config, batch).chosen, batch);

/** (1/B) Σ_i ℓ_i */
export const decoderLoss = (p: NamedValues, config: DecoderConfig, batch: TokenBatch): number =>
  meanLoss(decoderTokenLosses(p, config, batch), batch);
