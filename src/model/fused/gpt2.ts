/**
 * GPT-2 composed of its layers, on one worker's share of a batch: gradient, forward-over-reverse, log-probabilities, policy
 * gradient.
 *
 * Memory: three arrays the size of the parameters at most, 64 MiB of activations (more only if one example needs more)
 * and at most 2 × 32 MiB of logits.
 */
import { floatsAt, type Arena, type Pointer } from '../../tensor/kernels/kernels';
import type { TokenBatch } from '../types';
import { blockActivations, blockBackward, blockCotangents, blockForward, blockTangent, blockTangentBackward } from './block';
import {
  crossEntropyBackward,
  crossEntropyForward,
  crossEntropyTangent,
  crossEntropyTangentBackward,
  policyBackward,
  type PolicyCoefficients,
} from './crossEntropy';
import { embeddingBackward, embeddingForward, embeddingTangent, embeddingTangentBackward } from './embedding';
import { headActivations, headBackward, headForward, headTangent, headTangentBackward } from './head';
import { inMicrobatches, rowBuffers, type Loaded, type RowBuffers, type Workspace } from './workspace';

/** Residual stream, activations and head of `examples` examples; `layers` is 1 where no backward pass follows. */
function streamBuffers(a: Arena, { config }: Workspace, examples: number, length: number, layers: number) {
  const { n_embd: width, n_head: heads } = config;
  return {
    h: a.floats(examples * length * width),
    blocks: Array.from({ length: layers }, () => blockActivations(a, examples, length, width, heads)),
    head: headActivations(a, examples * length, width),
  };
}

/** log-probabilities of the targets at a temperature, [size, length]; 0 where the mask is 0. */
export function logProbs(w: Workspace, batch: TokenBatch, temperature: number): Float32Array {
  const p = w.region('parameters').pointers;
  const allocate = (a: Arena, examples: number) => ({
    ...rowBuffers(a, w, examples, batch.length),
    ...streamBuffers(a, w, examples, batch.length, 1),
  });
  return inMicrobatches(w, batch, { weight: 1, tangent: false }, allocate, ({ m, buffers: b, chosen, loss }) => {
    embeddingForward(m, p, b.ids, b.h);
    for (const block of p.blocks) blockForward(m, block, b.blocks[0], b.h);
    headForward(m, chosen, p.normF, b.head, b.h, (x) => crossEntropyForward(loss, p.head, x, 1 / temperature));
  });
}

/** Forward and backward pass of any loss of the logits. Leaves the gradient in the region `result`; returns the loss's values. */
function backward<X>(
  w: Workspace,
  batch: TokenBatch,
  weight: number,
  allocateExtra: (a: Arena, rows: number) => X,
  lossBackward: (loaded: Loaded<RowBuffers & { extra: X }>, dHead: Pointer, x: Pointer, dx: Pointer) => void,
): Float32Array {
  const p = w.region('parameters').pointers;
  const g = w.region('result').pointers;
  w.region('result').values().fill(0);
  const allocate = (a: Arena, examples: number) => ({
    ...rowBuffers(a, w, examples, batch.length),
    ...streamBuffers(a, w, examples, batch.length, w.config.n_layer),
    d: blockCotangents(a, examples * batch.length, w.config.n_embd),
    extra: allocateExtra(a, examples * batch.length),
  });
  return inMicrobatches(w, batch, { weight, tangent: false }, allocate, (loaded) => {
    const { m, buffers: b, chosen } = loaded;
    embeddingForward(m, p, b.ids, b.h);
    p.blocks.forEach((block, i) => blockForward(m, block, b.blocks[i], b.h));
    headBackward(m, chosen, p.normF, g.normF, b.head, b.h, b.d.h, (x, dx) => lossBackward(loaded, g.head, x, dx));
    for (let i = p.blocks.length - 1; i >= 0; i--) blockBackward(m, p.blocks[i], g.blocks[i], b.blocks[i], b.d);
    embeddingBackward(m, g, b.ids, b.d.h);
  });
}

/**
 * log-probabilities [size, length] of the targets; leaves the gradient of (1 / `total`) Σ_i ℓ_i in the region `result`.
 * @param total - number of examples the batch's loss is the mean of, this share being some of them
 */
export function gradient(w: Workspace, batch: TokenBatch, total: number): Float32Array {
  const { head } = w.region('parameters').pointers;
  const nothing = () => null;
  return backward(w, batch, 1 / (batch.length * total), nothing, ({ loss }, dHead, x, dx) =>
    crossEntropyBackward(loss, head, dHead, x, dx),
  );
}

/** Per token, [size, length], from {@link policyGradient}. */
export interface PolicyValues {
  readonly logProbs: Float32Array;
  readonly entropies: Float32Array;
  readonly kls: Float32Array;
  readonly clips: Float32Array;
}

/** Per-token terms of the surrogate, [size, length]. */
export interface PolicyInputs {
  readonly advantages: Float32Array;
  readonly oldLogProbs: Float32Array;
  readonly refLogProbs?: Float32Array;
}

