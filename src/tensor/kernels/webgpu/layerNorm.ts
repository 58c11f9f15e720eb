/**
 * Layer norm over rows of `width`: x̂ = (x − mean)·r, r = 1/√(var + ε), y = γ·x̂ + β; one workgroup per row. Without `centre`
 * it is the root-mean-square norm: the mean counts as 0. Without β its pointers are 0. A dot on a name means tangent.
 */
import type { Kernels } from '../kernels';
import { matrix, PARTS, perColumns, sumRows } from './matrix';
import { LANES, perRow, program, REDUCTIONS, ROW } from './program';
import type { Recorder } from './recorder';

/** `centre`: 1, or 0 for the root-mean-square norm. */
const sizes = { rows: 'u32', width: 'u32', centre: 'f32' } as const;

/** Over the elements of the row: `at` is an element's place in a [rows, width] operand, `j` its column. */
const columns = (statements: string): string => `
  for (var j = lane; j < n.width; j += ${LANES}u) { let at = row * n.width + j; ${statements} }`;

const forward = program({
  name: 'layerNormForward',
  reads: { x: 'f32', gamma: 'f32', beta: 'f32' },
  writes: { xHat: 'f32', r: 'f32', y: 'f32' },
  sizes: { ...sizes, eps: 'f32', shifted: 'u32' },
  declarations: REDUCTIONS,
  body: `${ROW}
  let width = f32(n.width);
  var sum = 0.0;
  ${columns('sum += x[n.x + at];')}
  let mean = n.centre * sumOf(sum, lane) / width;
  var squares = 0.0;
  ${columns('let d = x[n.x + at] - mean; squares += d * d;')}
  let scale = 1.0 / sqrt(sumOf(squares, lane) / width + n.eps);
  if (lane == 0u) { r[n.r + row] = scale; }
  ${columns(`
    let h = (x[n.x + at] - mean) * scale;
    xHat[n.xHat + at] = h;
    y[n.y + at] = h * gamma[n.gamma + j] + select(0.0, beta[n.beta + j], n.shifted == 1u);
  `)}`,
});

const tangent = program({
  name: 'layerNormTangent',
  reads: { xDot: 'f32', xHat: 'f32', r: 'f32', gamma: 'f32', gammaDot: 'f32', betaDot: 'f32' },
  writes: { xHatDot: 'f32', rDot: 'f32', yDot: 'f32' },
  sizes: { ...sizes, shifted: 'u32' },
  declarations: REDUCTIONS,
  body: `${ROW}
  var sum = 0.0;
  var products = 0.0;
  ${columns('sum += xDot[n.xDot + at]; products += xDot[n.xDot + at] * xHat[n.xHat + at];')}
  let mean = n.centre * sumOf(sum, lane) / f32(n.width);
  let along = sumOf(products, lane) / f32(n.width);
  let scale = r[n.r + row];
  if (lane == 0u) { rDot[n.rDot + row] = -scale * scale * along; }
  ${columns(`
    let h = xHat[n.xHat + at];
    let hDot = scale * (xDot[n.xDot + at] - mean - h * along);
    xHatDot[n.xHatDot + at] = hDot;
    yDot[n.yDot + at] = hDot * gamma[n.gamma + j] + h * gammaDot[n.gammaDot + j] +
      select(0.0, betaDot[n.betaDot + j], n.shifted == 1u);
  `)}`,
});

const backward = program({
  name: 'layerNormBackward',
  reads: { dy: 'f32', xHat: 'f32', r: 'f32', gamma: 'f32' },
  writes: { dx: 'f32' },
  sizes,
  declarations: REDUCTIONS,
  body: `${ROW}
  var sum = 0.0;
  var products = 0.0;
  ${columns('let c = dy[n.dy + at] * gamma[n.gamma + j]; sum += c; products += c * xHat[n.xHat + at];')}
  let m1 = n.centre * sumOf(sum, lane) / f32(n.width);
  let m2 = sumOf(products, lane) / f32(n.width);
  let scale = r[n.r + row];
  ${columns('dx[n.dx + at] += scale * (dy[n.dy + at] * gamma[n.gamma + j] - m1 - xHat[n.xHat + at] * m2);')}`,
});

const GAMMA = { to: 'dGamma', term: 'dy[n.dy + row * n.columns + j] * xHat[n.xHat + row * n.columns + j]' };
const columnsOf = { rows: 'u32', columns: 'u32' } as const;

const gammas = program({
  name: 'layerNormBackward, γ',
  reads: { dy: 'f32', xHat: 'f32' },
  writes: { dGamma: 'f32' },
  sizes: columnsOf,
  declarations: PARTS,
  body: sumRows([GAMMA]),
});

