// Matrix product C (+)= A·B (+ bias) for any strides: panels of B and blocks of A are packed once into scratch memory, then multiplied
// in register blocks of 5 × 8 and 4 × 8. Every element of C is summed over k in the same order wherever its row stands, so a row's
// result does not depend on how many rows are computed with it.
import { CONSTANT_BYTES, load4, multiplyAdd, setConstants, store4 } from './simd';

const KC: i32 = 256; // depth of a block
const NC: i32 = 512; // columns of B packed at a time: 512 KiB
const MC: i32 = 64; // rows of A packed at a time: 64 KiB

let packedB: usize = 0;
let packedA: usize = 0;

/** Bytes {@link setScratch} needs. */
export function scratchBytes(): i32 {
  return ((KC * NC + KC * MC) << 2) + <i32>CONSTANT_BYTES;
}

/** Says where the matrix product may pack its operands, and exp4 keep its constants. */
export function setScratch(p: usize): void {
  setConstants(p);
  packedB = p + CONSTANT_BYTES;
  packedA = packedB + (<usize>(KC * NC) << 2);
}

/** Transposes the 4 × 4 block at `p` (rows `step` bytes apart) to `out` (rows `outStep` bytes apart). */
@inline
export function transpose4x4(p: usize, step: usize, out: usize, outStep: usize): void {
  const r0 = v128.load(p);
  const r1 = v128.load(p + step);
  const r2 = v128.load(p + 2 * step);
  const r3 = v128.load(p + 3 * step);
  const t0 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5);
  const t1 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5);
  const t2 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
  const t3 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
  v128.store(out, v128.shuffle<f32>(t0, t1, 0, 1, 4, 5));
  v128.store(out + outStep, v128.shuffle<f32>(t0, t1, 2, 3, 6, 7));
  v128.store(out + 2 * outStep, v128.shuffle<f32>(t2, t3, 0, 1, 4, 5));
  v128.store(out + 3 * outStep, v128.shuffle<f32>(t2, t3, 2, 3, 6, 7));
}

/** One panel of up to eight columns of B as [depth, 8], zero-padded. Strides in bytes. */
function packPanel(b: usize, row: usize, column: usize, depth: i32, columns: i32, out: usize): void {
  let k = 0;
  if (columns == 8 && column == 4) {
    for (; k < depth; k++, b += row, out += 32) {
      v128.store(out, v128.load(b));
      v128.store(out, v128.load(b, 16), 16);
    }
  } else if (columns == 8 && row == 4) {
    for (; k + 4 <= depth; k += 4, b += 16, out += 128) {
      transpose4x4(b, column, out, 32);
      transpose4x4(b + 4 * column, column, out + 16, 32);
    }
  }
  for (; k < depth; k++, b += row, out += 32) {
    for (let j = 0; j < 8; j++) store<f32>(out + (<usize>j << 2), j < columns ? load<f32>(b + <usize>j * column) : <f32>0);
  }
}

/** B [depth, n] as panels of eight columns. Strides in bytes. */
export function packColumns(b: usize, row: usize, column: usize, depth: i32, n: i32, out: usize): void {
  for (let j = 0; j < n; j += 8) {
    packPanel(b + <usize>j * column, row, column, depth, min(8, n - j), out);
    out += <usize>depth << 5;
  }
}

/** `count` rows of A, four or five, interleaved as [depth, count]. Strides in bytes. */
function packRows(count: i32, a: usize, row: usize, column: usize, depth: i32, out: usize): void {
  const step = <usize>count << 2;
  let k = 0;
  if (row == 4) {
    for (; k < depth; k++, a += column, out += step) {
      v128.store(out, v128.load(a));
      if (count == 5) store<f32>(out, load<f32>(a, 16), 16);
    }
  } else if (column == 4) {
    for (; k + 4 <= depth; k += 4, a += 16, out += 4 * step) {
      transpose4x4(a, row, out, step);
      if (count == 5) storeFifth(out, v128.load(a + 4 * row));
    }
  }
  for (; k < depth; k++, a += column, out += step) {
    for (let i = 0; i < count; i++) store<f32>(out + (<usize>i << 2), load<f32>(a + <usize>i * row));
  }
}

