/** What the main thread asks of a worker: a share of the examples, with parameters and results in shared memory. */
import type { Prompts } from '../checks';
import type { Layers } from '../families/layers';
import type { Samples, TokenBatch } from '../types';
import type { PolicyCoefficients } from './crossEntropy';
import {
  gradient,
  headTokenTangents,
  hessianVectorProduct,
  logProbs,
  policyGradient,
  tokenTangents,
  type PolicyInputs,
  type PolicyValues,
} from './model';
import { sample, type SamplingTask } from './sampling';
import { workspace, type CpuWorkspace, type WorkspaceOptions } from './workspace';

/** Flat parameters, in memory that threads share, and the number of their version: a worker copies a version once. */
export interface SharedParameters {
  readonly values: ArrayBufferLike;
  readonly version: number;
}

/** Every kind of task: what goes in and what comes back. Gradients and products come back in `out`. */
export interface Work {
  gradient: {
    task: { params: SharedParameters; batch: TokenBatch; total: number; out: ArrayBufferLike };
    result: Float32Array;
  };
  tangents: {
    /** Without `out` no Hessian-vector product. */
    task: { params: SharedParameters; tangent: ArrayBufferLike; batch: TokenBatch; total: number; out?: ArrayBufferLike };
    result: Float32Array;
  };
  logProbs: { task: { params: SharedParameters; batch: TokenBatch; temperature: number }; result: Float32Array };
  policy: {
    task: {
      params: SharedParameters;
      batch: TokenBatch;
      inputs: PolicyInputs;
      coefficients: PolicyCoefficients;
      out: ArrayBufferLike;
    };
    result: PolicyValues;
  };
  sample: {
    task: { params: SharedParameters; reference?: SharedParameters; prompts: Prompts; options: SamplingTask };
    result: Samples;
  };
  /** parts[0][from..to) += parts[1] + parts[2] + …, in this order. */
  reduce: { task: { parts: ArrayBufferLike[]; from: number; to: number }; result: null };
}

export type Kind = keyof Work;

/** Performs tasks on a memory of its own. */
export type Performer = <K extends Kind>(kind: K, task: Work[K]['task']) => Work[K]['result'];

/** A performer for one model. */
export function performer(layers: Layers, options?: WorkspaceOptions): Performer {
  const w = workspace(layers, options);
  const versions = { parameters: 0, reference: 0 };
  const load = (params: SharedParameters, region: keyof typeof versions = 'parameters'): void => {
    if (params.version !== versions[region]) w.region(region).values().set(new Float32Array(params.values));
    versions[region] = params.version;
  };
  const perform: { [K in Kind]: (task: Work[K]['task']) => Work[K]['result'] } = {
    gradient: ({ params, batch, total, out }) => {
      load(params);
      const values = gradient(w, batch, total);
      return copyResult(w, out, values);
    },
    tangents: ({ params, tangent, batch, total, out }) => {
      load(params);
      w.region('tangent').values().set(new Float32Array(tangent));
      if (out) return copyResult(w, out, hessianVectorProduct(w, batch, total));
      return isOfHeadAlone(w) ? headTokenTangents(w, batch) : tokenTangents(w, batch);
    },
    logProbs: ({ params, batch, temperature }) => {
      load(params);
      return logProbs(w, batch, temperature);
    },
    policy: ({ params, batch, inputs, coefficients, out }) => {
      load(params);
      return copyResult(w, out, policyGradient(w, batch, inputs, coefficients));
    },
    sample: ({ params, reference, prompts, options: how }) => {
      load(params);
      if (reference) load(reference, 'reference');
      return sample(w, prompts, how);
    },
    reduce: ({ parts, from, to }) => {
      const [sum, ...rest] = parts.map((part) => new Float32Array(part).subarray(from, to));
      for (const part of rest) for (let i = 0; i < sum.length; i++) sum[i] += part[i];
      return null;
    },
  };
  return (kind, task) => perform[kind](task);
}

/** Whether the tangent moves the LM head, which stands last in the layout, and nothing else: so it is for Φ of the head and T = 1. */
function isOfHeadAlone(w: CpuWorkspace): boolean {
  const { slots } = w.layout;
  const beforeHead = w
    .region('tangent')
    .values()
    .subarray(0, slots[slots.length - 1].offset);
  return beforeHead.every((x) => x === 0);
}

function copyResult<R>(w: CpuWorkspace, out: ArrayBufferLike, result: R): R {
  new Float32Array(out).set(w.region('result').values());
  return result;
}
