/**
 * GPT-2 written once more, as plain scalar loops in float64: slow, independent of every engine, and differentiated only
 * numerically.
 */
import type { Gpt2Config, TokenBatch } from '../../src/model/types';

export type Values = Float64Array;
export type NamedValues = Record<string, Values>;

/** y[r] = x[r]·W + b, W [inputs, outputs]. */
export function linear(x: Values, weight: Values, bias: Values): Values {
  const outputs = bias.length;
  const inputs = weight.length / outputs;
  return Float64Array.from({ length: (x.length / inputs) * outputs }, (_, at) => {
    const [row, column] = [Math.floor(at / outputs), at % outputs];
    let sum = bias[column];
    for (let i = 0; i < inputs; i++) sum += x[row * inputs + i] * weight[i * outputs + column];
    return sum;
  });
}

export function layerNorm(x: Values, gamma: Values, beta: Values, epsilon: number): Values {
  const d = gamma.length;
  const y = new Float64Array(x.length);
  for (let row = 0; row < x.length; row += d) {
    const values = x.subarray(row, row + d);
    const mean = values.reduce((a, b) => a + b, 0) / d;
    const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / d;
    for (let j = 0; j < d; j++) y[row + j] = (gamma[j] * (values[j] - mean)) / Math.sqrt(variance + epsilon) + beta[j];
  }
  return y;
}

/** 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) */
export const gelu = (x: Values): Values =>
  x.map((v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))));

function softmax(x: number[]): number[] {
  const top = Math.max(...x);
  const e = x.map((v) => Math.exp(v - top));
  const sum = e.reduce((a, b) => a + b);
  return e.map((v) => v / sum);
}

/** Causal multi-head attention on qkv [examples · length, 3d]; returns [examples · length, d]. */
export function attention(qkv: Values, length: number, heads: number, d: number): Values {
  const out = new Float64Array(qkv.length / 3);
  const width = d / heads;
  const at = (row: number, part: number, head: number, j: number) => qkv[row * 3 * d + part * d + head * width + j];
  for (let row = 0; row < out.length / d; row++) {
    const first = row - (row % length);
    for (let head = 0; head < heads; head++) {
      const scores: number[] = [];
      for (let key = first; key <= row; key++) {
        let dot = 0;
        for (let j = 0; j < width; j++) dot += at(row, 0, head, j) * at(key, 1, head, j);
        scores.push(dot / Math.sqrt(width));
      }
      softmax(scores).forEach((p, i) => {
        for (let j = 0; j < width; j++) out[row * d + head * width + j] += p * at(first + i, 2, head, j);
      });
    }
  }
  return out;
}

/** logits[r, v] = ⟨x[r], head[v]⟩ */
export function project(x: Values, head: Values, d: number): Values {
  const vocab = head.length / d;
  return Float64Array.from({ length: (x.length / d) * vocab }, (_, at) => {
    const [row, token] = [Math.floor(at / vocab), at % vocab];
    let sum = 0;
    for (let j = 0; j < d; j++) sum += x[row * d + j] * head[token * d + j];
    return sum;
  });
}

/** log softmax of every row. */
export function logSoftmax(logits: Values, vocab: number): Values {
  const out = new Float64Array(logits.length);
  for (let row = 0; row < logits.length; row += vocab) {
    const values = logits.subarray(row, row + vocab);
    const top = values.reduce((a, b) => Math.max(a, b));
    const log = top + Math.log(values.reduce((sum, v) => sum + Math.exp(v - top), 0));
    values.forEach((v, j) => (out[row + j] = v - log));
  }
  return out;
}

export function embedding(wte: Values, wpe: Values, ids: ArrayLike<number>, length: number, d: number): Values {
  return Float64Array.from({ length: ids.length * d }, (_, at) => {
    const [row, j] = [Math.floor(at / d), at % d];
    return wte[ids[row] * d + j] + wpe[(row % length) * d + j];
  });
}

const plus = (a: Values, b: Values): Values => a.map((v, i) => v + b[i]);

/** Logits [size · length, vocab] of a batch. */
export function gpt2Logits(p: NamedValues, config: Gpt2Config, { ids, size, length }: TokenBatch): Values {
  const { n_embd: d, n_head: heads, layer_norm_epsilon: epsilon } = config;
  const inputs = Array.from({ length: size * length }, (_, row) => ids[Math.floor(row / length) * (length + 1) + (row % length)]);
  const norm = (x: Values, name: string) => layerNorm(x, p[`${name}.weight`], p[`${name}.bias`], epsilon);
  const apply = (x: Values, name: string) => linear(x, p[`${name}.weight`], p[`${name}.bias`]);
  let h = embedding(p['transformer.wte.weight'], p['transformer.wpe.weight'], inputs, length, d);
  for (let i = 0; i < config.n_layer; i++) {
    const block = `transformer.h.${i}`;
    const mixed = attention(apply(norm(h, `${block}.ln_1`), `${block}.attn.c_attn`), length, heads, d);
    h = plus(h, apply(mixed, `${block}.attn.c_proj`));
    h = plus(h, apply(gelu(apply(norm(h, `${block}.ln_2`), `${block}.mlp.c_fc`)), `${block}.mlp.c_proj`));
  }
  return project(norm(h, 'transformer.ln_f'), p['lm_head.weight'], d);
}

/** log softmax(logits / temperature) [size · length, vocab], and that of the token to predict in every row. */
export function labelLogProbs(logits: Values, vocab: number, { ids, length }: TokenBatch, temperature = 1) {
  const all = logSoftmax(
    logits.map((v) => v / temperature),
    vocab,
  );
  const chosen = Float64Array.from({ length: logits.length / vocab }, (_, row) => {
    const label = ids[Math.floor(row / length) * (length + 1) + (row % length) + 1];
    return all[row * vocab + label];
  });
  return { all, chosen };
}

/** m_it · CE_it / S, [size · length], of the log-probabilities of the labels. */
export const tokenLosses = (chosen: Values, batch: TokenBatch): Values =>
  chosen.map((lp, i) => (-batch.mask[i] * lp) / batch.length);

/** (1/B) Σ_i ℓ_i */
export const meanLoss = (tokens: Values, batch: TokenBatch): number => tokens.reduce((a, b) => a + b, 0) / batch.size;

export const gpt2LogProbs = (p: NamedValues, config: Gpt2Config, batch: TokenBatch, temperature = 1) =>
  labelLogProbs(gpt2Logits(p, config, batch), config.vocab_size, batch, temperature);

export const gpt2TokenLosses = (p: NamedValues, config: Gpt2Config, batch: TokenBatch): Values =>
  tokenLosses(gpt2LogProbs(p, config, batch).chosen, batch);

export const gpt2Loss = (p: NamedValues, config: Gpt2Config, batch: TokenBatch): number =>
  meanLoss(gpt2TokenLosses(p, config, batch), batch);
