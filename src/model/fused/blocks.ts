/**
 * The stack of blocks. Only the rows that count leave it: rows with mask 0 (padding, prompts) have no loss, so past their keys and values
 * in the last attention nothing is computed for them.
 */
import type { Arena, Pointer } from '../../tensor/kernels/kernels';
import type { Layers } from '../families/layers';
import { attentionColumns, attentionForward, type AttentionActivations } from './attention';
import {
  blockActivations,
  innerCotangents,
  mixBackward,
  mixForward,
  mixTangent,
  mixTangentBackward,
  outColumns,
  positionwiseBackward,
  positionwiseForward,
  positionwiseTangent,
  positionwiseTangentBackward,
  type BlockActivations,
  type BlockCotangents,
  type Stream,
} from './block';
import { both, part, type Dual } from './dual';
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

const stream = (a: Arena, layers: Layers, rows: number): Stream => ({
  h: a.floats(rows * layers.n_embd),
  out: a.floats(rows * outColumns(layers)),
});

/** @param kept - the number of blocks, or 1 where no backward pass follows */
export function stackActivations(a: Arena, layers: Layers, examples: number, length: number, kept: number): StackActivations {
  const rows = examples * length;
  return {
    h: a.floats(rows * layers.n_embd),
    blocks: Array.from({ length: kept }, () => blockActivations(a, layers, examples, length)),
    chosen: stream(a, layers, rows),
  };
}

/** Cotangents of all rows and of the chosen ones. */
export interface StackCotangents {
  readonly all: BlockCotangents;
  readonly chosen: BlockCotangents;
}

export function stackCotangents(a: Arena, layers: Layers, rows: number): StackCotangents {
  const inner = innerCotangents(a, layers, rows);
  return { all: { ...stream(a, layers, rows), ...inner }, chosen: { ...stream(a, layers, rows), ...inner } };
}

const activationsOf = ({ blocks }: StackActivations, i: number): BlockActivations => blocks[i] ?? blocks[0];

/** The stream of all rows in the midst of block i. */
const streamOf = (a: StackActivations, i: number): Stream => ({ h: a.h, out: activationsOf(a, i).attention.out });

/** The microbatch that the chosen rows are, for what treats every row by itself. */
export const narrowed = (m: Microbatch, { rows }: ChosenRows): Microbatch => ({ ...m, rows });

const columns = ({ layers }: Microbatch): Record<keyof Stream, number> => ({
  h: layers.n_embd,
  out: attentionColumns(layers).queries,
});

/** a.chosen ← the chosen rows of h and of the last attention's output. */
function gather(m: Microbatch, c: ChosenRows, a: StackActivations): void {
  const from = streamOf(a, a.blocks.length - 1);
  for (const name of ['h', 'out'] as const) m.k.gatherRows(c.rows, columns(m)[name], c.index, from[name], a.chosen[name]);
}

/** d.all ← the chosen rows' cotangents, 0 elsewhere. */
function scatter(m: Microbatch, c: ChosenRows, d: StackCotangents): void {
  for (const name of ['h', 'out'] as const) {
    m.k.zero(m.rows * columns(m)[name], d.all[name]);
    m.k.scatterRows(c.rows, columns(m)[name], c.index, d.chosen[name], d.all[name]);
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
    if (i < last) positionwiseForward(m, block, own, streamOf(a, i));
  });
  gather(m, c, a);
  positionwiseForward(narrowed(m, c), p[last], activationsOf(a, last), a.chosen);
}

/** d.all.h ← the cotangent of what entered, from d.chosen.h; adds to the gradients `g`. */
export function stackBackward(
  m: Microbatch,
  p: readonly BlockParameters[],
  g: readonly BlockParameters[],
  a: StackActivations,
  c: ChosenRows,
  d: StackCotangents,
): void {
  const last = p.length - 1;
  positionwiseBackward(narrowed(m, c), p[last], g[last], a.blocks[last], a.chosen, d.chosen);
  scatter(m, c, d);
  for (let i = last; i >= 0; i--) {
    if (i < last) positionwiseBackward(m, p[i], g[i], a.blocks[i], streamOf(a, i), d.all);
    mixBackward(m, p[i], g[i], a.blocks[i], d.all);
  }
}

/** {@link stackForward} on dual numbers. */
export function stackTangent(m: Microbatch, p: Dual<readonly BlockParameters[]>, a: Dual<StackActivations>, c: ChosenRows): void {
  const last = p.value.length - 1;
  for (let i = 0; i <= last; i++) {
    const [block, own] = [both(p, (blocks) => blocks[i]), both(a, (of) => activationsOf(of, i))];
    mixTangent(m, block, own, part(a, 'h'));
    const entering = both(a, (of) => streamOf(of, i));
    if (i < last) positionwiseTangent(m, block, own, entering);
  }
  gather(m, c, a.value);
  gather(m, c, a.dot);
  const [block, own] = [both(p, (blocks) => blocks[last]), both(a, (of) => activationsOf(of, last))];
  const chosen = part(a, 'chosen');
  positionwiseTangent(narrowed(m, c), block, own, chosen);
}

/** {@link stackBackward} on dual numbers; adds to the tangent gradients `gDot`. */
export function stackTangentBackward(
  m: Microbatch,
  p: Dual<readonly BlockParameters[]>,
  gDot: readonly BlockParameters[],
  a: Dual<StackActivations>,
  c: ChosenRows,
  d: Dual<StackCotangents>,
): void {
  const last = p.value.length - 1;
  const block = (i: number) => [both(p, (blocks) => blocks[i]), gDot[i], both(a, (of) => of.blocks[i])] as const;
  const [chosen, all] = [part(d, 'chosen'), part(d, 'all')];
  const entering = part(a, 'chosen');
  positionwiseTangentBackward(narrowed(m, c), ...block(last), entering, chosen);
  scatter(m, c, d.value);
  scatter(m, c, d.dot);
  for (let i = last; i >= 0; i--) {
    const streams = both(a, (of) => streamOf(of, i));
    if (i < last) positionwiseTangentBackward(m, ...block(i), streams, all);
    mixTangentBackward(m, ...block(i), all);
  }
}