/** Four depths of the fifth row into its place in [depth, 5]. */
@inline
function storeFifth(out: usize, v: v128): void {
  v128.store_lane<f32>(out, v, 0, 16);
  v128.store_lane<f32>(out, v, 1, 36);
  v128.store_lane<f32>(out, v, 2, 56);
  v128.store_lane<f32>(out, v, 3, 76);
}

@inline
function writeRow(c: usize, low: v128, high: v128, columns: i32, bias: usize, accumulate: bool): void {
  if (columns >= 8) {
    if (bias) {
      low = f32x4.add(low, v128.load(bias));
      high = f32x4.add(high, v128.load(bias, 16));
    }
    if (accumulate) {
      low = f32x4.add(low, v128.load(c));
      high = f32x4.add(high, v128.load(c, 16));
    }
    v128.store(c, low);
    v128.store(c, high, 16);
  } else writePartialRow(c, low, high, columns, bias, accumulate);
}

function writePartialRow(c: usize, low: v128, high: v128, columns: i32, bias: usize, accumulate: bool): void {
  if (bias) low = f32x4.add(low, load4(bias, columns));
  if (accumulate) low = f32x4.add(low, load4(c, columns));
  store4(c, low, columns);
  if (columns <= 4) return;
  if (bias) high = f32x4.add(high, load4(bias + 16, columns - 4));
  if (accumulate) high = f32x4.add(high, load4(c + 16, columns - 4));
  store4(c + 16, high, columns - 4);
}

/** C[4, columns ≤ 8] (+)= A[4, depth]·B[depth, 8] (+ bias). Strides in bytes; `bStep` is 32 for packed panels. */
export function multiply4(
  depth: i32, a: usize, aRow: usize, aColumn: usize, b: usize, bStep: usize,
  c: usize, cRow: usize, columns: i32, bias: usize, accumulate: bool,
): void {
  let c00 = f32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
  let a1 = a + aRow, a2 = a1 + aRow, a3 = a2 + aRow;
  for (let k = 0; k < depth; k++) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    const x0 = v128.load_splat<f32>(a);
    c00 = multiplyAdd(x0, b0, c00);
    c01 = multiplyAdd(x0, b1, c01);
    const x1 = v128.load_splat<f32>(a1);
    c10 = multiplyAdd(x1, b0, c10);
    c11 = multiplyAdd(x1, b1, c11);
    const x2 = v128.load_splat<f32>(a2);
    c20 = multiplyAdd(x2, b0, c20);
    c21 = multiplyAdd(x2, b1, c21);
    const x3 = v128.load_splat<f32>(a3);
    c30 = multiplyAdd(x3, b0, c30);
    c31 = multiplyAdd(x3, b1, c31);
    b += bStep;
    a += aColumn;
    a1 += aColumn;
    a2 += aColumn;
    a3 += aColumn;
  }
  writeRow(c, c00, c01, columns, bias, accumulate);
  writeRow(c + cRow, c10, c11, columns, bias, accumulate);
  writeRow(c + 2 * cRow, c20, c21, columns, bias, accumulate);
  writeRow(c + 3 * cRow, c30, c31, columns, bias, accumulate);
}

/**
 * {@link multiply4} of `rows` rows interleaved in fives as {@link packRows} leaves them: one pointer, constant offsets. Ten sums hide the
 * latency of their additions. Four values of A are loaded at once and spread by shuffles: V8 moves all loads, but not shuffles, to
 * the start of the loop, where a load for each value would take more registers than there are.
 */
