/** The adamw kernels against float64: the update by its formula, the adjoint by finite differences of the update. */
import { expect, it } from 'vitest';
import { randomStream } from '../../../src/tensor/random';
import { numericalGradient } from '../../oracles/differences';
import type { Values } from '../../oracles/gpt2Float64';
import { kernelMemory } from '../../support/kernelMemory';

const [n, lr, b1, b2, eps, epsRoot, decay, t] = [11, 0.1, 0.9, 0.95, 0.02, 0.03, 0.2, 3];
const [c1, c2] = [1 - b1 ** t, 1 - b2 ** t];
const settings = [lr, b1, b2, c1, c2, eps, epsRoot, decay] as const;
const random = randomStream(8, 'adamw');
const normal = (): Values => Float64Array.from({ length: n }, () => Math.fround(random.normal()));
const [phi, g, m] = [normal(), normal(), normal()];
const v = normal().map(Math.abs);

/** (φ, m, v) after one step. */
function step([phi0, g0, m0, v0]: readonly Values[]): [phi: Values, m: Values, v: Values] {
  const m1 = m0.map((x, i) => b1 * x + (1 - b1) * g0[i]);
  const v1 = v0.map((x, i) => b2 * x + (1 - b2) * g0[i] ** 2);
  return [phi0.map((x, i) => x - lr * (m1[i] / c1 / (Math.sqrt(v1[i] / c2 + epsRoot) + eps) + decay * x)), m1, v1];
}

it('updates φ, m and v', () => {
  const { k, put, read } = kernelMemory();
  const [phiAt, gAt, mAt, vAt] = [phi, g, m, v].map(put);
  k.adamwUpdate(n, phiAt, gAt, mAt, vAt, ...settings);
  step([phi, g, m, v]).forEach((expected, i) => expect(read([phiAt, mAt, vAt][i], n)).toBeAllClose(expected, { rtol: 1e-6 }));
});

it('pulls cotangents of (φ, m, v) back through the step', () => {
  const { k, put, room, read } = kernelMemory();
  const bars = [normal(), normal(), normal()];
  const [, m1, v1] = step([phi, g, m, v]);
  const [phiBar, mBar, vBar] = bars.map(put);
  const gBar = room(n);
  k.adamwAdjoint(n, put(g), put(m1), put(v1), phiBar, mBar, vBar, gBar, ...settings);
  const after = (x: Values[]) => step(x).reduce((sum, values, i) => sum + values.reduce((a, y, j) => a + y * bars[i][j], 0), 0);
  const expected = numericalGradient(after, [phi, g, m, v]);
  [phiBar, gBar, mBar, vBar].forEach((at, i) => expect(read(at, n)).toBeAllClose(expected[i], { rtol: 1e-5 }));
});
