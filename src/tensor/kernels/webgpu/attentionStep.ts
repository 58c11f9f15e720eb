/**
 * Attention of one new position per example over cached ones: one workgroup per (example, head). Caches are
 * [batch, capacity, keyWidth].
 */
import type { Kernels } from '../kernels';
import { each, LANES, perElement, program, REDUCTIONS } from './program';
import type { Recorder } from './recorder';

const cache = program({
  name: 'cacheKeysValues',
  reads: { qkv: 'f32' },
  writes: { keys: 'f32', values: 'f32' },
  sizes: { count: 'u32', length: 'u32', width: 'u32', keyWidth: 'u32', capacity: 'u32', first: 'u32' },
  body: each(
    'count',
    `
    let row = i / n.keyWidth;
    let j = i % n.keyWidth;
    let to = ((row / n.length) * n.capacity + n.first + row % n.length) * n.keyWidth + j;
    let key = n.qkv + row * (n.width + 2u * n.keyWidth) + n.width + j;
    keys[n.keys + to] = qkv[key];
    values[n.values + to] = qkv[key + n.keyWidth];
  `,
  ),
});

/** As many positions at a time as there are lanes: their softmax goes on from that of those before, rescaled where the maximum rises. */
const step = program({
  name: 'attentionStep',
  reads: { qkv: 'f32', keys: 'f32', values: 'f32' },
  writes: { y: 'f32' },
  sizes: { heads: 'u32', keyHeads: 'u32', dh: 'u32', capacity: 'u32', count: 'u32', scale: 'f32' },
  declarations: `${REDUCTIONS}
var<workgroup> weights: array<f32, ${LANES}>;`,
  body: `
  let example = group.x / n.heads;
  let head = group.x % n.heads;
  let keyWidth = n.keyHeads * n.dh;
  let query = n.qkv + example * (n.heads + 2u * n.keyHeads) * n.dh + head * n.dh;
  let cached = example * n.capacity * keyWidth + head / (n.heads / n.keyHeads) * n.dh;
  let into = n.y + (example * n.heads + head) * n.dh;
  var most = -3.4e38;
  var total = 0.0;
  for (var t0 = 0u; t0 < n.count; t0 += ${LANES}u) {
    let t = t0 + lane;
    var score = -3.4e38;
    if (t < n.count) {
      score = 0.0;
      for (var j = 0u; j < n.dh; j++) { score += qkv[query + j] * keys[n.keys + cached + t * keyWidth + j]; }
      score *= n.scale;
    }
    let top = max(most, maxOf(score, lane));
    let before = exp(max(most - top, -100.0));
    let weight = select(0.0, exp(max(score - top, -100.0)), t < n.count);
    weights[lane] = weight;
    total = total * before + sumOf(weight, lane);
    most = top;
    for (var j = lane; j < n.dh; j += ${LANES}u) {
      var sum = select(y[into + j] * before, 0.0, t0 == 0u);
      for (var s = 0u; s < min(${LANES}u, n.count - t0); s++) {
        sum += weights[s] * values[n.values + cached + (t0 + s) * keyWidth + j];
      }
      y[into + j] = sum;
    }
    workgroupBarrier();
  }
  for (var j = lane; j < n.dh; j += ${LANES}u) { y[into + j] /= total; }`,
});

export const attentionStep = (r: Recorder): Pick<Kernels, 'cacheKeysValues' | 'attentionStep'> => ({
  cacheKeysValues: (batch, length, width, keyWidth, qkv, keys, values, capacity, first) => {
    const count = batch * length * keyWidth;
    r.run(cache, perElement(count), { qkv, keys, values }, { count, length, width, keyWidth, capacity, first });
  },
  attentionStep: (batch, heads, keyHeads, width, qkv, keys, values, capacity, count, y) => {
    const dh = width / heads;
    const sizes = { heads, keyHeads, dh, capacity, count, scale: 1 / Math.sqrt(dh) };
    r.run(step, [batch * heads, 1, 1], { qkv, keys, values, y }, sizes);
  },
});
