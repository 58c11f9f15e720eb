/**
 * The stack of blocks. Only the rows that count leave it: rows with mask 0 (padding, prompts) have no loss, so past their keys and values in
 * the last attention nothing is computed for them.
 */
import type { Arena, Pointer } from '../../tensor/kernels/kernels';
import { attentionForward, type AttentionActivations } from './attention';
import {
  blockActivations,
  mixBackward,
  mixForward,
  mixTangent,
  mixTangentBackward,
  positionwiseBackward,
  positionwiseForward,
  positionwiseTangent,
  positionwiseTangentBackward,
  type BlockActivations,
  type BlockCotangents,
  type Stream,
} from './block';
import type { BlockParameters } from './layout';
import type { Microbatch } from './microbatch';

/** The rows that count: `index` int32 [rows] into the microbatch. */
export interface ChosenRows {
  readonly rows: number;
  readonly index: Pointer;
}

export interface StackActivations {
  /** Residual stream of all rows. */
  readonly h: Pointer;
  /** Of every block; of one, used by all in turn, where no backward pass follows. */
  readonly blocks: readonly BlockActivations[];
  /** What enters the second half of the last block; `h` becomes the stack's result. */
  readonly chosen: Stream;
}

/** @param kept - the number of blocks, or 1 where no backward pass follows */
export function stackActivations(
  a: Arena,
  examples: number,
  length: number,
  width: number,
  heads: number,
  kept: number,
): StackActivations {
  const stream = () => a.floats(examples * length * width);
  return {
    h: stream(),
    blocks: Array.from({ length: kept }, () => blockActivations(a, examples, length, width, heads)),
    chosen: { h: stream(), out: stream() },
  };
}

/** Cotangents of all rows and of the chosen ones. */
export interface StackCotangents {
  readonly all: BlockCotangents;
  readonly chosen: BlockCotangents;
}

export function stackCotangents(a: Arena, rows: number, width: number): StackCotangents {
  const stream = (): Stream => ({ h: a.floats(rows * width), out: a.floats(rows * width) });
  const wide = a.floats(4 * rows * width);
  return { all: { ...stream(), wide }, chosen: { ...stream(), wide } };
}

const activationsOf = ({ blocks }: StackActivations, i: number): BlockActivations => blocks[i] ?? blocks[0];

/** The microbatch that the chosen rows are, for what treats every row by itself. */
export const narrowed = (m: Microbatch, { rows }: ChosenRows): Microbatch => ({ ...m, rows });

/** a.chosen ← the chosen rows of h and of the last attention's output. */
function gather({ k, width }: Microbatch, c: ChosenRows, a: StackActivations): void {
  const { attention } = a.blocks[a.blocks.length - 1];
  k.gatherRows(c.rows, width, c.index, a.h, a.chosen.h);
  k.gatherRows(c.rows, width, c.index, attention.out, a.chosen.out);
}

/** d.all ← the chosen rows' cotangents, 0 elsewhere. */
function scatter({ k, rows, width }: Microbatch, c: ChosenRows, d: StackCotangents): void {
  for (const name of ['h', 'out'] as const) {
    k.zero(rows * width, d.all[name]);
    k.scatterRows(c.rows, width, c.index, d.chosen[name], d.all[name]);
  }
}

/** a.chosen.h ← what leaves the stack, from a.h. `attend` is told which block it serves. */
export function stackForward(
  m: Microbatch,
  p: readonly BlockParameters[],
  a: StackActivations,
  c: ChosenRows,
  attend: (m: Microbatch, a: AttentionActivations, block: number) => void = attentionForward,
): void {
  const last = p.length - 1;
  p.forEach((block, i) => {
    const own = activationsOf(a, i);
    mixForward(m, block, own, a.h, (_, attention) => attend(m, attention, i));
    if (i < last) positionwiseForward(m, block, own, { h: a.h, out: own.attention.out });
  });
  gather(m, c, a);
  positionwiseForward(narrowed(m, c), p[last], activationsOf(a, last), a.chosen);
}

/** d.all.h ← the cotangent of what entered, from d.chosen.h; adds to the gradients `g`. */
export function stackBackward(
  m: Microbatch,
  p: readonly BlockParameters[],
  g: readonly BlockParameters[],
  { h, blocks, chosen }: StackActivations,
  c: ChosenRows,
  d: StackCotangents,
): void {
  const last = p.length - 1;
  positionwiseBackward(narrowed(m, c), p[last], g[last], blocks[last], chosen, d.chosen);
  scatter(m, c, d);
  for (let i = last; i >= 0; i--) {
    if (i < last) positionwiseBackward(m, p[i], g[i], blocks[i], { h, out: blocks[i].attention.out }, d.all);
    mixBackward(m, p[i], g[i], blocks[i], d.all);
  }
}

/** {@link stackForward} on dual numbers. */
export function stackTangent(
  m: Microbatch,
  p: readonly BlockParameters[],
  pDot: readonly BlockParameters[],
  a: StackActivations,
  aDot: StackActivations,
  c: ChosenRows,
): void {
  const last = p.length - 1;
  p.forEach((block, i) => {
    const [own, ownDot] = [activationsOf(a, i), activationsOf(aDot, i)];
    mixTangent(m, block, pDot[i], own, ownDot, a.h, aDot.h);
    const streams = [own, ownDot, { h: a.h, out: own.attention.out }, { h: aDot.h, out: ownDot.attention.out }] as const;
    if (i < last) positionwiseTangent(m, block, pDot[i], ...streams);
  });
  gather(m, c, a);
  gather(m, c, aDot);
  const own = [activationsOf(a, last), activationsOf(aDot, last)] as const;
  positionwiseTangent(narrowed(m, c), p[last], pDot[last], ...own, a.chosen, aDot.chosen);
}

/** {@link stackBackward} on dual numbers; adds to the tangent gradients `gDot`. */
export function stackTangentBackward(
  m: Microbatch,
  p: readonly BlockParameters[],
  pDot: readonly BlockParameters[],
  gDot: readonly BlockParameters[],
  a: StackActivations,
  aDot: StackActivations,
  c: ChosenRows,
  d: StackCotangents,
  dDot: StackCotangents,
): void {
  const last = p.length - 1;
  const block = (i: number) => [p[i], pDot[i], gDot[i], a.blocks[i], aDot.blocks[i]] as const;
  positionwiseTangentBackward(narrowed(m, c), ...block(last), a.chosen, aDot.chosen, d.chosen, dDot.chosen);
  scatter(m, c, d);
  scatter(m, c, dDot);
  for (let i = last; i >= 0; i--) {
    const streams = [
      { h: a.h, out: a.blocks[i].attention.out },
      { h: aDot.h, out: aDot.blocks[i].attention.out },
    ] as const;
    if (i < last) positionwiseTangentBackward(m, ...block(i), ...streams, d.all, dDot.all);
    mixTangentBackward(m, ...block(i), d.all, dDot.all);
  }
}
