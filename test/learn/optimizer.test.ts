/** Optimizers against scalar formulas in float64, their adjoints against central differences of those. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { adamw, disposeState, initialAdjoint, lion, sgd, type Optimizer, type TrainingState } from '../../src/learn/optimizer';
import { disposeParams, type Params } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { numericalGradient } from '../oracles/differences';
import type { Values } from '../oracles/gpt2Float64';
import { useBackend } from '../support/backend';

const settings = { learningRate: 0.05, b1: 0.8, b2: 0.9, eps: 1e-3, epsRoot: 1e-2, weightDecay: 0.3 };
const N = 6;

interface Scalars {
  p: Values;
  m: Values;
  v: Values;
}

/** adamw's update `step` (from 1), element by element. */
function adamwOracle({ p, m, v }: Scalars, g: Values, step: number): Scalars {
  const { learningRate, b1, b2, eps, epsRoot, weightDecay } = settings;
  const next = { p: p.slice(), m: m.slice(), v: v.slice() };
  for (let i = 0; i < p.length; i++) {
    next.m[i] = b1 * m[i] + (1 - b1) * g[i];
    next.v[i] = b2 * v[i] + (1 - b2) * g[i] ** 2;
    const [mHat, vHat] = [next.m[i] / (1 - b1 ** step), next.v[i] / (1 - b2 ** step)];
    next.p[i] = p[i] - learningRate * (mHat / (Math.sqrt(vHat + epsRoot) + eps) + weightDecay * p[i]);
  }
  return next;
}

const random = randomStream(1, 'optimizers');
const draw = (): Values => Float64Array.from({ length: N }, () => Math.fround(random.normal()));
/** Two tensors that together hold N numbers. */
const tree = (x: Values): Params => ({ a: tf.tensor2d([...x.slice(0, 4)], [2, 2]), b: tf.tensor1d([...x.slice(4)]) });
const flat = ({ a, b }: Params): number[] => [...a.dataSync(), ...b.dataSync()];
const zeros = (): Values => new Float64Array(N);

beforeAll(() => useBackend('cpu'));

describe('adamw', () => {
  const optimizer = adamw(settings);

  it('follows the formulas over several steps', () => {
    let expected: Scalars = { p: draw(), m: zeros(), v: zeros() };
    let state = optimizer.init(tree(expected.p));
    for (let step = 1; step <= 4; step++) {
      const g = draw();
      expected = adamwOracle(expected, g, step);
      state = optimizer.update(state, tree(g));
      expect(flat(state.params)).toBeAllClose(expected.p, { rtol: 1e-5 });
      expect(state.step).toBe(step);
    }
    expect(flat(state.moments.m)).toBeAllClose(expected.m, { rtol: 1e-5 });
    expect(flat(state.moments.v)).toBeAllClose(expected.v, { rtol: 1e-5 });
  });

  it('pulls the adjoint of its whole state back, as central differences do', () => {
    const before: Scalars = { p: draw(), m: draw(), v: draw().map((x) => x * x) };
    const [g, pBar, mBar, vBar] = [draw(), draw(), draw(), draw()];
    const dot = (x: Values, y: Values) => x.reduce((sum, value, i) => sum + value * y[i], 0);
    /** The adjoint's pairing with the state after the third update, as a function of what went in. */
    const paired = ([gradient, p, m, v]: Values[]) => {
      const after = adamwOracle({ p, m, v }, gradient, 3);
      return dot(after.p, pBar) + dot(after.m, mBar) + dot(after.v, vBar);
    };
    const expected = numericalGradient(paired, [g, before.p, before.m, before.v]);

    const state: TrainingState = { params: tree(before.p), moments: { m: tree(before.m), v: tree(before.v) }, step: 2 };
    const adjoint: TrainingState = { params: tree(pBar), moments: { m: tree(mBar), v: tree(vBar) }, step: 3 };
    const after = optimizer.update(state, tree(g));
    const found = optimizer.adjoint(state, after, tree(g), adjoint);
    const { params, moments, step } = found.before;
    [found.gradient, params, moments.m, moments.v].forEach((x, i) => expect(flat(x)).toBeAllClose(expected[i], { rtol: 1e-5 }));
    expect(step).toBe(2);
  });

  it.each([
    [{ learningRate: 0 }, 'learningRate must be a positive number (got 0)'],
    [{ learningRate: NaN }, 'got NaN'],
    [{ learningRate: 1, b1: 1 }, 'b1 must be in [0, 1) (got 1)'],
    [{ learningRate: 1, b2: -0.1 }, 'b2 must be in [0, 1) (got -0.1)'],
    [{ learningRate: 1, epsRoot: -1e-9 }, 'epsRoot must be at least 0 (got -1e-9)'],
    [{ learningRate: 1, weightDecay: Infinity }, 'weightDecay must be at least 0 (got Infinity)'],
  ])('refuses %o', (options, message) => {
    expect(() => adamw(options)).toThrow(message);
  });
});

