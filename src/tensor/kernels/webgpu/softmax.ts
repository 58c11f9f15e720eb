/** Causal softmax of rows of scores [batch · heads, length, stride] and its derivatives, in place; one workgroup per row. */
import { LANES, program, REDUCTIONS, ROW } from './program';

const sizes = { rows: 'u32', length: 'u32', stride: 'u32', scale: 'f32' } as const;

/** First statements: row i of the square has i + 1 columns. */
const CAUSAL = `${ROW}
  let base = row * n.stride;
  let count = row % n.length + 1u;`;

const columns = (statements: string): string => `
  for (var j = lane; j < count; j += ${LANES}u) { let at = base + j; ${statements} }`;

/** Zeros after the row's end, which the products that follow read. */
const zeros = (...names: string[]): string => `
  for (var j = count + lane; j < n.stride; j += ${LANES}u) { ${names.map((x) => `${x}[n.${x} + base + j] = 0.0;`).join(' ')} }`;

/** p ← softmax(scale · p). */
export const softmax = program({
  name: 'softmax',
  reads: {},
  writes: { p: 'f32' },
  sizes,
  declarations: REDUCTIONS,
  body: `${CAUSAL}
  var most = -3.4e38;
  ${columns('most = max(most, p[n.p + at]);')}
  let shift = maxOf(most, lane);
  var sum = 0.0;
  ${columns('sum += exp((p[n.p + at] - shift) * n.scale);')}
  let total = sumOf(sum, lane);
  ${columns('p[n.p + at] = exp((p[n.p + at] - shift) * n.scale) / total;')}
  ${zeros('p')}`,
});

/** d ← scale · p∘(d − ⟨p, d⟩): the tangent, and, as the Jacobian is symmetric, the way back. */
export const softmaxDerivative = program({
  name: 'softmaxDerivative',
  reads: { p: 'f32' },
  writes: { d: 'f32' },
  sizes,
  declarations: REDUCTIONS,
  body: `${CAUSAL}
  var products = 0.0;
  ${columns('products += p[n.p + at] * d[n.d + at];')}
  let mean = sumOf(products, lane);
  ${columns('d[n.d + at] = n.scale * p[n.p + at] * (d[n.d + at] - mean);')}
  ${zeros('d')}`,
});

/** The tangent of the way back: dṠ = scale·(Ṗ∘(dP − s) + P∘(dṖ − t)), s = ⟨P, dP⟩, t = ⟨Ṗ, dP⟩ + ⟨P, dṖ⟩; and the way back itself. */
export const softmaxTangentBackward = program({
  name: 'softmaxTangentBackward',
  reads: { p: 'f32', pDot: 'f32' },
  writes: { d: 'f32', dDot: 'f32' },
  sizes,
  declarations: REDUCTIONS,
  body: `${CAUSAL}
  var sum = 0.0;
  var sumDot = 0.0;
  ${columns(`
    sum += p[n.p + at] * d[n.d + at];
    sumDot += pDot[n.pDot + at] * d[n.d + at] + p[n.p + at] * dDot[n.dDot + at];
  `)}
  let s = sumOf(sum, lane);
  let t = sumOf(sumDot, lane);
  ${columns(`
    let centred = d[n.d + at] - s;
    dDot[n.dDot + at] = n.scale * (pDot[n.pDot + at] * centred + p[n.p + at] * (dDot[n.dDot + at] - t));
    d[n.d + at] = n.scale * p[n.p + at] * centred;
  `)}
  ${zeros('d', 'dDot')}`,
});