/** Leaves the gradient of the surrogate, every chosen token weighing `coefficients.weight`, in the region `result`. */
export function policyGradient(
  w: Workspace,
  batch: TokenBatch,
  inputs: PolicyInputs,
  coefficients: PolicyCoefficients,
): PolicyValues {
  const { head } = w.region('parameters').pointers;
  const perToken = () => new Float32Array(batch.size * batch.length);
  const results = { entropies: perToken(), kls: perToken(), clips: perToken() };
  const names = ['advantages', 'oldLogProbs', 'refLogProbs'] as const;
  const allocateExtra = (a: Arena, rows: number) => ({
    ...{ advantages: a.floats(rows), oldLogProbs: a.floats(rows), refLogProbs: inputs.refLogProbs ? a.floats(rows) : 0 },
    ...{ entropies: a.floats(rows), kls: a.floats(rows), clips: a.floats(rows) },
  });
  const values = backward(w, batch, 1, allocateExtra, ({ loss, buffers: { extra }, positions }, dHead, x, dx) => {
    const view = (at: Pointer) => floatsAt(w.memory, at, loss.rows);
    for (const name of names) {
      const from = inputs[name];
      if (from) view(extra[name]).set(Float32Array.from(positions, (position) => from[position]));
    }
    policyBackward(loss, extra, coefficients, head, dHead, x, dx);
    for (const name of ['entropies', 'kls', 'clips'] as const) {
      const found = view(extra[name]);
      positions.forEach((position, i) => (results[name][position] = found[i]));
    }
  });
  return { logProbs: values, ...results };
}

/** Primal and tangent of {@link streamBuffers}. */
const dualBuffers = (a: Arena, w: Workspace, examples: number, length: number, layers: number) => ({
  ...rowBuffers(a, w, examples, length),
  primal: streamBuffers(a, w, examples, length, layers),
  dot: streamBuffers(a, w, examples, length, layers),
});

/**
 * Directional derivatives of every token's cross-entropy along the region `tangent`, [size, length]; 0 where the mask is 0.
 * The tangent pass alone: activations live for one layer.
 */
export function tokenTangents(w: Workspace, batch: TokenBatch): Float32Array {
  const p = w.region('parameters').pointers;
  const pDot = w.region('tangent').pointers;
  const allocate = (a: Arena, examples: number) => dualBuffers(a, w, examples, batch.length, 1);
  return inMicrobatches(
    w,
    batch,
    { weight: 1, tangent: true },
    allocate,
    ({ m, buffers: { ids, primal, dot }, chosen, loss }) => {
      embeddingTangent(m, p, pDot, ids, primal.h, dot.h);
      p.blocks.forEach((block, i) => blockTangent(m, block, pDot.blocks[i], primal.blocks[0], dot.blocks[0], primal.h, dot.h));
      headTangent(m, chosen, p.normF, pDot.normF, primal.head, dot.head, primal.h, dot.h, (x, xDot) =>
        crossEntropyTangent(loss, p.head, pDot.head, x, xDot),
      );
    },
  );
}

/**
 * {@link tokenTangents}, and the Hessian-vector product of (1 / `total`) Σ_i ℓ_i in the region `result`: the backward pass on
 * dual numbers.
 */
export function hessianVectorProduct(w: Workspace, batch: TokenBatch, total: number): Float32Array {
  const p = w.region('parameters').pointers;
  const pDot = w.region('tangent').pointers;
  const gDot = w.region('result').pointers;
  w.region('result').values().fill(0);
  const allocate = (a: Arena, examples: number) => ({
    ...dualBuffers(a, w, examples, batch.length, w.config.n_layer),
    d: blockCotangents(a, examples * batch.length, w.config.n_embd),
    dDot: blockCotangents(a, examples * batch.length, w.config.n_embd),
  });
  const weight = 1 / (batch.length * total);
  return inMicrobatches(w, batch, { weight, tangent: true }, allocate, ({ m, buffers: b, chosen, loss }) => {
    const { primal, dot, d, dDot } = b;
    embeddingTangent(m, p, pDot, b.ids, primal.h, dot.h);
    p.blocks.forEach((block, i) => blockTangent(m, block, pDot.blocks[i], primal.blocks[i], dot.blocks[i], primal.h, dot.h));
    const streams = [primal.head, dot.head, primal.h, dot.h, d.h, dDot.h] as const;
    headTangentBackward(m, chosen, p.normF, pDot.normF, gDot.normF, ...streams, (x, xDot, dx, dxDot) =>
      crossEntropyTangentBackward(loss, p.head, pDot.head, gDot.head, x, xDot, dx, dxDot),
    );
    for (let i = p.blocks.length - 1; i >= 0; i--)
      blockTangentBackward(m, p.blocks[i], pDot.blocks[i], gDot.blocks[i], primal.blocks[i], dot.blocks[i], d, dDot);
    embeddingTangentBackward(m, gDot, b.ids, dDot.h);
  });
}
