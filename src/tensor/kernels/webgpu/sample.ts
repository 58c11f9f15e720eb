/**
 * Drawing one token per row of logits by inverting the cumulative distribution at a given uniform number. Every lane has a run of
 * consecutive tokens; the first lane finds the run, then the token.
 */
import type { Kernels } from '../kernels';
import { softmaxSums } from './crossEntropy';
import { LANES, perRow, program, REDUCTIONS, ROW } from './program';
import type { Recorder } from './recorder';

const draw = program({
  name: 'sampleTokens',
  reads: { logits: 'f32', uniforms: 'f32' },
  writes: { ids: 'i32', logProbs: 'f32' },
  sizes: { rows: 'u32', vocab: 'u32', scale: 'f32' },
  declarations: `${REDUCTIONS}
var<workgroup> runs: array<f32, ${LANES}>;`,
  body: `${ROW}${softmaxSums('n.scale')}
  let length = (n.vocab + ${LANES - 1}u) / ${LANES}u;
  let base = n.logits + row * n.vocab;
  var own = 0.0;
  for (var j = lane * length; j < min(n.vocab, (lane + 1u) * length); j++) { own += exp(logits[base + j] * n.scale - top); }
  runs[lane] = own;
  workgroupBarrier();
  if (lane > 0u) { return; }
  var mass = 0.0;
  for (var run = 0u; run < ${LANES}u; run++) { mass += runs[run]; } // the same additions as below, so that some run passes
  let threshold = uniforms[n.uniforms + row] * mass;
  var before = 0.0;
  var id = 0u;
  for (var run = 0u; run < ${LANES}u; run++) {
    if (before + runs[run] > threshold) {
      var sum = 0.0;
      for (var j = run * length; j < min(n.vocab, (run + 1u) * length); j++) {
        let e = exp(logits[base + j] * n.scale - top);
        if (e > 0.0) { id = j; }
        sum += e;
        if (before + sum > threshold) { break; }
      }
      break;
    }
    before += runs[run];
  }
  ids[n.ids + row] = i32(id);
  logProbs[n.logProbs + row] = logits[base + id] * n.scale - top - log(total);`,
});

export const sampling = (r: Recorder): Pick<Kernels, 'sampleTokens'> => ({
  sampleTokens: (rows, vocab, logits, scale, uniforms, ids, logProbs) =>
    r.run(draw, perRow(rows), { logits, uniforms, ids, logProbs }, { rows, vocab, scale }),
});
