/**
 * GPT-2 composed of its layers, on one worker's share of a batch: gradient, forward-over-reverse, log-probabilities, policy
 * gradient.
 *
 * Memory: three arrays the size of the parameters at most, 64 MiB of activations (more only if one example needs more)
 * and at most 2 × 32 MiB of logits.
 */
import type { Arena, Pointer } from '../../tensor/kernels/kernels';
import type { TokenBatch } from '../types';
import {
  narrowed,
  stackActivations,
  stackBackward,
  stackCotangents,
  stackForward,
  stackTangent,
  stackTangentBackward,
} from './blocks';
import {
  crossEntropyBackward,
  crossEntropyForward,
  crossEntropyTangent,
  crossEntropyTangentBackward,
  policyBackward,
  type LossRows,
  type PolicyCoefficients,
} from './crossEntropy';
import { embeddingBackward, embeddingForward, embeddingTangent, embeddingTangentBackward } from './embedding';
import { headActivations, headBackward, headForward, headTangent, headTangentBackward } from './head';
import { inMicrobatches, rowBuffers, type Loaded, type RowBuffers, type Workspace } from './workspace';

/** Activations of `examples` examples; `kept` as in {@link stackActivations}. */
function streamBuffers(a: Arena, { config }: Workspace, examples: number, length: number, kept: number) {
  const { n_embd: width, n_head: heads } = config;
  return {
    stack: stackActivations(a, examples, length, width, heads, kept),
    head: headActivations(a, examples * length, width),
  };
}

/** Forward pass of anything that is read off the logits; returns what `read` leaves in the loss's values. */
function forward(
  w: Workspace,
  batch: TokenBatch,
  tangent: boolean,
  read: (loss: LossRows, head: Pointer, x: Pointer) => void,
): Float32Array {
  const p = w.region('parameters').pointers;
  const allocate = (a: Arena, examples: number) => ({
    ...rowBuffers(a, w, examples, batch.length),
    ...streamBuffers(a, w, examples, batch.length, 1),
  });
  return inMicrobatches(w, batch, { weight: 1, tangent }, allocate, ({ m, buffers: b, chosen, loss }) => {
    embeddingForward(m, p, b.ids, b.stack.h);
    stackForward(m, p.blocks, b.stack, chosen);
    headForward(narrowed(m, chosen), p.normF, b.head, b.stack.chosen.h, (x) => read(loss, p.head, x));
  });
}

/** log-probabilities of the targets at a temperature, [size, length]; 0 where the mask is 0. */
export const logProbs = (w: Workspace, batch: TokenBatch, temperature: number): Float32Array =>
  forward(w, batch, false, (loss, head, x) => crossEntropyForward(loss, head, x, 1 / temperature));

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
  w.region('result').clear();
  const allocate = (a: Arena, examples: number) => ({
    ...rowBuffers(a, w, examples, batch.length),
    ...streamBuffers(a, w, examples, batch.length, w.config.n_layer),
    d: stackCotangents(a, examples * batch.length, w.config.n_embd),
    extra: allocateExtra(a, examples * batch.length),
  });
  return inMicrobatches(w, batch, { weight, tangent: false }, allocate, (loaded) => {
    const { m, buffers: b, chosen } = loaded;
    embeddingForward(m, p, b.ids, b.stack.h);
    stackForward(m, p.blocks, b.stack, chosen);
    const [h, dh] = [b.stack.chosen.h, b.d.chosen.h];
    headBackward(narrowed(m, chosen), p.normF, g.normF, b.head, h, dh, (x, dx) => lossBackward(loaded, g.head, x, dx));
    stackBackward(m, p.blocks, g.blocks, b.stack, chosen, b.d);
    embeddingBackward(m, g, b.ids, b.d.all.h);
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
    for (const name of names) {
      const from = inputs[name];
      if (from)
        w.memory.write(
          extra[name],
          Float32Array.from(positions, (position) => from[position]),
        );
    }
    policyBackward(loss, extra, coefficients, head, dHead, x, dx);
    for (const name of ['entropies', 'kls', 'clips'] as const)
      w.memory.read(extra[name], loss.rows, (found) => positions.forEach((position, i) => (results[name][position] = found[i])));
  });
  return { logProbs: values, ...results };
}