describe('sgd', () => {
  const optimizer = sgd({ learningRate: 0.2 });

  it('steps against the gradient, and its adjoint is −lr·φ̄', () => {
    const [p, g, pBar] = [draw(), draw(), draw()];
    const before = optimizer.init(tree(p));
    const state = optimizer.update(before, tree(g));
    expect(flat(state.params)).toBeAllClose(
      p.map((x, i) => x - 0.2 * g[i]),
      { rtol: 1e-6 },
    );
    const found = optimizer.adjoint(before, state, tree(g), initialAdjoint(tree(pBar), state));
    expect(flat(found.gradient)).toBeAllClose(
      pBar.map((x) => -0.2 * x),
      { rtol: 1e-6 },
    );
    expect(flat(found.before.params)).toEqual([...pBar]);
  });

  it('refuses a learning rate that is not positive', () => {
    expect(() => sgd({ learningRate: -1 })).toThrow('learningRate must be a positive number (got -1)');
  });
});

describe.each<[string, Optimizer]>([
  ['adamw', adamw(settings)],
  ['sgd', sgd({ learningRate: 0.1 })],
  ['sgd with momentum', sgd({ learningRate: 0.1, momentum: 0.5 })],
  ['lion', lion({ learningRate: 0.1 })],
])('trees of %s', (_, optimizer) => {
  it('belong to the caller: nothing given is freed or changed, nothing is left behind', () => {
    const [params, gradient] = [tree(draw()), tree(draw())];
    const [numbers, before] = [flat(params), tf.memory().numTensors];
    const state = optimizer.init(params);
    const after = optimizer.update(state, gradient);
    const adjoint = initialAdjoint(tree(draw()), after);
    const pulled = optimizer.adjoint(state, after, gradient, adjoint);
    expect(after.step).toBe(1);
    disposeParams(pulled.gradient);
    for (const each of [state, after, adjoint, pulled.before]) disposeState(each);
    expect(tf.memory().numTensors).toBe(before);
    expect(flat(params)).toEqual(numbers);
  });
});

describe.each<[string, Optimizer]>([
  ['sgd with momentum', sgd({ learningRate: 0.1, momentum: 0.7 })],
  ['lion', lion({ learningRate: 0.1, b1: 0.8, b2: 0.9, epsRoot: 0.3, weightDecay: 0.2 })],
])('%s against the tape', (_, optimizer) => {
  it('has the adjoint of three unrolled updates', () => {
    const [p, ...gs] = Array.from({ length: 4 }, () => tree(draw()));
    const bar = tree(draw());
    const leaves = [p, ...gs].flatMap((x) => [x.a, x.b]);
    /** ⟨φ₃, bar⟩ of start and gradients, by the optimizer's own formulas on the tape. */
    const paired = (...x: tf.Tensor[]): tf.Scalar => {
      const [start, ...gradients] = [0, 2, 4, 6].map((i): Params => ({ a: x[i], b: x[i + 1] }));
      const { params } = gradients.reduce((state, g) => optimizer.update(state, g), optimizer.init(start));
      return tf.add(tf.sum(tf.mul(params.a, bar.a)), tf.sum(tf.mul(params.b, bar.b)));
    };
    const expected = tf
      .grads(paired)(leaves)
      .map((x) => [...x.dataSync()]);
    const states = gs.reduce((all, g) => [...all, optimizer.update(all[all.length - 1], g)], [optimizer.init(p)]);
    let adjoint = initialAdjoint(bar, states[3]);
    const found: number[][] = [];
    for (const t of [2, 1, 0]) {
      const pulled = optimizer.adjoint(states[t], states[t + 1], gs[t], adjoint);
      found.unshift(flat(pulled.gradient));
      adjoint = pulled.before;
    }
    expect(adjoint.step).toBe(0);
    [flat(adjoint.params), ...found].forEach((x, i) =>
      expect(x).toBeAllClose([...expected[2 * i], ...expected[2 * i + 1]], { rtol: 1e-4 }),
    );
  });
});

describe('sgd with momentum and lion', () => {
  it('follow their published formulas over three steps', () => {
    const [p, ...gs] = Array.from({ length: 4 }, draw);
    const [ball, roar] = [
      sgd({ learningRate: 0.1, momentum: 0.7 }),
      lion({ learningRate: 0.1, epsRoot: 1e-12, weightDecay: 0.2 }),
    ];
    const [x, y, m, n] = [p.slice(), p.slice(), zeros(), zeros()];
    let [heavy, lions] = [ball.init(tree(p)), roar.init(tree(p))];
    for (const g of gs) {
      g.forEach((value, i) => {
        m[i] = 0.7 * m[i] + value;
        x[i] -= 0.1 * m[i];
        y[i] -= 0.1 * (Math.sign(0.9 * n[i] + 0.1 * value) + 0.2 * y[i]);
        n[i] = 0.99 * n[i] + 0.01 * value;
      });
      [heavy, lions] = [ball.update(heavy, tree(g)), roar.update(lions, tree(g))];
    }
    expect(flat(heavy.params)).toBeAllClose(x, { rtol: 1e-5 });
    expect(flat(lions.params)).toBeAllClose(y, { rtol: 1e-5 });
  });

  it('refuse settings out of range', () => {
    expect(() => sgd({ learningRate: 1, momentum: 1 })).toThrow('momentum must be in [0, 1) (got 1)');
    expect(() => lion({ learningRate: 1, epsRoot: 0 })).toThrow('epsRoot must be a positive number (got 0)');
  });
});
