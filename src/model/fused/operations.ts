/** The operations of a language model, shared out over a team: cut the batch, run the shares, put the results together. */
import type { Params } from '../../tensor/params';
import type { Prompts } from '../checks';
import type {
  LossGradient,
  LossTangent,
  PolicyGradient,
  PolicyTerms,
  SampleOptions,
  Samples,
  Support,
  TokenBatch,
} from '../types';
import type { Layers } from '../families/layers';
import { parameterLayout } from './layout';
import type { PolicyValues } from './model';
import type { Team } from './pool';
import { batchPart, ranges, rowsOf } from './shards';
import { sharedMemory, type SharedMemory } from './sharedMemory';

/** A team with the memory it shares with the main thread. */
export interface Engine {
  readonly layers: Layers;
  readonly team: Team;
  readonly shared: SharedMemory;
}

export const engine = (layers: Layers, team: Team): Engine => ({
  layers,
  team,
  shared: sharedMemory(parameterLayout(layers.shapes), team),
});

/** One range of examples per worker, never more workers than examples. */
const shares = ({ team }: Engine, size: number) => ranges(size, Math.min(team.size, size));

/** Results of all shares, one after the other, in `all`. */
function joined<A extends Float32Array | Int32Array>(parts: readonly A[], all: A): A {
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const perToken = ({ size, length }: TokenBatch): Float32Array => new Float32Array(size * length);

/** ℓ_i = −(1/S) Σ_t m_it · log-probability. */
export function exampleLosses({ mask, size, length }: TokenBatch, logProbabilities: Float32Array): Float32Array {
  return Float32Array.from({ length: size }, (_, i) => {
    let sum = 0;
    for (let t = i * length; t < (i + 1) * length; t++) sum -= mask[t] * logProbabilities[t];
    return sum / length;
  });
}

/** A token's share of its example's loss, from its cross-entropy or a derivative of that. */
export const tokenShares = ({ mask, length }: TokenBatch, values: Float32Array): Float32Array =>
  values.map((x, i) => (x * mask[i]) / length);

/** Tokens that count: their mean is what a policy's loss is. */
const policyTokens = ({ mask }: TokenBatch): number => mask.filter((m) => m !== 0).length;
export const policyWeight = (batch: TokenBatch): number => 1 / policyTokens(batch);

/** Means over the tokens that count. */
export function policyMeans(batch: TokenBatch, values: readonly PolicyValues[]) {
  const mean = (name: 'entropies' | 'kls' | 'clips') =>
    values.reduce((sum, v) => v[name].reduce((a, x) => a + x, sum), 0) / policyTokens(batch);
  return { entropy: mean('entropies'), kl: mean('kls'), clipFraction: mean('clips') };
}

export async function gradient(e: Engine, params: Params, batch: TokenBatch): Promise<LossGradient> {
  const common = { params: e.shared.parameters(params), total: batch.size };
  const parts = shares(e, batch.size);
  const tasks = parts.map(([from, to], i) => ({ ...common, batch: batchPart(batch, from, to), out: e.shared.partial(i) }));
  const values = joined(await e.team.run('gradient', tasks), perToken(batch));
  return { losses: exampleLosses(batch, values), gradient: await e.shared.sum(parts.length) };
}

export async function hessianVectorProduct(
  e: Engine,
  params: Params,
  batch: TokenBatch,
  tangent: Params,
  wanted: boolean,
): Promise<LossTangent> {
  const common = { params: e.shared.parameters(params), tangent: e.shared.tangent(tangent), total: batch.size };
  const parts = shares(e, batch.size);
  const tasks = parts.map(([from, to], i) => ({
    ...{ ...common, batch: batchPart(batch, from, to) },
    ...(wanted ? { out: e.shared.partial(i) } : {}),
  }));
  const values = joined(await e.team.run('tangents', tasks), perToken(batch));
  return { tokenTangents: tokenShares(batch, values), product: wanted ? await e.shared.sum(parts.length) : null };
}

export async function logProbs(e: Engine, params: Params, batch: TokenBatch, temperature: number): Promise<Float32Array> {
  const common = { params: e.shared.parameters(params), temperature };
  const tasks = shares(e, batch.size).map(([from, to]) => ({ ...common, batch: batchPart(batch, from, to) }));
  return joined(await e.team.run('logProbs', tasks), perToken(batch));
}

export async function policyGradient(e: Engine, params: Params, batch: TokenBatch, terms: PolicyTerms): Promise<PolicyGradient> {
  const { advantages, oldLogProbs, refLogProbs, ...coefficients } = terms;
  const common = { params: e.shared.parameters(params), coefficients: { ...coefficients, weight: policyWeight(batch) } };
  const parts = shares(e, batch.size);
  const tasks = parts.map(([from, to], i) => {
    const part = (values: Float32Array) => rowsOf(values, batch.length, from, to);
    const inputs = {
      advantages: part(advantages),
      oldLogProbs: part(oldLogProbs),
      refLogProbs: refLogProbs && part(refLogProbs),
    };
    return { ...common, inputs, batch: batchPart(batch, from, to), out: e.shared.partial(i) };
  });
  const values = await e.team.run('policy', tasks);
  const logProbabilities = joined(
    values.map((v) => v.logProbs),
    perToken(batch),
  );
  return { gradient: await e.shared.sum(parts.length), logProbs: logProbabilities, ...policyMeans(batch, values) };
}

/** The supports of all shares, where there are any. */
function joinedSupport(parts: readonly Samples[]): Support | undefined {
  const supports = parts.flatMap(({ support }) => support ?? []);
  if (supports.length === 0) return undefined;
  const bits = supports.map((each) => each.bits);
  const length = bits.reduce((sum, each) => sum + each.length, 0);
  return { bits: joined(bits, new Int32Array(length)), words: supports[0].words };
}

export async function sample(e: Engine, params: Params, prompts: Prompts, options: SampleOptions): Promise<Samples> {
  const { reference, ...how } = options;
  const common = {
    params: e.shared.parameters(params),
    reference: options.minP && reference ? e.shared.parameters(reference, 'reference') : undefined,
  };
  const tasks = shares(e, prompts.size).map(([from, to]) => ({
    ...common,
    prompts: { ids: rowsOf(prompts.ids, prompts.length, from, to), size: to - from, length: prompts.length },
    options: { ...how, uniforms: rowsOf(options.uniforms, options.maxNewTokens, from, to) },
  }));
  const parts = await e.team.run('sample', tasks);
  const tokens = prompts.size * options.maxNewTokens;
  const all = (name: 'logProbs' | 'mask') =>
    joined(
      parts.map((part) => part[name]),
      new Float32Array(tokens),
    );
  const ids = joined(
    parts.map((part) => part.ids),
    new Int32Array(tokens),
  );
  return { ids, logProbs: all('logProbs'), mask: all('mask'), support: joinedSupport(parts) };
}
