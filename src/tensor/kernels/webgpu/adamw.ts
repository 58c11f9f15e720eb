/** adamw's update and its adjoint over n numbers, each in one pass; the formulas of learn/adamw.ts. */
import type { Kernels } from '../kernels';
import { each, perElement, program } from './program';
import type { Recorder } from './recorder';

const f = 'f32' as const;

const update = program({
  name: 'adamwUpdate',
  reads: { p: f, m: f, v: f, g: f },
  writes: { pOut: f, mOut: f, vOut: f },
  sizes: { count: 'u32', b1: f, m1: f, b2: f, v1: f, perC2: f, epsRoot: f, eps: f, rate: f, keep: f },
  body: each(
    'count',
    `
    let d = g[n.g + i];
    let mean = m[n.m + i] * n.b1 + d * n.m1;
    let square = v[n.v + i] * n.b2 + d * d * n.v1;
    mOut[n.mOut + i] = mean;
    vOut[n.vOut + i] = square;
    pOut[n.pOut + i] = p[n.p + i] * n.keep - mean / (sqrt(square * n.perC2 + n.epsRoot) + n.eps) * n.rate;
  `,
  ),
});

const adjoint = program({
  name: 'adamwAdjoint',
  reads: { m: f, v: f, g: f, pBar: f, mBar: f, vBar: f },
  writes: { gOut: f, pOut: f, mOut: f, vOut: f },
  sizes: { count: 'u32', b1: f, m1: f, b2: f, v2: f, perC2: f, epsRoot: f, eps: f, rate: f, keep: f, half: f },
  body: each(
    'count',
    `
    let bar = pBar[n.pBar + i];
    let root = sqrt(v[n.v + i] * n.perC2 + n.epsRoot);
    let divisor = root + n.eps;
    let mean = mBar[n.mBar + i] - bar * n.rate / divisor;
    let square = vBar[n.vBar + i] + bar * m[n.m + i] * n.half / (divisor * divisor * root);
    gOut[n.gOut + i] = mean * n.m1 + g[n.g + i] * square * n.v2;
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
  adamwAdjoint: (...[count, m, v, g, pBar, mBar, vBar, gOut, pOut, mOut, vOut, b1, m1, b2, v2, perC2, epsRoot, eps, ...rest]) => {
    const [rate, keep, half] = rest;
    r.run(
      adjoint,
      perElement(count),
      { m, v, g, pBar, mBar, vBar, gOut, pOut, mOut, vOut },
      { count, b1, m1, b2, v2, perC2, epsRoot, eps, rate, keep, half },
    );
  },
});
