/**
 * A model on several ranks: each computes its share of the examples, and what comes of it is summed or gathered. All ranks hold the same
 * parameters and get the same results, so that whoever asks, fine-tuning, metagradient or GRPO, need not know.
 *
 * Engines return means over what they are given, so a share counts by its part of the examples, or for a policy of the tokens. What there
 * is one of per example stands at its place among zeros: one sum is the whole exchange, and puts that together as well.
 */
import * as tf from '@tensorflow/tfjs-core';
import { disposeParams, type Params } from '../../tensor/params';
import { checked, type Prompts } from '../checks';
import type { ModelConfig } from '../families';
import { batchPart, ranges, rowsOf } from '../fused/shards';
import { supportWords } from '../tokenSupport';
import type { LanguageModel, PolicyGradient, PolicyTerms, SampleOptions, Samples, TokenBatch } from '../types';
import type { Collective } from './collective';

/** A model and the ranks that share its work. */
interface Ranked {
  readonly model: LanguageModel;
  readonly ranks: Collective;
}

/** The examples of this rank, none where there are fewer than ranks. */
function shareOf({ ranks }: Ranked, size: number): { from: number; to: number; isEmpty: boolean } {
  const [from, to] = ranges(size, ranks.size)[ranks.rank];
  return { from, to, isEmpty: from === to };
}

/** Values of this rank's share at their place among all. */
function placed(length: number, values: Float32Array | undefined, at: number): Float32Array {
  const all = new Float32Array(length);
  if (values) all.set(values, at);
  return all;
}

/** A tree of every rank, times its weight, summed; `values` are summed along with it. The tree of this rank, if any, is freed. */
async function summed(
  { ranks }: Ranked,
  like: Params,
  tree: Params | null | undefined,
  weight: number,
  values: readonly Float32Array[],
): Promise<Params> {
  const leaves: Float32Array[] = [];
  for (const [name, { size }] of Object.entries(like)) {
    const leaf = new Float32Array(size);
    if (tree) (await tree[name].data<'float32'>()).forEach((x, i) => (leaf[i] = x * weight));
    leaves.push(leaf);
  }
  disposeParams(tree);
  await ranks.sum([...values, ...leaves]);
  return Object.fromEntries(Object.entries(like).map(([name, { shape }], i) => [name, tf.tensor(leaves[i], shape, 'float32')]));
}

async function gradient(ranked: Ranked, params: Params, batch: TokenBatch) {
  const { from, to, isEmpty } = shareOf(ranked, batch.size);
  const own = isEmpty ? undefined : await ranked.model.gradient(params, batchPart(batch, from, to));
  const losses = placed(batch.size, own?.losses, from);
  return { losses, gradient: await summed(ranked, params, own?.gradient, (to - from) / batch.size, [losses]) };
}

async function hessianVectorProduct(ranked: Ranked, params: Params, batch: TokenBatch, tangent: Params, product: boolean) {
  const { from, to, isEmpty } = shareOf(ranked, batch.size);
  const part = () => batchPart(batch, from, to);
  const own = isEmpty ? undefined : await ranked.model.hessianVectorProduct(params, part(), tangent, { product });
  const tokenTangents = placed(batch.mask.length, own?.tokenTangents, from * batch.length);
  const sum = await summed(ranked, product ? params : {}, own?.product, (to - from) / batch.size, [tokenTangents]);
  return { tokenTangents, product: product ? sum : null };
}

async function logProbs(ranked: Ranked, params: Params, batch: TokenBatch, temperature: number): Promise<Float32Array> {
  const { from, to, isEmpty } = shareOf(ranked, batch.size);
  const own = isEmpty ? undefined : await ranked.model.logProbs(params, batchPart(batch, from, to), temperature);
  const all = placed(batch.mask.length, own, from * batch.length);
  await ranked.ranks.sum([all]);
  return all;
}

