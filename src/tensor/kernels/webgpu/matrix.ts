/** Row and column work on [rows, columns] matrices. */
import type { Kernels, Pointer } from '../kernels';
import { each, perElement, program } from './program';
import type { Recorder } from './recorder';

/** Columns of a workgroup of {@link columns}, and parts that its rows are summed in. */
const WIDTH = 16;

/**
 * A body that sums over rows: 16 columns to a workgroup, 16 lanes to a column, each taking every 16th row; `term` makes of `row` and `j`
 * the number to be added.
 */
export const sumRows = (results: readonly { to: string; term: string }[]): string => `
  let j = group.x * ${WIDTH}u + lane % ${WIDTH}u;
  let part = lane / ${WIDTH}u;
  ${results.map((_, i) => `var sum${i} = 0.0;`).join(' ')}
  if (j < n.columns) {
    for (var row = part; row < n.rows; row += ${WIDTH}u) { ${results.map(({ term }, i) => `sum${i} += ${term};`).join(' ')} }
  }
  ${results
    .map(
      ({ to }, i) => `
  parts[lane] = sum${i};
  workgroupBarrier();
  if (part == 0u && j < n.columns) {
    var total = 0.0;
    for (var p = 0u; p < ${WIDTH}u; p++) { total += parts[p * ${WIDTH}u + lane]; }
    ${to}[n.${to} + j] += total;
  }
  workgroupBarrier();`,
    )
    .join('')}`;

/** Shared memory of {@link sumRows}. */
export const PARTS = 'var<workgroup> parts: array<f32, 256>;';

export const perColumns = (columns: number): [number, number, number] => [Math.ceil(columns / WIDTH), 1, 1];

const columnSum = program({
  name: 'columnSum',
  reads: { x: 'f32' },
  writes: { sums: 'f32' },
  sizes: { rows: 'u32', columns: 'u32', stride: 'u32' },
  declarations: PARTS,
  body: sumRows([{ to: 'sums', term: 'x[n.x + row * n.stride + j]' }]),
});

const zero = program({
  name: 'zero',
  reads: {},
  writes: { x: 'f32' },
  sizes: { count: 'u32' },
  body: each('count', 'x[n.x + i] = 0.0;'),
});

const rowsBetween = (name: string, statement: string) =>
  program({
    name,
    reads: { index: 'i32', x: 'f32' },
    writes: { y: 'f32' },
    sizes: { count: 'u32', width: 'u32' },
    body: each('count', `let other = u32(index[n.index + i / n.width]) * n.width + i % n.width; ${statement}`),
  });
const gather = rowsBetween('gatherRows', 'y[n.y + i] = x[n.x + other];');
const scatter = rowsBetween('scatterRows', 'y[n.y + other] = x[n.x + i];');

export const matrix = (r: Recorder): Pick<Kernels, 'columnSum' | 'zero' | 'gatherRows' | 'scatterRows'> => {
  const moving =
    (p: typeof gather) =>
    (rows: number, width: number, index: Pointer, x: Pointer, y: Pointer): void =>
      r.run(p, perElement(rows * width), { index, x, y }, { count: rows * width, width });
  return {
    columnSum: (rows, columns, stride, x, sums) => r.run(columnSum, perColumns(columns), { x, sums }, { rows, columns, stride }),
    zero: (count, x) => r.run(zero, perElement(count), { x }, { count }),
    gatherRows: moving(gather),
    scatterRows: moving(scatter),
  };
};
