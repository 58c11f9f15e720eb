/**
 * Cross-entropy of rows of logits [rows, vocab] against target tokens; one workgroup per row. Logits are overwritten. A dot means tangent.
 */
import type { Kernels } from '../kernels';
import { LANES, perRow, program, REDUCTIONS, ROW } from './program';
import type { Recorder } from './recorder';

const sizes = { rows: 'u32', vocab: 'u32' } as const;

/** Over the row: `at` is a logit's place, `j` its token. */
export const vocabulary = (statements: string): string => `
  for (var j = lane; j < n.vocab; j += ${LANES}u) { let at = row * n.vocab + j; ${statements} }`;

/** `top` = the row's largest logit times `scale`, `total` = Σ e^(scale·logit − top). */
export const softmaxSums = (scale: string): string => `
  var most = -3.4e38;
  ${vocabulary('most = max(most, logits[n.logits + at]);')}
  let top = maxOf(most, lane) * ${scale};
  var sum = 0.0;
  ${vocabulary(`sum += exp(logits[n.logits + at] * ${scale} - top);`)}
  let total = sumOf(sum, lane);`;

/** `chosen`: the token of the row, read before any logit is overwritten. */
const TARGET = `
  let chosen = u32(targets[n.targets + row]);
  let logit = logits[n.logits + row * n.vocab + chosen];`;

const forward = program({
  name: 'crossEntropyForward',
  reads: { logits: 'f32', targets: 'i32' },
  writes: { logProbs: 'f32' },
  sizes: { ...sizes, scale: 'f32' },
  declarations: REDUCTIONS,
  body: `${ROW}${TARGET}${softmaxSums('n.scale')}
  if (lane == 0u) { logProbs[n.logProbs + row] = logit * n.scale - top - log(total); }`,
});

const backward = program({
  name: 'crossEntropyBackward',
  reads: { targets: 'i32', weights: 'f32' },
  writes: { logits: 'f32', logProbs: 'f32' },
  sizes,
  declarations: REDUCTIONS,
  body: `${ROW}${TARGET}${softmaxSums('1.0')}
  if (lane == 0u) { logProbs[n.logProbs + row] = logit - top - log(total); }
  storageBarrier();
  let weight = weights[n.weights + row];
  ${vocabulary(`
    let p = exp(logits[n.logits + at] - top) / total;
    logits[n.logits + at] = weight * (p - select(0.0, 1.0, j == chosen));
  `)}`,
});

/** `mean` = ⟨p, l̇⟩; the row's tangent is written. */
const MEAN = `
  var products = 0.0;
  ${vocabulary('products += exp(logits[n.logits + at] - top) * logitsDot[n.logitsDot + at];')}
  let mean = sumOf(products, lane) / total;
  if (lane == 0u) { tangents[n.tangents + row] = mean - logitsDot[n.logitsDot + row * n.vocab + chosen]; }`;

const tangent = program({
  name: 'crossEntropyTangent',
  reads: { logits: 'f32', logitsDot: 'f32', targets: 'i32' },
  writes: { tangents: 'f32' },
  sizes,
  declarations: REDUCTIONS,
  body: `${ROW}
  let chosen = u32(targets[n.targets + row]);${softmaxSums('1.0')}${MEAN}`,
});

const tangentBackward = program({
  name: 'crossEntropyTangentBackward',
  reads: { targets: 'i32', weights: 'f32' },
  writes: { logits: 'f32', logitsDot: 'f32', tangents: 'f32' },
  sizes,
  declarations: REDUCTIONS,
  body: `${ROW}
  let chosen = u32(targets[n.targets + row]);${softmaxSums('1.0')}${MEAN}
  storageBarrier();
  let weight = weights[n.weights + row];
  ${vocabulary(`
    let p = exp(logits[n.logits + at] - top) / total;
    logits[n.logits + at] = weight * (p - select(0.0, 1.0, j == chosen));
    logitsDot[n.logitsDot + at] = weight * p * (logitsDot[n.logitsDot + at] - mean);
  `)}`,
});

type CrossEntropy = 'crossEntropyForward' | 'crossEntropyBackward' | 'crossEntropyTangent' | 'crossEntropyTangentBackward';

export const crossEntropy = (r: Recorder): Pick<Kernels, CrossEntropy> => ({
  crossEntropyForward: (rows, vocab, logits, targets, scale, logProbs) =>
    r.run(forward, perRow(rows), { logits, targets, logProbs }, { rows, vocab, scale }),
  crossEntropyBackward: (rows, vocab, logits, targets, weights, logProbs) =>
    r.run(backward, perRow(rows), { logits, targets, weights, logProbs }, { rows, vocab }),
  crossEntropyTangent: (rows, vocab, logits, logitsDot, targets, tangents) =>
    r.run(tangent, perRow(rows), { logits, logitsDot, targets, tangents }, { rows, vocab }),
  crossEntropyTangentBackward: (rows, vocab, logits, logitsDot, targets, weights, tangents) =>
    r.run(tangentBackward, perRow(rows), { logits, logitsDot, targets, weights, tangents }, { rows, vocab }),
});
