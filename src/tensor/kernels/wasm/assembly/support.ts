// Which tokens may be written: bit j mod 32 of word j / 32 of a row of bits is token j.
import { rowMax } from './softmax';

/**
 * What stands at tokens that may not be written becomes `value`.
 * @param stride - words from one row's bits to the next; 0 where all rows have the same
 */
export function applySupport(rows: i32, vocab: i32, logits: usize, bits: usize, stride: i32, value: f32): void {
  for (let n = 0; n < rows; n++, logits += <usize>vocab << 2, bits += <usize>stride << 2) {
    for (let from = 0; from < vocab; from += 32) {
      const word = load<u32>(bits + (<usize>from >> 3)), count = min(32, vocab - from);
      if (word == 0xffffffff) continue;
      for (let j = 0; j < count; j++) if (((word >> j) & 1) == 0) store<f32>(logits + (<usize>(from + j) << 2), value);
    }
  }
}

/**
 * bits[n] = tokens whose logit is at least the row's largest + logMinP: whose probability is at least that share of the likeliest one's.
 */
export function minPSupport(rows: i32, vocab: i32, logits: usize, logMinP: f32, bits: usize): void {
  for (let n = 0; n < rows; n++, logits += <usize>vocab << 2) {
    const least = rowMax(logits, vocab) + logMinP;
    for (let from = 0; from < vocab; from += 32, bits += 4) {
      const count = min(32, vocab - from);
      let word: u32 = 0;
      for (let j = 0; j < count; j++) if (load<f32>(logits + (<usize>(from + j) << 2)) >= least) word |= 1 << j;
      store<u32>(bits, word);
    }
  }
}