function multiplyFives(
  rows: i32, depth: i32, a: usize, panel: usize, c: usize, cRow: usize, columns: i32, bias: usize, accumulate: bool,
): void {
  for (let i = 0; i < rows; i += 5) {
    let c00 = f32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00, c40 = c00, c41 = c00;
    let b = panel;
    for (const end = a + <usize>depth * 20; a < end; a += 20, b += 32) {
      const b0 = v128.load(b), b1 = v128.load(b, 16), x = v128.load(a), x4 = v128.load_splat<f32>(a, 16);
      const x0 = v128.shuffle<f32>(x, x, 0, 0, 0, 0);
      c00 = multiplyAdd(x0, b0, c00);
      c01 = multiplyAdd(x0, b1, c01);
      const x1 = v128.shuffle<f32>(x, x, 1, 1, 1, 1);
      c10 = multiplyAdd(x1, b0, c10);
      c11 = multiplyAdd(x1, b1, c11);
      const x2 = v128.shuffle<f32>(x, x, 2, 2, 2, 2);
      c20 = multiplyAdd(x2, b0, c20);
      c21 = multiplyAdd(x2, b1, c21);
      const x3 = v128.shuffle<f32>(x, x, 3, 3, 3, 3);
      c30 = multiplyAdd(x3, b0, c30);
      c31 = multiplyAdd(x3, b1, c31);
      c40 = multiplyAdd(x4, b0, c40);
      c41 = multiplyAdd(x4, b1, c41);
    }
    writeRow(c, c00, c01, columns, bias, accumulate);
    writeRow(c + cRow, c10, c11, columns, bias, accumulate);
    writeRow(c + 2 * cRow, c20, c21, columns, bias, accumulate);
    writeRow(c + 3 * cRow, c30, c31, columns, bias, accumulate);
    writeRow(c + 4 * cRow, c40, c41, columns, bias, accumulate);
    c += 5 * cRow;
  }
}

/** {@link multiplyFives} in fours, for the rows that are left. */
function multiplyFours(
  rows: i32, depth: i32, a: usize, panel: usize, c: usize, cRow: usize, columns: i32, bias: usize, accumulate: bool,
): void {
  for (let i = 0; i < rows; i += 4) {
    let c00 = f32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
    let b = panel;
    for (const end = a + (<usize>depth << 4); a < end; a += 16, b += 32) {
      const b0 = v128.load(b), b1 = v128.load(b, 16);
      const x0 = v128.load_splat<f32>(a);
      c00 = multiplyAdd(x0, b0, c00);
      c01 = multiplyAdd(x0, b1, c01);
      const x1 = v128.load_splat<f32>(a, 4);
      c10 = multiplyAdd(x1, b0, c10);
      c11 = multiplyAdd(x1, b1, c11);
      const x2 = v128.load_splat<f32>(a, 8);
      c20 = multiplyAdd(x2, b0, c20);
      c21 = multiplyAdd(x2, b1, c21);
      const x3 = v128.load_splat<f32>(a, 12);
      c30 = multiplyAdd(x3, b0, c30);
      c31 = multiplyAdd(x3, b1, c31);
    }
    writeRow(c, c00, c01, columns, bias, accumulate);
    writeRow(c + cRow, c10, c11, columns, bias, accumulate);
    writeRow(c + 2 * cRow, c20, c21, columns, bias, accumulate);
    writeRow(c + 3 * cRow, c30, c31, columns, bias, accumulate);
    c += 4 * cRow;
  }
}

/** One row of {@link multiply4}. */
export function multiply1(
  depth: i32, a: usize, aColumn: usize, b: usize, bStep: usize, c: usize, columns: i32, bias: usize, accumulate: bool,
): void {
  let low = f32x4.splat(0), high = low;
  for (let k = 0; k < depth; k++) {
    const x = v128.load_splat<f32>(a);
    low = multiplyAdd(x, v128.load(b), low);
    high = multiplyAdd(x, v128.load(b, 16), high);
    a += aColumn;
    b += bStep;
  }
  writeRow(c, low, high, columns, bias, accumulate);
}

