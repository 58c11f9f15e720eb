// Drawing one token per row of logits by inverting the cumulative distribution at a given uniform number.
import { log1, max4, sum4 } from './simd';
import { rowMax, shiftedExp } from './softmax';

/** Far below what float32 probabilities resolve, far above the e⁻⁸⁷ that stands for an impossible token. */
const LEAST: f64 = 8.673617379884035e-19; // 2⁻⁶⁰

/**
 * ids[n] = first token whose cumulative probability under softmax(scale · logits) exceeds uniforms[n], but at least 2⁻⁶⁰: a token
 * of probability 0 is never drawn. logProbs[n] is its log-probability. A row with NaN or +∞ among its logits has no distribution:
 * there the id is 0 and the log-probability NaN.
 */
export function sampleTokens(
  rows: i32,
  vocab: i32,
  logits: usize,
  scale: f32,
  uniforms: usize,
  ids: usize,
  logProbs: usize,
): void {
  const s = f32x4.splat(scale);
  for (let n = 0; n < rows; n++, logits += (<usize>vocab) << 2) {
    const top = rowMax(logits, vocab) * scale,
      shift = f32x4.splat(top);
    let total: f64 = 0;
    for (let j = 0; j < vocab; j += 4) total += <f64>sum4(shiftedExp(logits + ((<usize>j) << 2), shift, s, vocab - j));
    if (!(total < Infinity)) {
      store<i32>(ids + ((<usize>n) << 2), 0);
      store<f32>(logProbs + ((<usize>n) << 2), NaN);
      continue;
    }
    const threshold = max<f64>(<f64>load<f32>(uniforms + ((<usize>n) << 2)), LEAST) * total;
    let before: f64 = 0;
    for (let j = 0; j < vocab; j += 4) {
      const e = shiftedExp(logits + ((<usize>j) << 2), shift, s, vocab - j);
      const after = before + <f64>sum4(e); // the same additions as above, so the last group always passes
      if (after > threshold) {
        const id = j + lane(e, <f32>max<f64>(threshold - before, LEAST));
        store<i32>(ids + ((<usize>n) << 2), id);
        const chosen = load<f32>(logits + ((<usize>id) << 2)) * scale;
        store<f32>(logProbs + ((<usize>n) << 2), chosen - top - log1(<f32>total));
        break;
      }
      before = after;
    }
  }
}

/** The lane where the running sum passes `rest`; the largest one if rounding lets none pass. */
function lane(e: v128, rest: f32): i32 {
  let sum = f32x4.extract_lane(e, 0);
  if (sum > rest) return 0;
  sum += f32x4.extract_lane(e, 1);
  if (sum > rest) return 1;
  sum += f32x4.extract_lane(e, 2);
  if (sum > rest) return 2;
  const last = f32x4.extract_lane(e, 3);
  if (sum + last > rest) return 3;
  const largest = max4(e);
  if (f32x4.extract_lane(e, 0) == largest) return 0;
  if (f32x4.extract_lane(e, 1) == largest) return 1;
  return f32x4.extract_lane(e, 2) == largest ? 2 : 3;
}
