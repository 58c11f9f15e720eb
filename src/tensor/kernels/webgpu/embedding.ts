/**
 * Token plus position embedding; without positions `wpe` is 0. Gradients are added up by whoever comes first: in the order of the rows,
 * without atomics.
 */
import type { Kernels } from '../kernels';
import { each, LANES, perElement, perRow, program, ROW } from './program';
import type { Recorder } from './recorder';

const forward = program({
  name: 'embeddingForward',
  reads: { wte: 'f32', wpe: 'f32', ids: 'i32' },
  writes: { h: 'f32' },
  sizes: { count: 'u32', length: 'u32', first: 'u32', width: 'u32', placed: 'u32' },
  body: each(
    'count',
    `
    let row = i / n.width;
    let j = i % n.width;
    var sum = wte[n.wte + u32(ids[n.ids + row]) * n.width + j];
    if (n.placed == 1u) { sum += wpe[n.wpe + (n.first + row % n.length) * n.width + j]; }
    h[n.h + i] = sum;
  `,
  ),
});

/** One workgroup per row; the first row of a token adds those of all others. */
const tokens = program({
  name: 'embeddingBackward, tokens',
  reads: { dh: 'f32', ids: 'i32' },
  writes: { dWte: 'f32' },
  sizes: { rows: 'u32', width: 'u32' },
  body: `${ROW}
  let id = ids[n.ids + row];
  for (var other = 0u; other < row; other++) { if (ids[n.ids + other] == id) { return; } }
  for (var j = lane; j < n.width; j += ${LANES}u) {
    var sum = dWte[n.dWte + u32(id) * n.width + j];
    for (var other = row; other < n.rows; other++) {
      if (ids[n.ids + other] == id) { sum += dh[n.dh + other * n.width + j]; }
    }
    dWte[n.dWte + u32(id) * n.width + j] = sum;
  }`,
});

/** dWpe[t] += Σ over the examples. */
const positions = program({
  name: 'embeddingBackward, positions',
  reads: { dh: 'f32' },
  writes: { dWpe: 'f32' },
  sizes: { count: 'u32', rows: 'u32', length: 'u32', width: 'u32' },
  body: each(
    'count',
    `
    var sum = dWpe[n.dWpe + i];
    for (var row = i / n.width; row < n.rows; row += n.length) { sum += dh[n.dh + row * n.width + i % n.width]; }
    dWpe[n.dWpe + i] = sum;
  `,
  ),
});

export const embedding = (r: Recorder): Pick<Kernels, 'embeddingForward' | 'embeddingBackward'> => ({
  embeddingForward: (rows, length, first, width, wte, wpe, ids, h) =>
    r.run(
      forward,
      perElement(rows * width),
      { wte, wpe, ids, h },
      { count: rows * width, length, first, width, placed: wpe ? 1 : 0 },
    ),
  embeddingBackward: (rows, length, width, dh, ids, dWte, dWpe) => {
    const count = Math.min(rows, length) * width;
    r.run(tokens, perRow(rows), { dh, ids, dWte }, { rows, width });
    if (dWpe) r.run(positions, perElement(count), { dh, dWpe }, { count, rows, length, width });
  },
});
