import { describe, expect, it } from 'vitest';
import { randomStream, restoreStream } from '../../src/tensor/random';

const mean = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0) / values.length;
const moment = (values: ArrayLike<number>, power: number): number => mean(Array.from(values, (x) => x ** power));
/** A mean this many standard errors off would be a one-in-a-million accident. */
const FIVE = 5;

describe('a random stream', () => {
  it('follows from its seed and its name alone', () => {
    const draw = (seed: number, name: string) => [...randomStream(seed, name).uniforms(20)];
    expect(draw(1, 'prompts')).toEqual(draw(1, 'prompts'));
    const others = [draw(2, 'prompts'), draw(1, 'sampling'), draw(0, 'prompts'), draw(2 ** 31 - 1, 'prompts')];
    for (const other of others) expect(other.filter((x, i) => x === draw(1, 'prompts')[i])).toEqual([]);
  });

  it('stays the same from version to version', () => {
    expect([...randomStream(0, 'prompts').uniforms(3)].map((x) => x * 2 ** 24)).toMatchInlineSnapshot(`
      [
        10064834,
        4953002,
        16617489,
      ]
    `);
  });

  it('is not correlated with those of neighbouring seeds', () => {
    const first = Float32Array.from({ length: 2000 }, (_, seed) => randomStream(seed, 'prompts').uniform() - 0.5);
    const correlation = 12 * mean(first.slice(1).map((x, i) => x * first[i])); // 12: 1 / variance
    expect(Math.abs(correlation)).toBeLessThan(FIVE / Math.sqrt(2000));
    expect(Math.abs(mean(first) * Math.sqrt(12))).toBeLessThan(FIVE / Math.sqrt(2000));
  });

  it('is not correlated with the stream of another name, at any position, over seeds', () => {
    const draws = (name: string) => Array.from({ length: 1000 }, (_, seed) => randomStream(seed, name).uniforms(40));
    const [a, b] = [draws('prompts'), draws('batches')];
    for (let position = 0; position < 40; position++) {
      const correlation = 12 * mean(a.map((x, seed) => (x[position] - 0.5) * (b[seed][position] - 0.5)));
      expect(Math.abs(correlation)).toBeLessThan(FIVE / Math.sqrt(1000));
    }
  });

  it('is uniform in [0, 1), in steps of 2⁻²⁴', () => {
    const values = randomStream(1, 'uniform').uniforms(20_000);
    const counts = new Array<number>(20).fill(0);
    expect(values.every((x) => x >= 0 && x < 1 && Number.isInteger(x * 2 ** 24))).toBe(true);
    for (const x of values) counts[Math.floor(20 * x)]++;
    const chiSquare = counts.reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0);
    expect(chiSquare).toBeLessThan(55); // 19 degrees of freedom: beyond with probability 2e-5
    expect(chiSquare).toBeGreaterThan(4);
  });

  it('has normal numbers with the moments 0, 1, 0, 3', () => {
    const random = randomStream(1, 'normal');
    const values = Float64Array.from({ length: 20_000 }, () => random.normal());
    const error = FIVE / Math.sqrt(20_000);
    [0, 1, 0, 3].forEach((expected, i) => {
      const deviation = Math.sqrt([1, 2, 15, 96][i]); // of x, x², x³, x⁴
      expect(Math.abs(moment(values, i + 1) - expected)).toBeLessThan(error * deviation);
    });
  });

  it('has every integer below n equally often, every order equally often', () => {
    const random = randomStream(1, 'integers');
    const counts = new Array<number>(6).fill(0);
    for (let i = 0; i < 6000; i++) counts[random.integer(6)]++;
    expect(counts.reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0)).toBeLessThan(30);
    const orders = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const order = String(random.permutation(3));
      orders.set(order, (orders.get(order) ?? 0) + 1);
    }
    expect([...orders.keys()].sort()).toEqual(['0,1,2', '0,2,1', '1,0,2', '1,2,0', '2,0,1', '2,1,0']);
    expect([...orders.values()].reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0)).toBeLessThan(30);
    expect([...random.permutation(100)].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(new Set(Array.from({ length: 100 }, () => random.pick(['a', 'b'])))).toEqual(new Set(['a', 'b']));
  });

  it('goes on from its saved state, through JSON', () => {
    const random = randomStream(1, 'state');
    random.normal();
    const state = JSON.parse(JSON.stringify(random.state())) as number[];
    const rest = [random.uniform(), random.integer(1000), random.normal(), ...random.permutation(9), ...random.uniforms(4)];
    const again = restoreStream(state);
    expect([again.uniform(), again.integer(1000), again.normal(), ...again.permutation(9), ...again.uniforms(4)]).toEqual(rest);
    expect(again.state()).toEqual(random.state());
  });

  it.each([-1, 1.5, NaN, 2 ** 31])('refuses seed %s', (seed) => {
    expect(() => randomStream(seed, 'x')).toThrow(`seed must be a whole number from 0 to 2^31 - 1 (got ${seed})`);
  });

  it.each([0, -3, 2.5, NaN])('refuses integer(%s)', (n) => {
    expect(() => randomStream(1, 'x').integer(n)).toThrow(`integer(n) needs a positive whole number (got ${n})`);
  });
});
