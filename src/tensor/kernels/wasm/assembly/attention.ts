// Causal self-attention on the rows of qkv [batch·length, width + 2·keyWidth] = (q, k, v), heads side by side inside each: `heads` of
// queries in width = heads·dh columns, and `keyHeads` of keys and of values in keyWidth = keyHeads·dh, each of which serves heads /
// keyHeads consecutive ones of queries. Per example and head: S = q·kᵀ/√dh, P = softmax over j ≤ i, o = P·v. Only the lower triangle is
// computed. P is kept as [batch·heads, length, stride], stride = length rounded up to 8; row i is valid (zero beyond i) up to the end of
// the group of four columns that holds i, which is as far as the products below read.
import { multiply1, multiply4, packColumns } from './gemm';
import { multiplyAdd, sum4 } from './simd';
import { softmaxRow } from './softmax';

/** Length of a row of P. */
@inline
function rowStride(length: i32): i32 {
  return (length + 7) & ~7;
}

/** Floats of one packed operand. */
@inline
function packedFloats(length: i32, headWidth: i32): i32 {
  return rowStride(length) * rowStride(headWidth);
}

/** Floats of work space the functions of this file need. */
export function attentionWorkFloats(length: i32, headWidth: i32): i32 {
  return 2 * packedFloats(length, headWidth) + 2 * length * rowStride(length);
}

/** s[i, j] (+)= ⟨a[i], b[j]⟩ for j ≤ i, rows of a and b `row` bytes apart; `packed` is work space. */
function lowerOuter(
  length: i32, depth: i32, a: usize, aRow: usize, b: usize, bRow: usize, s: usize, accumulate: bool, packed: usize,
): void {
  packColumns(b, 4, bRow, depth, length, packed);
  const sRow = <usize>rowStride(length) << 2;
  const whole = length & ~3;
  for (let i = 0; i < whole; i += 4) {
    for (let j = 0; j < i + 4; j += 8) {
      const at = <usize>i * sRow + (<usize>j << 2);
      multiply4(depth, a + <usize>i * aRow, aRow, 4, packed + (<usize>(j * depth) << 2), 32, s + at, sRow, 8, 0, accumulate);
    }
  }
  for (let i = whole; i < length; i++) {
    for (let j = 0; j <= i; j += 8) {
      const at = <usize>i * sRow + (<usize>j << 2);
      multiply1(depth, a + <usize>i * aRow, 4, packed + (<usize>(j * depth) << 2), 32, s + at, 8, 0, accumulate);
    }
  }
}

/** c (+)= L·b with L [length, length] lower triangular, b and c [length, columns]. */
function lowerTimes(
  length: i32, columns: i32, l: usize, b: usize, bRow: usize, c: usize, cRow: usize, accumulate: bool, packed: usize,
): void {
  packColumns(b, bRow, 4, length, columns, packed);
  const lRow = <usize>rowStride(length) << 2;
  const whole = length & ~3;
  for (let j = 0; j < columns; j += 8) {
    const panel = packed + (<usize>(j * length) << 2);
    const to = c + (<usize>j << 2);
    for (let i = 0; i < whole; i += 4) {
      multiply4(i + 4, l + <usize>i * lRow, lRow, 4, panel, 32, to + <usize>i * cRow, cRow, columns - j, 0, accumulate);
    }
    for (let i = whole; i < length; i++) {
      multiply1(i + 1, l + <usize>i * lRow, 4, panel, 32, to + <usize>i * cRow, columns - j, 0, accumulate);
    }
  }
}

/** c (+)= Lᵀ·b. */
function lowerTransposedTimes(
  length: i32, columns: i32, l: usize, b: usize, bRow: usize, c: usize, cRow: usize, accumulate: bool, packed: usize,
): void {
  packColumns(b, bRow, 4, length, columns, packed);
  const lRow = <usize>rowStride(length) << 2;
  const whole = length & ~3;
  for (let j = 0; j < columns; j += 8) {
    const panel = packed + (<usize>(j * length) << 2);
    const to = c + (<usize>j << 2);
    for (let i = 0; i < whole; i += 4) {
      const from = l + <usize>i * lRow + (<usize>i << 2);
      multiply4(length - i, from, 4, lRow, panel + (<usize>i << 5), 32, to + <usize>i * cRow, cRow, columns - j, 0, accumulate);
    }
    for (let i = whole; i < length; i++) {
      const from = l + <usize>i * lRow + (<usize>i << 2);
      multiply1(length - i, from, lRow, panel + (<usize>i << 5), 32, to + <usize>i * cRow, columns - j, 0, accumulate);
    }
  }
}

