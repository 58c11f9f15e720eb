/**
 * A model composed of its layers, on one worker's share of a batch: gradient, forward-over-reverse, log-probabilities, policy
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
import { both, dual, part } from './dual';
import { embeddingBackward, embeddingForward, embeddingTangent, embeddingTangentBackward } from './embedding';
import { rowNorm } from './block';
import { headActivations, headBackward, headForward, headTangent, headTangentBackward } from './head';
import { inMicrobatches, rowBuffers, type Loaded, type RowBuffers, type Workspace } from './workspace';

/** Activations of `examples` examples; `kept` as in {@link stackActivations}. */
const streamBuffers = (a: Arena, { layers }: Workspace, examples: number, length: number, kept: number) => ({
  stack: stackActivations(a, layers, examples, length, kept),
  head: headActivations(a, examples * length, layers.n_embd),
});

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
    headForward(rowNorm(narrowed(m, chosen)), p.normF, b.head, b.stack.chosen.h, (x) => read(loss, p.head, x));
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
    ...streamBuffers(a, w, examples, batch.length, w.layers.n_layer),
    d: stackCotangents(a, w.layers, examples * batch.length),
    extra: allocateExtra(a, examples * batch.length),
  });
  return inMicrobatches(w, batch, { weight, tangent: false }, allocate, (loaded) => {
    const { m, buffers: b, chosen } = loaded;
    embeddingForward(m, p, b.ids, b.stack.h);
    stackForward(m, p.blocks, b.stack, chosen);
    const norm = { p: p.normF, g: g.normF };
    headBackward(rowNorm(narrowed(m, chosen)), norm, b.head, b.stack.chosen.h, b.d.chosen.h, (x, dx) =>
      lossBackward(loaded, g.head, x, dx),
    );
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
    advantages: a.floats(rows),
    oldLogProbs: a.floats(rows),
    refLogProbs: inputs.refLogProbs ? a.floats(rows) : 0,
    entropies: a.floats(rows),
    kls: a.floats(rows),
    clips: a.floats(rows),
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

/** {@link streamBuffers} on dual numbers. */
const dualBuffers = (a: Arena, w: Workspace, examples: number, length: number, kept: number) => ({
  ...rowBuffers(a, w, examples, length),
  streams: dual(() => streamBuffers(a, w, examples, length, kept)),
});

/** Parameters and the direction in which they move. */
const movingParameters = (w: Workspace) => ({ value: w.region('parameters').pointers, dot: w.region('tangent').pointers });

type DualBuffers = ReturnType<typeof dualBuffers>;

/** The tangent pass up to what enters the last norm, and what follows it. */
function tangentForward({ m, buffers: b, chosen }: Loaded<DualBuffers>, p: ReturnType<typeof movingParameters>) {
  const stack = part(b.streams, 'stack');
  const h = part(stack, 'h');
  embeddingTangent(m, p, b.ids, h);
  const blocks = part(p, 'blocks');
  stackTangent(m, blocks, stack, chosen);
  return {
    stack,
    blocks,
    leaving: both(stack, (of) => of.chosen.h),
    normF: part(p, 'normF'),
    head: part(p, 'head'),
    activations: part(b.streams, 'head'),
    sizes: rowNorm(narrowed(m, chosen)),
  };
}

/**
 * Directional derivatives of every token's cross-entropy along the region `tangent`, [size, length]; 0 where the mask is 0. The
 * tangent pass alone: activations live for one layer.
 */
export function tokenTangents(w: Workspace, batch: TokenBatch): Float32Array {
  const p = movingParameters(w);
  const allocate = (a: Arena, examples: number) => dualBuffers(a, w, examples, batch.length, 1);
  return inMicrobatches(w, batch, { weight: 1, tangent: true }, allocate, (loaded) => {
    const { sizes, normF, activations, leaving, head } = tangentForward(loaded, p);
    headTangent(sizes, normF, activations, leaving, (x) => crossEntropyTangent(loaded.loss, head, x));
  });
}

/**
 * {@link tokenTangents} where the tangent moves the LM head and nothing else: none goes through the blocks, and their forward pass is all
 * it takes.
 */
export function headTokenTangents(w: Workspace, batch: TokenBatch): Float32Array {
  const { head: dot } = w.region('tangent').pointers;
  return forward(w, batch, true, (loss, head, x) => crossEntropyTangent(loss, { value: head, dot }, { value: x, dot: 0 }));
}

/**
 * {@link tokenTangents}, and the Hessian-vector product of (1 / `total`) Σ_i ℓ_i in the region `result`: the backward pass on dual numbers.
 */
export function hessianVectorProduct(w: Workspace, batch: TokenBatch, total: number): Float32Array {
  const p = movingParameters(w);
  const gDot = w.region('result').pointers;
  w.region('result').clear();
  const allocate = (a: Arena, examples: number) => ({
    ...dualBuffers(a, w, examples, batch.length, w.layers.n_layer),
    d: dual(() => stackCotangents(a, w.layers, examples * batch.length)),
  });
  const weight = 1 / (batch.length * total);
  return inMicrobatches(w, batch, { weight, tangent: true }, allocate, (loaded) => {
    const { m, chosen, loss, buffers: b } = loaded;
    const { sizes, normF, activations, leaving, head, stack, blocks } = tangentForward(loaded, p);
    const norm = { p: normF, g: gDot.normF };
    const dh = both(b.d, (of) => of.chosen.h);
    headTangentBackward(sizes, norm, activations, leaving, dh, (x, dx) =>
      crossEntropyTangentBackward(loss, head, gDot.head, x, dx),
    );
    stackTangentBackward(m, blocks, gDot.blocks, stack, chosen, b.d);
    embeddingTangentBackward(m, gDot, b.ids, b.d.dot.all.h);
  });
}
