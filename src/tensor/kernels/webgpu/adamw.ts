/** adamw's update and its adjoint over n numbers, each in one pass; the formulas of learn/adamw.ts. */
import type { Kernels } from '../kernels';
import { each, perElement, program } from './program';
import type { Recorder } from './recorder';

const f = 'f32' as const;

/** a/b, and 0 where b is 0. */
const QUOTIENT = 'fn quotient(a: f32, b: f32) -> f32 { return select(a / b, 0.0, b == 0.0); }';

const update = program({
  name: 'adamwUpdate',
  reads: { p: f, m: f, v: f, g: f },
  writes: { pOut: f, mOut: f, vOut: f },
  declarations: QUOTIENT,
  sizes: { count: 'u32', b1: f, m1: f, b2: f, v1: f, perC2: f, epsRoot: f, eps: f, rate: f, keep: f },
  body: each(
    'count',
    `
    let d = g[n.g + i];
    let mean = m[n.m + i] * n.b1 + d * n.m1;
    let square = v[n.v + i] * n.b2 + d * d * n.v1;
    mOut[n.mOut + i] = mean;
    vOut[n.vOut + i] = square;
    pOut[n.pOut + i] = p[n.p + i] * n.keep - quotient(mean, sqrt(square * n.perC2 + n.epsRoot) + n.eps) * n.rate;
  `,
  ),
});

const adjoint = program({
  name: 'adamwAdjoint',
  reads: { m: f, v: f, g: f, pBar: f, mBar: f, vBar: f },
  writes: { gOut: f, pOut: f, mOut: f, vOut: f },
  sizes: {
    ...{ count: 'u32', b1: f, m1: f, b2: f, v1: f, v2: f, perC2: f, epsRoot: f, eps: f },
    ...{ rate: f, keep: f, half: f, cross: f, gRate: f },
  },
  declarations: QUOTIENT,
  body: each(
    'count',
    `
    let bar = pBar[n.pBar + i];
    let barM = mBar[n.mBar + i];
    let barV = vBar[n.vBar + i];
    let before = m[n.m + i];
    let d = g[n.g + i];
    let kept = v[n.v + i] * n.b2;
    let s = sqrt((kept + d * d * n.v1) * n.perC2 + n.epsRoot);
    let divisor = s + n.eps;
    let root = divisor * s;
    let mean = barM - quotient(bar * n.rate, divisor);
    let square = barV + quotient(bar * (before * n.b1 + d * n.m1) * n.half, root * divisor);
    let rest = (kept - d * before * n.cross) * n.perC2 + n.epsRoot;
    let slope = quotient(quotient(rest, root) + quotient(n.eps, divisor), divisor);
    gOut[n.gOut + i] = barM * n.m1 + d * barV * n.v2 - bar * n.gRate * slope;
    pOut[n.pOut + i] = bar * n.keep;
    mOut[n.mOut + i] = mean * n.b1;
    vOut[n.vOut + i] = square * n.b2;
  `,
  ),
});

export const adamw = (r: Recorder): Pick<Kernels, 'adamwUpdate' | 'adamwAdjoint'> => ({
  adamwUpdate: (count, p, m, v, g, pOut, mOut, vOut, b1, m1, b2, v1, perC2, epsRoot, eps, rate, keep) =>
    r.run(
      update,
      perElement(count),
      { p, m, v, g, pOut, mOut, vOut },
      { count, b1, m1, b2, v1, perC2, epsRoot, eps, rate, keep },
    ),
  adamwAdjoint: (...[count, m, v, g, pBar, mBar, vBar, gOut, pOut, mOut, vOut, ...numbers]) => {
    const [b1, m1, b2, v1, v2, perC2, epsRoot, eps, rate, keep, half, cross, gRate] = numbers;
    r.run(
      adjoint,
      perElement(count),
      { m, v, g, pBar, mBar, vBar, gOut, pOut, mOut, vOut },
      { count, b1, m1, b2, v1, v2, perC2, epsRoot, eps, rate, keep, half, cross, gRate },
    );
  },
});