/** Ṗ = P∘(scale·Ṡ − ⟨P, scale·Ṡ⟩), in place on Ṡ, one row of `count` columns. */
function softmaxTangentRow(p: usize, sDot: usize, count: i32, scale: f32): void {
  let sum = f32x4.splat(0);
  for (let j: usize = 0; j < <usize>count << 2; j += 16) sum = multiplyAdd(v128.load(p + j), v128.load(sDot + j), sum);
  const mean = f32x4.splat(sum4(sum)), s = f32x4.splat(scale);
  for (let j: usize = 0; j < <usize>count << 2; j += 16) {
    v128.store(sDot + j, f32x4.mul(f32x4.mul(s, v128.load(p + j)), f32x4.sub(v128.load(sDot + j), mean)));
  }
}

/** dS = scale·P∘(dP − ⟨P, dP⟩), in place on dP: the same formula, for the softmax's Jacobian is symmetric. */
@inline
function softmaxBackwardRow(p: usize, dp: usize, count: i32, scale: f32): void {
  softmaxTangentRow(p, dp, count, scale);
}

/** Tangent of {@link softmaxBackwardRow}: dṠ = scale·(Ṗ∘(dP − s) + P∘(dṖ − t)), s = ⟨P, dP⟩, t = ⟨Ṗ, dP⟩ + ⟨P, dṖ⟩. */
function softmaxTangentBackwardRow(p: usize, pDot: usize, dp: usize, dpDot: usize, count: i32, scale: f32): void {
  let sum = f32x4.splat(0), sumDot = sum;
  for (let j: usize = 0; j < <usize>count << 2; j += 16) {
    const d = v128.load(dp + j);
    sum = multiplyAdd(v128.load(p + j), d, sum);
    sumDot = multiplyAdd(v128.load(pDot + j), d, multiplyAdd(v128.load(p + j), v128.load(dpDot + j), sumDot));
  }
  const s = f32x4.splat(sum4(sum)), t = f32x4.splat(sum4(sumDot)), sc = f32x4.splat(scale);
  for (let j: usize = 0; j < <usize>count << 2; j += 16) {
    const probability = v128.load(p + j), d = f32x4.sub(v128.load(dp + j), s);
    const change = f32x4.mul(probability, f32x4.sub(v128.load(dpDot + j), t));
    v128.store(dpDot + j, f32x4.mul(sc, multiplyAdd(v128.load(pDot + j), d, change)));
    v128.store(dp + j, f32x4.mul(sc, f32x4.mul(probability, d)));
  }
}

/** Where the keys lie that serve head `h`, whose queries lie at `q`; their values lie keyWidth columns further. */
@inline
function keysOf(q: usize, h: i32, group: i32, width: i32, head: usize): usize {
  return q + (<usize>width << 2) - <usize>(h - h / group) * head;
}

/** Fills `probabilities` and `out` [batch·length, width]. */
export function attentionForward(
  batch: i32, length: i32, heads: i32, keyHeads: i32, width: i32, qkv: usize, probabilities: usize, out: usize, work: usize,
): void {
  const dh = width / heads, group = heads / keyHeads, keyWidth = keyHeads * dh, scale: f32 = 1 / sqrt<f32>(<f32>dh);
  const row = <usize>(width + 2 * keyWidth) << 2, outRow = <usize>width << 2;
  const values = <usize>keyWidth << 2, head = <usize>dh << 2, pRow = <usize>rowStride(length) << 2;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const q = qkv + <usize>(b * length) * row + <usize>h * head, k = keysOf(q, h, group, width, head);
      lowerOuter(length, dh, q, row, k, row, probabilities, false, work);
      for (let i = 0; i < length; i++) softmaxRow(probabilities + <usize>i * pRow, i + 1, scale);
      const o = out + <usize>(b * length) * outRow + <usize>h * head;
      lowerTimes(length, dh, probabilities, k + values, row, o, outRow, false, work);
      probabilities += <usize>length * pRow;
    }
  }
}

