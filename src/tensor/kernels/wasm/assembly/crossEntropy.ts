// Cross-entropy of rows of logits [rows, vocab] against target tokens; logits are overwritten. A dot on a name means tangent.
import { load4, log1, multiplyAdd, store4, sum4 } from './simd';
import { rowMax, shiftedExp } from './softmax';

/** x ← e^(x − max x); returns Σ. */
function expRow(x: usize, n: i32): f32 {
  const shift = f32x4.splat(rowMax(x, n)),
    one = f32x4.splat(1);
  let sum = f32x4.splat(0);
  for (let j = 0; j < n; j += 4) {
    const p = x + ((<usize>j) << 2),
      e = shiftedExp(p, shift, one, n - j);
    store4(p, e, n - j);
    sum = f32x4.add(sum, e);
  }
  return sum4(sum);
}

/** x ← c·x, then x[target] −= d. */
function scaleRow(x: usize, n: i32, c: f32, target: i32, d: f32): void {
  const factor = f32x4.splat(c);
  for (let j = 0; j < n; j += 4) store4(x + ((<usize>j) << 2), f32x4.mul(factor, load4(x + ((<usize>j) << 2), n - j)), n - j);
  const at = x + ((<usize>target) << 2);
  store<f32>(at, load<f32>(at) - d);
}

/** ⟨x, y⟩ */
function dotRow(x: usize, y: usize, n: i32): f32 {
  let sum = f32x4.splat(0);
  for (let j = 0; j < n; j += 4) sum = multiplyAdd(load4(x + ((<usize>j) << 2), n - j), load4(y + ((<usize>j) << 2), n - j), sum);
  return sum4(sum);
}

/** logProbs[n] = log softmax(scale · logits[n])[targets[n]]; leaves the logits alone. */
export function crossEntropyForward(rows: i32, vocab: i32, logits: usize, targets: usize, scale: f32, logProbs: usize): void {
  const s = f32x4.splat(scale);
  for (let n = 0; n < rows; n++, logits += (<usize>vocab) << 2) {
    const top = rowMax(logits, vocab) * scale,
      shift = f32x4.splat(top);
    let sum = f32x4.splat(0);
    for (let j = 0; j < vocab; j += 4) sum = f32x4.add(sum, shiftedExp(logits + ((<usize>j) << 2), shift, s, vocab - j));
    const chosen = load<f32>(logits + ((<usize>load<i32>(targets + ((<usize>n) << 2))) << 2)) * scale;
    store<f32>(logProbs + ((<usize>n) << 2), chosen - top - log1(sum4(sum)));
  }
}

/** logits[n] ← weights[n]·(softmax − one-hot), logProbs as {@link crossEntropyForward}. */
export function crossEntropyBackward(
  rows: i32,
  vocab: i32,
  logits: usize,
  targets: usize,
  weights: usize,
  logProbs: usize,
): void {
  for (let n = 0; n < rows; n++, logits += (<usize>vocab) << 2) {
    const at = (<usize>n) << 2,
      target = load<i32>(targets + at),
      c = load<f32>(weights + at);
    const chosen = load<f32>(logits + ((<usize>target) << 2)),
      top = rowMax(logits, vocab);
    const sum = expRow(logits, vocab);
    store<f32>(logProbs + at, chosen - top - log1(sum));
    scaleRow(logits, vocab, c / sum, target, c);
  }
}

/** tangents[n] = derivative of row n's cross-entropy along the logits' tangent: ⟨p, l̇⟩ − l̇[target]. */
export function crossEntropyTangent(
  rows: i32,
  vocab: i32,
  logits: usize,
  logitsDot: usize,
  targets: usize,
  tangents: usize,
): void {
  for (let n = 0; n < rows; n++) {
    const at = (<usize>n) << 2,
      target = (<usize>load<i32>(targets + at)) << 2;
    const sum = expRow(logits, vocab);
    store<f32>(tangents + at, dotRow(logits, logitsDot, vocab) / sum - load<f32>(logitsDot + target));
    logits += (<usize>vocab) << 2;
    logitsDot += (<usize>vocab) << 2;
  }
}

/** Also logits[n] ← w·(p − one-hot) and logitsDot[n] ← its tangent w·p∘(l̇ − ⟨p, l̇⟩), w = weights[n]. */
export function crossEntropyTangentBackward(
  rows: i32,
  vocab: i32,
  logits: usize,
  logitsDot: usize,
  targets: usize,
  weights: usize,
  tangents: usize,
): void {
  for (let n = 0; n < rows; n++) {
    const at = (<usize>n) << 2,
      target = load<i32>(targets + at),
      w = load<f32>(weights + at);
    const sum = expRow(logits, vocab);
    const mean = dotRow(logits, logitsDot, vocab) / sum;
    store<f32>(tangents + at, mean - load<f32>(logitsDot + ((<usize>target) << 2)));
    const factor = f32x4.splat(w / sum),
      m = f32x4.splat(mean);
    for (let j = 0; j < vocab; j += 4) {
      const o = (<usize>j) << 2,
        p = f32x4.mul(factor, load4(logits + o, vocab - j));
      store4(logitsDot + o, f32x4.mul(p, f32x4.sub(load4(logitsDot + o, vocab - j), m)), vocab - j);
    }
    scaleRow(logits, vocab, w / sum, target, w);
    logits += (<usize>vocab) << 2;
    logitsDot += (<usize>vocab) << 2;
  }
}