/**
 * Rows [i0, i0 + rows) of A times the packed block of B: in fives, then fours, then single ones, of which there are three at most. Products
 * that are not fused with their additions need one more register than fives leave.
 */
function multiplyRows(
  rows: i32, n: i32, depth: i32, a: usize, aRow: usize, aColumn: usize, c: usize, cRow: usize, bias: usize, accumulate: bool,
): void {
  const fours = ASC_FEATURE_RELAXED_SIMD ? min((5 - rows % 5) % 5, rows >> 2) : rows >> 2;
  const inFives = rows - 4 * fours - (rows - 4 * fours) % 5, packed = inFives + 4 * fours;
  for (let i = 0; i < packed; i += i < inFives ? 5 : 4) {
    packRows(i < inFives ? 5 : 4, a + <usize>i * aRow, aRow, aColumn, depth, packedA + (<usize>(i * depth) << 2));
  }
  const packedFours = packedA + (<usize>(inFives * depth) << 2);
  for (let j = 0; j < n; j += 8) {
    const panel = packedB + (<usize>(j * depth) << 2);
    const to = c + (<usize>j << 2);
    const biasHere = bias ? bias + (<usize>j << 2) : 0;
    const columns = n - j;
    multiplyFives(inFives, depth, packedA, panel, to, cRow, columns, biasHere, accumulate);
    multiplyFours(4 * fours, depth, packedFours, panel, to + <usize>inFives * cRow, cRow, columns, biasHere, accumulate);
    for (let i = packed; i < rows; i++) {
      multiply1(depth, a + <usize>i * aRow, aColumn, panel, 32, to + <usize>i * cRow, columns, biasHere, accumulate);
    }
  }
}

/**
 * C[m, n] = A[m, k]·B[k, n] + bias[n] (+ C when `accumulate`). Strides in elements; C has unit column stride; `bias` 0 means
 * none.
 */
export function gemm(
  m: i32, n: i32, k: i32, a: usize, aRowStride: i32, aColumnStride: i32, b: usize, bRowStride: i32, bColumnStride: i32,
  c: usize, cRowStride: i32, bias: usize, accumulate: bool,
): void {
  const aRow = <usize>aRowStride << 2, aColumn = <usize>aColumnStride << 2;
  const bRow = <usize>bRowStride << 2, bColumn = <usize>bColumnStride << 2, cRow = <usize>cRowStride << 2;
  for (let j = 0; j < n; j += NC) {
    const columns = min(NC, n - j);
    const biasHere = bias ? bias + (<usize>j << 2) : 0;
    for (let p = 0; p < k; p += KC) {
      const depth = min(KC, k - p);
      packColumns(b + <usize>p * bRow + <usize>j * bColumn, bRow, bColumn, depth, columns, packedB);
      for (let i = 0; i < m; i += MC) {
        const from = a + <usize>i * aRow + <usize>p * aColumn;
        const to = c + <usize>i * cRow + (<usize>j << 2);
        multiplyRows(min(MC, m - i), columns, depth, from, aRow, aColumn, to, cRow, p ? 0 : biasHere, accumulate || p > 0);
      }
    }
  }
}

/** {@link gemm} of `batch` pairs; a batch stride of 0 repeats the operand. Strides in elements. */
export function gemmBatch(
  batch: i32, m: i32, n: i32, k: i32, a: usize, aRow: i32, aColumn: i32, aBatch: i32,
  b: usize, bRow: i32, bColumn: i32, bBatch: i32, c: usize,
): void {
  for (let t = 0; t < batch; t++) {
    const at = <usize>t * (<usize>aBatch << 2), bt = <usize>t * (<usize>bBatch << 2), ct = <usize>t * (<usize>(m * n) << 2);
    gemm(m, n, k, a + at, aRow, aColumn, b + bt, bRow, bColumn, c + ct, n, 0, false);
  }
}
