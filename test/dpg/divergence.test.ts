import { expect, test } from 'vitest';
import { divergenceWatch } from '../../src/dpg/divergence';
import type { MetricsRow } from '../../src/dpg/train';

/** Sentences for a run with these numbers, by step. */
function watch(kls: readonly number[], norms: readonly number[] = kls.map(() => 1)): Record<number, string> {
  const check = divergenceWatch();
  const said = kls.map((kl, i) => check({ step: i + 1, kl, grad_norm: norms[i] } as unknown as MetricsRow));
  return Object.fromEntries(said.flatMap((text, i) => (text ? [[i + 1, text] as const] : [])));
}

test('a KL that stays up is told once, at its third step, and again when it has been back', () => {
  const said = watch([0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0.9, 0.1, 0.9, 0.9, 0.9]);
  expect(Object.keys(said)).toEqual(['11', '16']);
  expect(said[11]).toMatch(
    /^step 11: kl 0\.900 is 9 times its median of the last 10 steps; .*lower learningRate or raise klCoef$/,
  );
});

test('a gradient norm of a hundred times is told, of fifty not', () => {
  const flat = [1, 1, 1, 1, 1, 1];
  const kls = [...flat, 1, 1, 1];
  expect(watch(kls, [...flat, 101, 101, 101])[9]).toMatch(/grad_norm 101 is 101 times/);
  expect(watch(kls, [...flat, 50, 50, 50])).toEqual({});
  expect(watch(kls, [...flat, 570, 1, 570])).toEqual({}); // single spikes
});

test('a KL that grows as a run learns is no divergence, nor is one that is small', () => {
  expect(watch(Array.from({ length: 200 }, (_, i) => 0.05 * i))).toEqual({});
  expect(watch([0, 0, 0, 0, 0, 0, 0.4, 0.4, 0.4])).toEqual({});
});
