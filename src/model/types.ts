/**
 * What the rest of the house may ask of a language model: text in, losses, gradients and samples out.
 *
 * Two implementations check each other: the tape engine (`tape.ts`, plain tfjs ops, any backend, every architecture) and the fused
 * engine (`fused/`, GPT-2's forward-over-reverse by hand on SIMD kernels and worker threads).
 */
import type { Params } from '../tensor/params';
import type { ModelConfig } from './families';
import type { Support } from './tokenSupport';

export type { ModelShape } from './families/family';
export type { Gpt2Config } from './families/gpt2';
export type { LlamaConfig } from './families/llama';
export type { Qwen2Config } from './families/qwen2';
export type { Qwen3Config } from './families/qwen3';
export type { ModelConfig, Support };

/** Examples padded to one length: position t of row i predicts `ids[i, t + 1]`. */
export interface TokenBatch {
  /** Token ids, [size, length + 1]; padding may be any token inside the vocabulary. */
  readonly ids: Int32Array;
  /** 1 where a prediction counts, 0 on padding (and on prompts), [size, length]. */
  readonly mask: Float32Array;
  /** Number of examples B. */
  readonly size: number;
  /** Predicted positions S per example; the denominator of the per-example loss. */
  readonly length: number;
  /** Tokens that may stand at every predicted position, [size · length] rows or one for all; by default all tokens. */
  readonly support?: Support;
}

/** Result of {@link LanguageModel.gradient}. */
export interface LossGradient {
  /** ℓ_i = (1/S) Σ_t m_it · CE_it, [size]. */
  readonly losses: Float32Array;
  /** ∇ (1/B) Σ_i ℓ_i, named and shaped like the parameters. The caller disposes it. */
  readonly gradient: Params;
}

/** Result of {@link LanguageModel.hessianVectorProduct}. */
export interface LossTangent {
  /** Directional derivatives ⟨∇ (m_it/S) CE_it, v⟩ of every token's share of its example's loss, [size, length]. */
  readonly tokenTangents: Float32Array;
  /** H v with H the Hessian of (1/B) Σ_i ℓ_i; null when `product` was false. The caller disposes it. */
  readonly product: Params | null;
}

/** One GRPO minibatch: what the clipped surrogate needs beside the sequences (`mask` of the batch selects response tokens). */
export interface PolicyTerms {
  /** Advantage of every predicted token, [size, length]. */
  readonly advantages: Float32Array;
  /** log π_old of every predicted token, [size, length]. */
  readonly oldLogProbs: Float32Array;
  /** log π_ref of every predicted token, [size, length]; needed when `klCoef` > 0. */
  readonly refLogProbs?: Float32Array;
  /** ε of the clipped ratio. */
  readonly clip: number;
  /** Weight of the k3 estimate of KL(π ‖ π_ref): exp(ref − lp) − (ref − lp) − 1. */
  readonly klCoef: number;
  /** Weight of the entropy bonus. */
  readonly entropyCoef: number;
  /** Logits are divided by it, as in sampling. */
  readonly temperature: number;
}

/** Result of {@link LanguageModel.policyGradient}; means are over the tokens with mask 1. */
export interface PolicyGradient {
  /** Gradient of −mean[min(r·A, clip(r)·A)] − entropyCoef · entropy + klCoef · kl. The caller disposes it. */
  readonly gradient: Params;
  readonly logProbs: Float32Array;
  readonly entropy: number;
  readonly kl: number;
  readonly clipFraction: number;
}

/** Which tokens may be written. */
export interface SupportRule {
  /** One row for all positions; by default all tokens. */
  readonly writable?: Support;
  /**
   * And of these only tokens whose probability under `reference`, at temperature 1, is at least this share of its likeliest one's; in (0,
   * 1), 0 for none.
   */
  readonly minP?: number;
  /** The parameters that `minP` is about. */
  readonly reference?: Params;
}

/** How {@link LanguageModel.sample} draws. */
export interface SampleOptions extends SupportRule {
  readonly maxNewTokens: number;
  /** Softmax temperature > 0. */
  readonly temperature: number;
  /**
   * One uniform number in [0, 1) per new token, [size, maxNewTokens]: the only source of randomness, so samples do not depend on batching
   * or threads.
   */
  readonly uniforms: Float32Array;
  /** A response ends after any of these tokens; what follows is the first of them with mask 0. Omit for fixed-length responses. */
  readonly endTokens?: readonly number[];
}

/** Sampled responses. */
export interface Samples {
  /** New tokens, [size, maxNewTokens]. */
  readonly ids: Int32Array;
  /** log-probability (at the sampling temperature) of every new token, [size, maxNewTokens]. */
  readonly logProbs: Float32Array;
  /** 1 for tokens of the response (the end token included), 0 after it, [size, maxNewTokens]. */
  readonly mask: Float32Array;
  /** The tokens that might have been drawn, [size · maxNewTokens] rows, no token where the mask is 0; undefined without `minP`. */
  readonly support?: Support;
}

/** A causal language model with exact first and second derivatives. `params` is never changed and stays the caller's. */
export interface LanguageModel<Config extends ModelConfig = ModelConfig> {
  readonly config: Config;
  /** 'tape' or 'fused', with the number of workers: what a log line says. */
  readonly engine: string;
  /** Per-example losses and the gradient of their mean. */
  gradient(params: Params, batch: TokenBatch): Promise<LossGradient>;
  /** Forward-over-reverse: all token tangents and the Hessian-vector product along `tangent` in one pass. */
  hessianVectorProduct(params: Params, batch: TokenBatch, tangent: Params, options?: { product?: boolean }): Promise<LossTangent>;
  /** log-probability of every predicted token at `temperature` (default 1), 0 where the mask is 0, [size, length]. */
  logProbs(params: Params, batch: TokenBatch, temperature?: number): Promise<Float32Array>;
  policyGradient(params: Params, batch: TokenBatch, terms: PolicyTerms): Promise<PolicyGradient>;
  /** Samples after prompts of one length, [size, promptLength], with a KV cache. */
  sample(params: Params, prompts: { ids: Int32Array; size: number; length: number }, options: SampleOptions): Promise<Samples>;
  /** Stops workers and frees memory. */
  dispose(): void;
}
