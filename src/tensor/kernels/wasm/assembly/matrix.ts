// Row and column work on [rows, columns] matrices.
import { add4, load4 } from './simd';
import { transpose4x4 } from './gemm';

/** out[j] += Σ_i x[i, j], the gradient of a bias; rows of x are `stride` floats apart. */
export function columnSum(rows: i32, columns: i32, stride: i32, x: usize, out: usize): void {
  const row = (<usize>stride) << 2;
  for (let j = 0; j < columns; j += 4) {
    const left = columns - j;
    let sum = f32x4.splat(0),
      other = sum,
      p = x + ((<usize>j) << 2);
    for (let i = rows >> 1; i > 0; i--, p += 2 * row) {
      sum = f32x4.add(sum, load4(p, left));
      other = f32x4.add(other, load4(p + row, left));
    }
    if (rows & 1) sum = f32x4.add(sum, load4(p, left));
    add4(out + ((<usize>j) << 2), f32x4.add(sum, other), left);
  }
}

/** x[0..n) = 0 */
export function zero(n: i32, x: usize): void {
  memory.fill(x, 0, (<usize>n) << 2);
}

/** to[i] = from[index[i]]. */
export function gatherRows(rows: i32, width: i32, index: usize, from: usize, to: usize): void {
  const bytes = (<usize>width) << 2;
  for (let i = 0; i < rows; i++) {
    memory.copy(to + <usize>i * bytes, from + <usize>load<i32>(index + ((<usize>i) << 2)) * bytes, bytes);
  }
}

/** to[index[i]] = from[i]. */
export function scatterRows(rows: i32, width: i32, index: usize, from: usize, to: usize): void {
  const bytes = (<usize>width) << 2;
  for (let i = 0; i < rows; i++) {
    memory.copy(to + <usize>load<i32>(index + ((<usize>i) << 2)) * bytes, from + <usize>i * bytes, bytes);
  }
}

/** y [columns, rows] = xᵀ. */
export function transpose(rows: i32, columns: i32, x: usize, y: usize): void {
  const xRow = (<usize>columns) << 2,
    yRow = (<usize>rows) << 2;
  const wholeRows = rows & ~3,
    wholeColumns = columns & ~3;
  for (let i0 = 0; i0 < wholeRows; i0 += 32) {
    for (let j = 0; j < wholeColumns; j += 4) {
      for (let i = i0; i < min(i0 + 32, wholeRows); i += 4) {
        transpose4x4(x + <usize>i * xRow + ((<usize>j) << 2), xRow, y + <usize>j * yRow + ((<usize>i) << 2), yRow);
      }
    }
  }
  for (let i = 0; i < rows; i++) {
    for (let j = i < wholeRows ? wholeColumns : 0; j < columns; j++) {
      store<f32>(y + <usize>j * yRow + ((<usize>i) << 2), load<f32>(x + <usize>i * xRow + ((<usize>j) << 2)));
    }
  }
}