/** After {@link attentionForward}: tangents of the probabilities and of `out` along qkv̇. */
export function attentionTangent(
  batch: i32, length: i32, heads: i32, keyHeads: i32, width: i32, qkv: usize, qkvDot: usize, probabilities: usize,
  probabilitiesDot: usize, outDot: usize, work: usize,
): void {
  const dh = width / heads, group = heads / keyHeads, keyWidth = keyHeads * dh, scale: f32 = 1 / sqrt<f32>(<f32>dh);
  const row = <usize>(width + 2 * keyWidth) << 2, outRow = <usize>width << 2;
  const values = <usize>keyWidth << 2, head = <usize>dh << 2, pRow = <usize>rowStride(length) << 2;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const at = <usize>(b * length) * row + <usize>h * head;
      const q = qkv + at, qDot = qkvDot + at, k = keysOf(q, h, group, width, head), kDot = keysOf(qDot, h, group, width, head);
      lowerOuter(length, dh, qDot, row, k, row, probabilitiesDot, false, work);
      lowerOuter(length, dh, q, row, kDot, row, probabilitiesDot, true, work);
      for (let i = 0; i < length; i++) {
        softmaxTangentRow(probabilities + <usize>i * pRow, probabilitiesDot + <usize>i * pRow, i + 1, scale);
      }
      const o = outDot + <usize>(b * length) * outRow + <usize>h * head;
      lowerTimes(length, dh, probabilitiesDot, k + values, row, o, outRow, false, work);
      lowerTimes(length, dh, probabilities, kDot + values, row, o, outRow, true, work);
      probabilities += <usize>length * pRow;
      probabilitiesDot += <usize>length * pRow;
    }
  }
}

/** dqkv from dout. */
export function attentionBackward(
  batch: i32, length: i32, heads: i32, keyHeads: i32, width: i32, qkv: usize, probabilities: usize, dout: usize, dqkv: usize,
  work: usize,
): void {
  const dh = width / heads, group = heads / keyHeads, keyWidth = keyHeads * dh, scale: f32 = 1 / sqrt<f32>(<f32>dh);
  const row = <usize>(width + 2 * keyWidth) << 2, outRow = <usize>width << 2;
  const values = <usize>keyWidth << 2, head = <usize>dh << 2, pRow = <usize>rowStride(length) << 2;
  const ds = work + (<usize>(2 * packedFloats(length, dh)) << 2);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const at = <usize>(b * length) * row + <usize>h * head;
      const q = qkv + at, dq = dqkv + at, d = dout + <usize>(b * length) * outRow + <usize>h * head;
      const k = keysOf(q, h, group, width, head), dk = keysOf(dq, h, group, width, head), later = h % group != 0;
      lowerOuter(length, dh, d, outRow, k + values, row, ds, false, work); // dP = do·vᵀ
      for (let i = 0; i < length; i++) softmaxBackwardRow(probabilities + <usize>i * pRow, ds + <usize>i * pRow, i + 1, scale);
      lowerTransposedTimes(length, dh, probabilities, d, outRow, dk + values, row, later, work); // dv (+)= Pᵀ·do
      lowerTimes(length, dh, ds, k, row, dq, row, false, work); // dq = dS·k
      lowerTransposedTimes(length, dh, ds, q, row, dk, row, later, work); // dk (+)= dSᵀ·q
      probabilities += <usize>length * pRow;
    }
  }
}

