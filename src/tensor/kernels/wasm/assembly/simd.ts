// Four float32 lanes at a time: loads that may end inside a vector, horizontal sums, exp and log.
// Rows need not be multiples of four: `left` is the number of floats from the pointer to the end of the row.

/** a·b + c; a single fused instruction in the relaxed-SIMD build. */
@inline
export function multiplyAdd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(c, f32x4.mul(a, b));
}

function loadTail(p: usize, left: i32): v128 {
  let v = v128.load32_zero(p);
  if (left > 1) v = f32x4.replace_lane(v, 1, load<f32>(p, 4));
  if (left > 2) v = f32x4.replace_lane(v, 2, load<f32>(p, 8));
  return v;
}

function storeTail(p: usize, v: v128, left: i32): void {
  store<f32>(p, f32x4.extract_lane(v, 0));
  if (left > 1) store<f32>(p, f32x4.extract_lane(v, 1), 4);
  if (left > 2) store<f32>(p, f32x4.extract_lane(v, 2), 8);
}

/** Up to four floats; lanes past the end of the row are 0. `left` ≥ 1. */
@inline
export function load4(p: usize, left: i32): v128 {
  return left >= 4 ? v128.load(p) : loadTail(p, left);
}

@inline
export function store4(p: usize, v: v128, left: i32): void {
  if (left >= 4) v128.store(p, v);
  else storeTail(p, v, left);
}

/** p[0..4) += v, within the row. */
@inline
export function add4(p: usize, v: v128, left: i32): void {
  store4(p, f32x4.add(load4(p, left), v), left);
}

/** `v` in the lanes before the end of the row, `other` after it. */
@inline
export function within(v: v128, other: v128, left: i32): v128 {
  return left >= 4 ? v : v128.bitselect(v, other, i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(left)));
}

@inline
export function sum4(v: v128): f32 {
  return f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}

@inline
export function max4(v: v128): f32 {
  return max(
    max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)),
    max(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)),
  );
}

/**
 * Where the constants of {@link exp4} lie: V8 broadcasts a float from memory in one instruction, but builds a constant vector
 * anew, in several, wherever it is used.
 */
let constants: usize = 0;

/** Bytes {@link setConstants} writes. */
export const CONSTANT_BYTES: usize = 64;

/** Writes the constants of {@link exp4} to `at`. */
export function setConstants(at: usize): void {
  constants = at;
  store<f32>(at, -87.3365); // least and greatest x with a normal eˣ
  store<f32>(at, 88.3762, 4);
  store<f32>(at, 1.44269504, 8); // 1 / ln 2
  store<f32>(at, 12582912, 12); // 1.5 · 2²³: adding it rounds to an integer, which then stands in the low bits
  store<f32>(at, 0.693359375, 16); // ln 2 in two parts
  store<f32>(at, -2.1219444e-4, 20);
  store<f32>(at, 1.98756915e-4, 24); // the polynomial, highest power first
  store<f32>(at, 1.3981999507e-3, 28);
  store<f32>(at, 8.3334519073e-3, 32);
  store<f32>(at, 4.1665795894e-2, 36);
  store<f32>(at, 1.6666665459e-1, 40);
  store<f32>(at, 5.0000001201e-1, 44);
  store<f32>(at, 1, 48);
}

/** eˣ to about 2 ulp (Cephes' polynomial after reduction by ln 2); clamped to the range of normal floats, NaN of any bits stays NaN. */
@inline
export function exp4(x: v128): v128 {
  const c = constants;
  x = f32x4.pmin(f32x4.pmax(x, v128.load_splat<f32>(c)), v128.load_splat<f32>(c, 4));
  const round = v128.load_splat<f32>(c, 12);
  const shifted = f32x4.add(f32x4.mul(x, v128.load_splat<f32>(c, 8)), round);
  const n = f32x4.sub(shifted, round);
  let r = f32x4.sub(x, f32x4.mul(n, v128.load_splat<f32>(c, 16)));
  r = f32x4.sub(r, f32x4.mul(n, v128.load_splat<f32>(c, 20)));
  let p = multiplyAdd(v128.load_splat<f32>(c, 24), r, v128.load_splat<f32>(c, 28));
  p = multiplyAdd(p, r, v128.load_splat<f32>(c, 32));
  p = multiplyAdd(p, r, v128.load_splat<f32>(c, 36));
  p = multiplyAdd(p, r, v128.load_splat<f32>(c, 40));
  p = multiplyAdd(p, r, v128.load_splat<f32>(c, 44));
  p = f32x4.add(multiplyAdd(p, f32x4.mul(r, r), r), v128.load_splat<f32>(c, 48));
  // p · 2ⁿ with 2ⁿ made of bits; a product, because an integer sum would make numbers of NaN
  return f32x4.mul(p, i32x4.add(v128.load_splat<f32>(c, 48), i32x4.shl(shifted, 23)));
}

/** eˣ of one number. */
export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}

/**
 * ln x of a normal positive float; infinity and NaN stay what they are. Written out because the standard library's keeps a table in linear
 * memory, which belongs to others here.
 */
export function log1(x: f32): f32 {
  if (!(x < Infinity)) return x;
  let bits = reinterpret<u32>(x);
  let exponent = <i32>(bits >> 23) - 127;
  let m = <f64>reinterpret<f32>((bits & 0x007fffff) | 0x3f800000); // [1, 2)
  if (m > 1.4142135623730951) {
    m *= 0.5;
    exponent++;
  }
  const t = (m - 1) / (m + 1);
  const s = t * t;
  const series = 1 + s * (1.0 / 3 + s * (1.0 / 5 + s * (1.0 / 7 + s * (1.0 / 9 + s * (1.0 / 11)))));
  return <f32>(2 * t * series + <f64>exponent * 0.6931471805599453);
}