const tokensOf = ({ mask }: TokenBatch): number => mask.reduce((count, m) => count + (m === 0 ? 0 : 1), 0);

async function policyGradient(ranked: Ranked, params: Params, batch: TokenBatch, terms: PolicyTerms): Promise<PolicyGradient> {
  const { from, to } = shareOf(ranked, batch.size);
  const rows = (values: Float32Array) => rowsOf(values, batch.length, from, to);
  const { advantages, oldLogProbs, refLogProbs, ...coefficients } = terms;
  const own = {
    ...coefficients,
    ...{ advantages: rows(advantages), oldLogProbs: rows(oldLogProbs), refLogProbs: refLogProbs && rows(refLogProbs) },
  };
  const part = batchPart(batch, from, to);
  const weight = tokensOf(part) / tokensOf(batch);
  const found = weight > 0 ? await ranked.model.policyGradient(params, part, own) : undefined;
  const logProbs = placed(batch.mask.length, found?.logProbs, from * batch.length);
  const means = new Float32Array(3);
  if (found) means.set([found.entropy, found.kl, found.clipFraction].map((mean) => mean * weight));
  const gradient = await summed(ranked, params, found?.gradient, weight, [logProbs, means]);
  const [entropy, kl, clipFraction] = means;
  return { gradient, logProbs, entropy, kl, clipFraction };
}

/** The rows of all ranks, one after the other, in `all`. */
async function joined<A extends Float32Array | Int32Array>({ ranks }: Ranked, own: A | undefined, all: A): Promise<A> {
  const given = own ? new Uint8Array(own.buffer, own.byteOffset, own.byteLength) : new Uint8Array();
  const bytes = new Uint8Array(all.buffer);
  let at = 0;
  for (const part of await ranks.gather(given)) {
    bytes.set(part, at);
    at += part.length;
  }
  return all;
}

async function sample(ranked: Ranked, params: Params, prompts: Prompts, options: SampleOptions): Promise<Samples> {
  const { from, to, isEmpty } = shareOf(ranked, prompts.size);
  const { maxNewTokens, uniforms, minP = 0 } = options;
  const part = { ids: rowsOf(prompts.ids, prompts.length, from, to), size: to - from, length: prompts.length };
  const own = isEmpty
    ? undefined
    : await ranked.model.sample(params, part, { ...options, uniforms: rowsOf(uniforms, maxNewTokens, from, to) });
  const cells = prompts.size * maxNewTokens;
  const words = supportWords(ranked.model.config.vocab_size);
  const bits = minP > 0 ? await joined(ranked, own?.support?.bits, new Int32Array(cells * words)) : undefined;
  return {
    ids: await joined(ranked, own?.ids, new Int32Array(cells)),
    logProbs: await joined(ranked, own?.logProbs, new Float32Array(cells)),
    mask: await joined(ranked, own?.mask, new Float32Array(cells)),
    support: bits && { bits, words },
  };
}

/**
 * The same model with its work shared out over ranks. Every rank must make the same calls with the same arguments; the bits of a result
 * depend on how many ranks there are, and on nothing else about them.
 */
export function rankedModel<Config extends ModelConfig>(model: LanguageModel<Config>, ranks: Collective): LanguageModel<Config> {
  const ranked = { model, ranks };
  return checked({
    config: model.config,
    engine: `${model.engine}, rank ${ranks.rank} of ${ranks.size}`,
    gradient: (params, batch) => gradient(ranked, params, batch),
    hessianVectorProduct: (params, batch, tangent, { product = true } = {}) =>
      hessianVectorProduct(ranked, params, batch, tangent, product),
    logProbs: (params, batch, temperature = 1) => logProbs(ranked, params, batch, temperature),
    policyGradient: (params, batch, terms) => policyGradient(ranked, params, batch, terms),
    sample: (params, prompts, options) => sample(ranked, params, prompts, options),
    dispose: () => model.dispose(),
  });
}