/** {@link attentionBackward} on dual numbers: dqkv and its tangent from dout and its tangent. */
export function attentionTangentBackward(
  batch: i32, length: i32, heads: i32, keyHeads: i32, width: i32, qkv: usize, qkvDot: usize, probabilities: usize,
  probabilitiesDot: usize, dout: usize, doutDot: usize, dqkv: usize, dqkvDot: usize, work: usize,
): void {
  const dh = width / heads, group = heads / keyHeads, keyWidth = keyHeads * dh, scale: f32 = 1 / sqrt<f32>(<f32>dh);
  const row = <usize>(width + 2 * keyWidth) << 2, outRow = <usize>width << 2;
  const values = <usize>keyWidth << 2, head = <usize>dh << 2, pRow = <usize>rowStride(length) << 2;
  const ds = work + (<usize>(2 * packedFloats(length, dh)) << 2), dsDot = ds + <usize>length * pRow;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const at = <usize>(b * length) * row + <usize>h * head, outAt = <usize>(b * length) * outRow + <usize>h * head;
      const q = qkv + at, k = keysOf(q, h, group, width, head), v = k + values;
      const qDot = qkvDot + at, kDot = keysOf(qDot, h, group, width, head), vDot = kDot + values;
      const dq = dqkv + at, dk = keysOf(dq, h, group, width, head), dv = dk + values;
      const dqDot = dqkvDot + at, dkDot = keysOf(dqDot, h, group, width, head), dvDot = dkDot + values;
      const later = h % group != 0; // heads of keys and values collect from the queries they serve
      const d = dout + outAt, dDot = doutDot + outAt;
      lowerOuter(length, dh, d, outRow, v, row, ds, false, work);
      lowerOuter(length, dh, dDot, outRow, v, row, dsDot, false, work);
      lowerOuter(length, dh, d, outRow, vDot, row, dsDot, true, work);
      lowerTransposedTimes(length, dh, probabilities, d, outRow, dv, row, later, work);
      lowerTransposedTimes(length, dh, probabilitiesDot, d, outRow, dvDot, row, later, work);
      lowerTransposedTimes(length, dh, probabilities, dDot, outRow, dvDot, row, true, work);
      for (let i = 0; i < length; i++) {
        const r = <usize>i * pRow;
        softmaxTangentBackwardRow(probabilities + r, probabilitiesDot + r, ds + r, dsDot + r, i + 1, scale);
      }
      lowerTimes(length, dh, ds, k, row, dq, row, false, work);
      lowerTimes(length, dh, dsDot, k, row, dqDot, row, false, work);
      lowerTimes(length, dh, ds, kDot, row, dqDot, row, true, work);
      lowerTransposedTimes(length, dh, ds, q, row, dk, row, later, work);
      lowerTransposedTimes(length, dh, dsDot, q, row, dkDot, row, later, work);
      lowerTransposedTimes(length, dh, ds, qDot, row, dkDot, row, true, work);
      probabilities += <usize>length * pRow;
      probabilitiesDot += <usize>length * pRow;
    }
  }
}

/**
 * Stores k and v of `length` positions, the first at `first`, in caches: keys [batch, keyWidth, capacity], values [batch, capacity,
 * keyWidth].
 */
export function cacheKeysValues(
  batch: i32, length: i32, width: i32, keyWidth: i32, qkv: usize, keys: usize, values: usize, capacity: i32, first: i32,
): void {
  const bytes = <usize>keyWidth << 2;
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < length; t++) {
      const k = qkv + (<usize>width << 2), to = keys + (<usize>(b * keyWidth * capacity + first + t) << 2);
      for (let j = 0; j < keyWidth; j++) store<f32>(to + (<usize>(j * capacity) << 2), load<f32>(k + (<usize>j << 2)));
      memory.copy(values + <usize>(b * capacity + first + t) * bytes, k + bytes, bytes);
      qkv += (<usize>width << 2) + 2 * bytes;
    }
  }
}

/** Attention of one new row of qkv per example over the first `count` cached positions. */
export function attentionStep(
  batch: i32, heads: i32, keyHeads: i32, width: i32, qkv: usize, keys: usize, values: usize, capacity: i32, count: i32, out: usize,
  work: usize,
): void {
  const dh = width / heads, group = heads / keyHeads, scale: f32 = 1 / sqrt<f32>(<f32>dh);
  const row = <usize>(keyHeads * dh) << 2, head = <usize>dh << 2, cached = <usize>capacity << 2;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const served = <usize>(h / group), k = keys + served * <usize>dh * cached, v = values + served * head;
      for (let t = 0; t < count; t += 8) {
        multiply1(dh, qkv, 4, k + (<usize>t << 2), cached, work + (<usize>t << 2), count - t, 0, false);
      }
      softmaxRow(work, count, scale);
      for (let j = 0; j < dh; j += 8) {
        const at = <usize>j << 2;
        multiply1(count, work, 4, v + at, row, out + at, dh - j, 0, false);
      }
      qkv += head;
      out += head;
    }
    qkv += 2 * row;
    keys += row * <usize>capacity;
    values += row * <usize>capacity;
  }
}
