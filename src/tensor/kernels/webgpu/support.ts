/** Which tokens may be written: bit j mod 32 of word j / 32 of a row of bits is token j. */
import type { Kernels } from '../kernels';
import { vocabulary } from './crossEntropy';
import { LANES, perRow, program, REDUCTIONS, ROW } from './program';
import type { Recorder } from './recorder';

const apply = program({
  name: 'applySupport',
  reads: { bits: 'i32' },
  writes: { logits: 'f32' },
  sizes: { rows: 'u32', vocab: 'u32', stride: 'u32', value: 'f32' },
  body: `${ROW}
  let own = n.bits + row * n.stride;
  ${vocabulary('if (((bits[own + j / 32u] >> (j % 32u)) & 1) == 0) { logits[n.logits + at] = n.value; }')}`,
});

const minP = program({
  name: 'minPSupport',
  reads: { logits: 'f32' },
  writes: { bits: 'i32' },
  sizes: { rows: 'u32', vocab: 'u32', logMinP: 'f32' },
  declarations: REDUCTIONS,
  body: `${ROW}
  var most = -3.4e38;
  ${vocabulary('most = max(most, logits[n.logits + at]);')}
  let least = maxOf(most, lane) + n.logMinP;
  let words = (n.vocab + 31u) / 32u;
  for (var word = lane; word < words; word += ${LANES}u) {
    var found = 0;
    for (var j = 32u * word; j < min(n.vocab, 32u * word + 32u); j++) {
      if (logits[n.logits + row * n.vocab + j] >= least) { found |= 1 << (j % 32u); }
    }
    bits[n.bits + row * words + word] = found;
  }`,
});

export const support = (r: Recorder): Pick<Kernels, 'applySupport' | 'minPSupport'> => ({
  applySupport: (rows, vocab, logits, bits, stride, value) =>
    r.run(apply, perRow(rows), { logits, bits }, { rows, vocab, stride, value }),
  minPSupport: (rows, vocab, logits, logMinP, bits) => r.run(minP, perRow(rows), { logits, bits }, { rows, vocab, logMinP }),
});
