/** SwiGLU on rows of [g, u], each `inner` wide: y = g·σ(g)·u, with first and second derivatives. A dot on a name means tangent. */
import type { Kernels } from '../kernels';
import { each, perElement, program } from './program';
import type { Recorder } from './recorder';

const sizes = { count: 'u32', inner: 'u32' } as const;
const SIGMOID = 'fn sigmoid(v: f32) -> f32 { return 1.0 / (1.0 + exp(clamp(-v, -80.0, 80.0))); }';

/** `at` and `at + n.inner`: where g and u of element i lie. */
const AT = 'let at = (i / n.inner) * 2u * n.inner + i % n.inner;';

const forward = program({
  name: 'swigluForward',
  reads: {},
  writes: { x: 'f32', y: 'f32' },
  sizes,
  declarations: SIGMOID,
  body: each(
    'count',
    `${AT}
    let g = x[n.x + at];
    let u = x[n.x + at + n.inner];
    let s = sigmoid(g);
    y[n.y + i] = g * s * u;
    x[n.x + at] = (s + g * s * (1.0 - s)) * u;
    x[n.x + at + n.inner] = g * s;
  `,
  ),
});

const tangent = program({
  name: 'swigluTangent',
  reads: {},
  writes: { x: 'f32', xDot: 'f32', y: 'f32', yDot: 'f32' },
  sizes,
  declarations: SIGMOID,
  body: each(
    'count',
    `${AT}
    let g = x[n.x + at];
    let u = x[n.x + at + n.inner];
    let gDot = xDot[n.xDot + at];
    let uDot = xDot[n.xDot + at + n.inner];
    let s = sigmoid(g);
    let s1 = s * (1.0 - s);
    let a = g * s;
    let a1 = s + g * s1;
    let a2 = 2.0 * s1 + g * s1 * (1.0 - 2.0 * s);
    y[n.y + i] = a * u;
    yDot[n.yDot + i] = a1 * gDot * u + a * uDot;
    x[n.x + at] = a1 * u;
    x[n.x + at + n.inner] = a;
    xDot[n.xDot + at] = a2 * gDot * u + a1 * uDot;
    xDot[n.xDot + at + n.inner] = a1 * gDot;
  `,
  ),
});

const backward = program({
  name: 'swigluBackward',
  reads: { x1: 'f32', dy: 'f32' },
  writes: { dx: 'f32' },
  sizes,
  body: each(
    'count',
    `${AT}
    let d = dy[n.dy + i];
    dx[n.dx + at] = x1[n.x1 + at] * d;
    dx[n.dx + at + n.inner] = x1[n.x1 + at + n.inner] * d;
  `,
  ),
});

const tangentBackward = program({
  name: 'swigluTangentBackward',
  reads: { x1: 'f32', x1Dot: 'f32', dy: 'f32', dyDot: 'f32' },
  writes: { dx: 'f32', dxDot: 'f32' },
  sizes,
  body: each(
    'count',
    `${AT}
    let d = dy[n.dy + i];
    let dDot = dyDot[n.dyDot + i];
    for (var part = 0u; part < 2u; part++) {
      let to = at + part * n.inner;
      dx[n.dx + to] = x1[n.x1 + to] * d;
      dxDot[n.dxDot + to] = x1[n.x1 + to] * dDot + x1Dot[n.x1Dot + to] * d;
    }
  `,
  ),
});

type Swiglu = 'swigluForward' | 'swigluTangent' | 'swigluBackward' | 'swigluTangentBackward';

export const swiglu = (r: Recorder): Pick<Kernels, Swiglu> => {
  const over = (rows: number, inner: number) => [perElement(rows * inner), { count: rows * inner, inner }] as const;
  return {
    swigluForward(rows, inner, x, y) {
      const [groups, numbers] = over(rows, inner);
      r.run(forward, groups, { x, y }, numbers);
    },
    swigluTangent(rows, inner, x, xDot, y, yDot) {
      const [groups, numbers] = over(rows, inner);
      r.run(tangent, groups, { x, xDot, y, yDot }, numbers);
    },
    swigluBackward(rows, inner, x1, dy, dx) {
      const [groups, numbers] = over(rows, inner);
      r.run(backward, groups, { x1, dy, dx }, numbers);
    },
    swigluTangentBackward(rows, inner, x1, x1Dot, dy, dyDot, dx, dxDot) {
      const [groups, numbers] = over(rows, inner);
      r.run(tangentBackward, groups, { x1, x1Dot, dy, dyDot, dx, dxDot }, numbers);
    },
  };
};
