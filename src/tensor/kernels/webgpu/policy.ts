/** One token per row of GRPO's clipped surrogate with a k3 penalty and an entropy bonus, from logits [rows, vocab] to their gradient. */
import type { Kernels } from '../kernels';
import { softmaxSums, vocabulary } from './crossEntropy';
import { perRow, program, REDUCTIONS, ROW } from './program';
import type { Recorder } from './recorder';

const policy = program({
  name: 'policyBackward',
  reads: { targets: 'i32', advantages: 'f32', oldLogProbs: 'f32', refLogProbs: 'f32' },
  writes: { logits: 'f32', logProbs: 'f32', entropies: 'f32', kls: 'f32', clips: 'f32' },
  sizes: {
    ...{ rows: 'u32', vocab: 'u32', referenced: 'u32' },
    ...{ scale: 'f32', clip: 'f32', klCoef: 'f32', entropyCoef: 'f32', weight: 'f32' },
  },
  declarations: `${REDUCTIONS}
/** ∂/∂lp of −min(r·A, clip(r)·A), r = e^(lp − old); 0 where the clip is active. */
fn surrogateSlope(ratio: f32, advantage: f32) -> f32 {
  let clipped = select((ratio < 1.0 - n.clip), (ratio > 1.0 + n.clip), (advantage > 0.0));
  return select(-advantage * ratio, 0.0, clipped);
}`,
  body: `${ROW}
  let chosen = u32(targets[n.targets + row]);
  let logit = logits[n.logits + row * n.vocab + chosen];${softmaxSums('n.scale')}
  var weighted = 0.0;
  ${vocabulary('let t = logits[n.logits + at] * n.scale - top; weighted += exp(t) * t;')}
  let logTotal = log(total);
  let entropy = logTotal - sumOf(weighted, lane) / total;
  let logProb = logit * n.scale - top - logTotal;
  let advantage = advantages[n.advantages + row];
  var slope = surrogateSlope(exp(logProb - oldLogProbs[n.oldLogProbs + row]), advantage);
  let cut = advantage != 0.0 && slope == 0.0;
  var kl = 0.0;
  if (n.referenced == 1u) {
    let difference = refLogProbs[n.refLogProbs + row] - logProb;
    kl = exp(difference) - difference - 1.0;
    slope += n.klCoef * (1.0 - exp(difference));
  }
  if (lane == 0u) {
    logProbs[n.logProbs + row] = logProb;
    entropies[n.entropies + row] = entropy;
    kls[n.kls + row] = kl;
    clips[n.clips + row] = select(0.0, 1.0, cut);
  }
  storageBarrier();
  // ∂/∂logit_j = factor·(slope·(1[j = target] − π_j) + entropyCoef·π_j·(log π_j + H))
  let factor = n.weight * n.scale;
  ${vocabulary(`
    let logPi = logits[n.logits + at] * n.scale - top - logTotal;
    let pi = exp(logPi);
    let own = select(0.0, 1.0, j == chosen);
    logits[n.logits + at] = factor * (slope * (own - pi) + n.entropyCoef * pi * (logPi + entropy));
  `)}`,
});

export const policyLoss = (r: Recorder): Pick<Kernels, 'policyBackward'> => ({
  policyBackward(
    ...[rows, vocab, logits, targets, scale, advantages, oldLogProbs, refLogProbs, clip, klCoef, entropyCoef, weight, ...results]
  ) {
    const [logProbs, entropies, kls, clips] = results;
    r.run(
      policy,
      perRow(rows),
      { logits, targets, advantages, oldLogProbs, refLogProbs, logProbs, entropies, kls, clips },
      { rows, vocab, referenced: refLogProbs ? 1 : 0, scale, clip, klCoef, entropyCoef, weight },
    );
  },
});
