// Rotary position embedding (RoFormer, arXiv 2104.09864): dimension j of a head is rotated together with dimension j + dh/2.
import { load4, store4 } from './simd';

/**
 * Rotates the first `heads` heads, dh wide, of every row of x in place by the angles of its position, the row's number modulo `length`:
 * `cos` and `sin` are [length, dh/2]. Rows are `row` floats apart. `back` turns the other way, which is the transpose.
 */
export function rotate(
  rows: i32, length: i32, heads: i32, dh: i32, row: i32, cos: usize, sin: usize, back: bool, x: usize,
): void {
  const pairs = dh >> 1, half = <usize>pairs << 2, sign = f32x4.splat(back ? -1 : 1);
  for (let n = 0; n < rows; n++) {
    const c = cos + <usize>(n % length) * half, s = sin + <usize>(n % length) * half;
    for (let h = 0; h < heads; h++) {
      const head = x + (<usize>(n * row + h * dh) << 2);
      for (let j = 0; j < pairs; j += 4) {
        const at = <usize>j << 2, left = pairs - j;
        const a = load4(head + at, left), b = load4(head + half + at, left);
        const cosine = load4(c + at, left), sine = f32x4.mul(sign, load4(s + at, left));
        store4(head + at, f32x4.sub(f32x4.mul(a, cosine), f32x4.mul(b, sine)), left);
        store4(head + half + at, f32x4.add(f32x4.mul(b, cosine), f32x4.mul(a, sine)), left);
      }
    }
  }
}
