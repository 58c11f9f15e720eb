// Token plus position embedding; without positions `wpe` is 0.
import { add4, load4, store4 } from './simd';

/**
 * h[n] = wte[ids[n]] + wpe[first + n mod length], for `rows` rows of `width`. Linear in the tables, so tangents go through it
 * too.
 */
export function embeddingForward(
  rows: i32,
  length: i32,
  first: i32,
  width: i32,
  wte: usize,
  wpe: usize,
  ids: usize,
  h: usize,
): void {
  for (let n = 0; n < rows; n++) {
    const token = wte + ((<usize>(load<i32>(ids + ((<usize>n) << 2)) * width)) << 2);
    const position = wpe + ((<usize>((first + (n % length)) * width)) << 2);
    for (let j = 0; j < width; j += 4) {
      const at = (<usize>j) << 2, t = load4(token + at, width - j);
      store4(h + at, wpe ? f32x4.add(t, load4(position + at, width - j)) : t, width - j);
    }
    h += (<usize>width) << 2;
  }
}

/** wte[ids[n]] += dh[n], wpe[n mod length] += dh[n]. */
export function embeddingBackward(rows: i32, length: i32, width: i32, dh: usize, ids: usize, wte: usize, wpe: usize): void {
  for (let n = 0; n < rows; n++) {
    const token = wte + ((<usize>(load<i32>(ids + ((<usize>n) << 2)) * width)) << 2);
    const position = wpe + ((<usize>((n % length) * width)) << 2);
    for (let j = 0; j < width; j += 4) {
      const at = (<usize>j) << 2;
      const d = load4(dh + at, width - j);
      add4(token + at, d, width - j);
      if (wpe) add4(position + at, d, width - j);
    }
    dh += (<usize>width) << 2;
  }
}