/** Primal and tangent of {@link streamBuffers}. */
const dualBuffers = (a: Arena, w: Workspace, examples: number, length: number, kept: number) => ({
  ...rowBuffers(a, w, examples, length),
  primal: streamBuffers(a, w, examples, length, kept),
  dot: streamBuffers(a, w, examples, length, kept),
});

/**
 * Directional derivatives of every token's cross-entropy along the region `tangent`, [size, length]; 0 where the mask is 0. The
 * tangent pass alone: activations live for one layer.
 */
export function tokenTangents(w: Workspace, batch: TokenBatch): Float32Array {
  const p = w.region('parameters').pointers;
  const pDot = w.region('tangent').pointers;
  const allocate = (a: Arena, examples: number) => dualBuffers(a, w, examples, batch.length, 1);
  return inMicrobatches(w, batch, { weight: 1, tangent: true }, allocate, ({ m, buffers: b, chosen, loss }) => {
    const { primal, dot } = b;
    embeddingTangent(m, p, pDot, b.ids, primal.stack.h, dot.stack.h);
    stackTangent(m, p.blocks, pDot.blocks, primal.stack, dot.stack, chosen);
    const streams = [primal.head, dot.head, primal.stack.chosen.h, dot.stack.chosen.h] as const;
    headTangent(narrowed(m, chosen), p.normF, pDot.normF, ...streams, (x, xDot) =>
      crossEntropyTangent(loss, p.head, pDot.head, x, xDot),
    );
  });
}

/** {@link tokenTangents} where the tangent moves the LM head and nothing else: none goes through the blocks, and their forward pass is all it takes. */
export function headTokenTangents(w: Workspace, batch: TokenBatch): Float32Array {
  const { head: headDot } = w.region('tangent').pointers;
  return forward(w, batch, true, (loss, head, x) => crossEntropyTangent(loss, head, headDot, x, 0));
}

/**
 * {@link tokenTangents}, and the Hessian-vector product of (1 / `total`) Σ_i ℓ_i in the region `result`: the backward pass on dual numbers.
 */
export function hessianVectorProduct(w: Workspace, batch: TokenBatch, total: number): Float32Array {
  const p = w.region('parameters').pointers;
  const pDot = w.region('tangent').pointers;
  const gDot = w.region('result').pointers;
  w.region('result').clear();
  const allocate = (a: Arena, examples: number) => ({
    ...dualBuffers(a, w, examples, batch.length, w.config.n_layer),
    d: stackCotangents(a, examples * batch.length, w.config.n_embd),
    dDot: stackCotangents(a, examples * batch.length, w.config.n_embd),
  });
  const weight = 1 / (batch.length * total);
  return inMicrobatches(w, batch, { weight, tangent: true }, allocate, ({ m, buffers: b, chosen, loss }) => {
    const { primal, dot, d, dDot } = b;
    embeddingTangent(m, p, pDot, b.ids, primal.stack.h, dot.stack.h);
    stackTangent(m, p.blocks, pDot.blocks, primal.stack, dot.stack, chosen);
    const streams = [primal.head, dot.head, primal.stack.chosen.h, dot.stack.chosen.h, d.chosen.h, dDot.chosen.h] as const;
    headTangentBackward(narrowed(m, chosen), p.normF, pDot.normF, gDot.normF, ...streams, (x, xDot, dx, dxDot) =>
      crossEntropyTangentBackward(loss, p.head, pDot.head, gDot.head, x, xDot, dx, dxDot),
    );
    stackTangentBackward(m, p.blocks, pDot.blocks, gDot.blocks, primal.stack, dot.stack, chosen, d, dDot);
    embeddingTangentBackward(m, gDot, b.ids, dDot.all.h);
  });
}
