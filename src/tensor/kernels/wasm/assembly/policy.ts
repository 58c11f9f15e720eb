// One token per row of GRPO's clipped surrogate with a k3 penalty and an entropy bonus, from logits [rows, vocab] to their
// gradient.
import { exp1, exp4, load4, log1, multiplyAdd, store4, sum4, within } from './simd';
import { rowMax } from './softmax';

/** ∂/∂lp of −min(r·A, clip(r)·A), r = e^(lp − old); 0 where the clip is active. */
@inline
function surrogateSlope(ratio: f32, advantage: f32, clip: f32): f32 {
  const clipped = advantage > 0 ? ratio > 1 + clip : ratio < 1 - clip;
  return clipped ? 0 : -advantage * ratio;
}

/**
 * logits ← weight · ∂/∂logits [−min(r·A, clip(r)·A) + klCoef·k3 − entropyCoef·H] with π = softmax(scale · logits).
 * Writes per row: log π(target), entropy H, k3 (0 without a reference) and 1 where the clip cuts the gradient.
 */
export function policyBackward(
  rows: i32, vocab: i32, logits: usize, targets: usize, scale: f32, advantages: usize, oldLogProbs: usize, refLogProbs: usize,
  clip: f32, klCoef: f32, entropyCoef: f32, weight: f32, logProbs: usize, entropies: usize, kls: usize, clips: usize,
): void {
  const s = f32x4.splat(scale), zero = f32x4.splat(0);
  for (let n = 0; n < rows; n++, logits += <usize>vocab << 2) {
    const at = <usize>n << 2, target = logits + (<usize>load<i32>(targets + at) << 2);
    const shift = f32x4.splat(rowMax(logits, vocab) * scale);
    let sum = zero, weighted = zero;
    for (let j = 0; j < vocab; j += 4) {
      const p = logits + (<usize>j << 2), left = vocab - j;
      const t = f32x4.sub(f32x4.mul(load4(p, left), s), shift);
      const e = within(exp4(t), zero, left);
      store4(p, t, left); // log π up to a constant
      sum = f32x4.add(sum, e);
      weighted = multiplyAdd(e, t, weighted);
    }
    const total = sum4(sum), logTotal = log1(total), entropy = logTotal - sum4(weighted) / total;
    const logProb = load<f32>(target) - logTotal;
    const advantage = load<f32>(advantages + at), ratio = exp1(logProb - load<f32>(oldLogProbs + at));
    let slope = surrogateSlope(ratio, advantage, clip), kl: f32 = 0;
    const cut = advantage != 0 && slope == 0;
    if (refLogProbs) {
      const difference = load<f32>(refLogProbs + at) - logProb, e = exp1(difference);
      kl = e - difference - 1;
      slope += klCoef * (1 - e);
    }
    store<f32>(logProbs + at, logProb);
    store<f32>(entropies + at, entropy);
    store<f32>(kls + at, kl);
    store<f32>(clips + at, cut ? 1 : 0);
    const factor = weight * scale; // ∂/∂logit_j = factor·(slope·(1[j = target] − π_j) + entropyCoef·π_j·(log π_j + H))
    const offset = f32x4.splat(entropyCoef * (entropy - logTotal) - slope);
    const coef = f32x4.splat(entropyCoef), f = f32x4.splat(factor);
    const l = f32x4.splat(logTotal);
    for (let j = 0; j < vocab; j += 4) {
      const p = logits + (<usize>j << 2), t = load4(p, vocab - j);
      store4(p, f32x4.mul(f, f32x4.mul(exp4(f32x4.sub(t, l)), multiplyAdd(coef, t, offset))), vocab - j);
    }
    store<f32>(target, load<f32>(target) + factor * slope);
  }
}
