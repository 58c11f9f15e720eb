/** tanh-GELU as x·σ(z), z = 2√(2/π)·(x + 0.044715 x³), with first and second derivatives. A dot on a name means tangent. */
import type { Kernels } from '../kernels';
import { each, perElement, program } from './program';
import type { Recorder } from './recorder';

const GATE = `
const Z1 = 1.5957691216057308; // 2√(2/π)
const Z3 = 0.0713548162726009; // 2√(2/π) · 0.044715
fn gate(v: f32) -> f32 { return 1.0 / (1.0 + exp(clamp(-v * (Z1 + Z3 * v * v), -80.0, 80.0))); }
fn slope(v: f32) -> f32 { return Z1 + 3.0 * Z3 * v * v; }`;

const count = { count: 'u32' } as const;

const forward = program({
  name: 'geluForward',
  reads: {},
  writes: { x: 'f32', y: 'f32' },
  sizes: count,
  declarations: GATE,
  body: each(
    'count',
    `
    let v = x[n.x + i];
    let s = gate(v);
    y[n.y + i] = v * s;
    x[n.x + i] = s + v * s * (1.0 - s) * slope(v);
  `,
  ),
});

const tangent = program({
  name: 'geluTangent',
  reads: {},
  writes: { x: 'f32', xDot: 'f32', y: 'f32', yDot: 'f32' },
  sizes: count,
  declarations: GATE,
  body: each(
    'count',
    `
    let v = x[n.x + i];
    let d = xDot[n.xDot + i];
    let s = gate(v);
    let z1 = slope(v);
    let ss = s * (1.0 - s);
    let s1 = ss * z1; // dσ/dx
    let g1 = s + v * s1;
    let s2 = s1 * (1.0 - 2.0 * s) * z1 + ss * 6.0 * Z3 * v; // d²σ/dx²
    y[n.y + i] = v * s;
    yDot[n.yDot + i] = g1 * d;
    x[n.x + i] = g1;
    xDot[n.xDot + i] = (2.0 * s1 + v * s2) * d;
  `,
  ),
});

const backward = program({
  name: 'geluBackward',
  reads: { g1: 'f32' },
  writes: { dy: 'f32' },
  sizes: count,
  body: each('count', 'dy[n.dy + i] *= g1[n.g1 + i];'),
});

const tangentBackward = program({
  name: 'geluTangentBackward',
  reads: { g1: 'f32', g1Dot: 'f32' },
  writes: { dy: 'f32', dyDot: 'f32' },
  sizes: count,
  body: each(
    'count',
    `
    let g = g1[n.g1 + i];
    let d = dy[n.dy + i];
    dyDot[n.dyDot + i] = g * dyDot[n.dyDot + i] + g1Dot[n.g1Dot + i] * d;
    dy[n.dy + i] = g * d;
  `,
  ),
});

export const gelu = (r: Recorder): Pick<Kernels, 'geluForward' | 'geluTangent' | 'geluBackward' | 'geluTangentBackward'> => ({
  geluForward: (count, x, y) => r.run(forward, perElement(count), { x, y }, { count }),
  geluTangent: (count, x, xDot, y, yDot) => r.run(tangent, perElement(count), { x, xDot, y, yDot }, { count }),
  geluBackward: (count, g1, dy) => r.run(backward, perElement(count), { g1, dy }, { count }),
  geluTangentBackward: (count, g1, g1Dot, dy, dyDot) =>
    r.run(tangentBackward, perElement(count), { g1, g1Dot, dy, dyDot }, { count }),
});