const tangentBackward = program({
  name: 'layerNormTangentBackward',
  reads: { dy: 'f32', dyDot: 'f32', xHat: 'f32', xHatDot: 'f32', r: 'f32', rDot: 'f32', gamma: 'f32', gammaDot: 'f32' },
  writes: { dx: 'f32', dxDot: 'f32' },
  sizes,
  declarations: REDUCTIONS,
  body: `${ROW}
  let width = f32(n.width);
  var s1 = 0.0;
  var s2 = 0.0;
  var t1 = 0.0;
  var t2 = 0.0;
  ${columns(`
    let d = dy[n.dy + at];
    let h = xHat[n.xHat + at];
    let g = gamma[n.gamma + j];
    let c = d * g;
    let cDot = dyDot[n.dyDot + at] * g + d * gammaDot[n.gammaDot + j];
    s1 += c;
    s2 += c * h;
    t1 += cDot;
    t2 += cDot * h + c * xHatDot[n.xHatDot + at];
  `)}
  let m1 = n.centre * sumOf(s1, lane) / width;
  let m2 = sumOf(s2, lane) / width;
  let n1 = n.centre * sumOf(t1, lane) / width;
  let n2 = sumOf(t2, lane) / width;
  let scale = r[n.r + row];
  let scaleDot = rDot[n.rDot + row];
  ${columns(`
    let d = dy[n.dy + at];
    let h = xHat[n.xHat + at];
    let g = gamma[n.gamma + j];
    let cDot = dyDot[n.dyDot + at] * g + d * gammaDot[n.gammaDot + j];
    let centred = d * g - m1 - h * m2;
    let centredDot = cDot - n1 - xHatDot[n.xHatDot + at] * m2 - h * n2;
    dx[n.dx + at] += scale * centred;
    dxDot[n.dxDot + at] += scaleDot * centred + scale * centredDot;
  `)}`,
});

const tangentGammas = program({
  name: 'layerNormTangentBackward, γ',
  reads: { dy: 'f32', dyDot: 'f32', xHat: 'f32', xHatDot: 'f32' },
  writes: { dGamma: 'f32' },
  sizes: columnsOf,
  declarations: PARTS,
  body: sumRows([
    {
      to: 'dGamma',
      term:
        'dyDot[n.dyDot + row * n.columns + j] * xHat[n.xHat + row * n.columns + j] + ' +
        'dy[n.dy + row * n.columns + j] * xHatDot[n.xHatDot + row * n.columns + j]',
    },
  ]),
});

type LayerNorm = 'layerNormForward' | 'layerNormTangent' | 'layerNormBackward' | 'layerNormTangentBackward';

const one = (condition: boolean | number): number => (condition ? 1 : 0);

export const layerNorm = (r: Recorder): Pick<Kernels, LayerNorm> => ({
  layerNormForward: (rows, width, eps, centre, x, gamma, beta, xHat, root, y) =>
    r.run(
      forward,
      perRow(rows),
      { x, gamma, beta, xHat, r: root, y },
      { rows, width, eps, centre: one(centre), shifted: one(beta) },
    ),
  layerNormTangent: (rows, width, centre, xDot, xHat, root, gamma, gammaDot, betaDot, xHatDot, rDot, yDot) =>
    r.run(
      tangent,
      perRow(rows),
      { xDot, xHat, r: root, gamma, gammaDot, betaDot, xHatDot, rDot, yDot },
      { rows, width, centre: one(centre), shifted: one(betaDot) },
    ),
  layerNormBackward(rows, width, centre, dy, xHat, root, gamma, dx, dGamma, dBeta) {
    r.run(backward, perRow(rows), { dy, xHat, r: root, gamma, dx }, { rows, width, centre: one(centre) });
    if (dGamma) r.run(gammas, perColumns(width), { dy, xHat, dGamma }, { rows, columns: width });
    if (dBeta) matrix(r).columnSum(rows, width, width, dy, dBeta);
  },
  layerNormTangentBackward(
    ...[rows, width, centre, dy, dyDot, xHat, xHatDot, root, rDot, gamma, gammaDot, dx, dxDot, dGamma, dBeta]
  ) {
    const reads = { dy, dyDot, xHat, xHatDot };
    const sizes = { rows, width, centre: one(centre) };
    r.run(tangentBackward, perRow(rows), { ...reads, r: root, rDot, gamma, gammaDot, dx, dxDot }, sizes);
    r.run(tangentGammas, perColumns(width), { ...reads, dGamma }, { rows, columns: width });
    if (dBeta) matrix(r).columnSum(rows, width, width, dyDot, dBeta);
  },
});
