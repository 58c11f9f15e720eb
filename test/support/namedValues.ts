/** Parameters in float64 by name: along a direction, and the slopes of a function along directions inside one tensor at a time. */
import type { Params } from '../../src/tensor/params';
import type { RandomStream } from '../../src/tensor/random';
import { moved } from '../oracles/differences';
import type { NamedValues, Values } from '../oracles/gpt2Float64';

/** p + h·v. */
export const movedNamed = (p: NamedValues, v: NamedValues, h: number): NamedValues =>
  Object.fromEntries(Object.entries(p).map(([name, x]) => [name, moved([x], [v[name]], h)[0]]));

/** Random directions, each inside one tensor, and what `derivative` says of a function along them. */
export function directions(
  p: NamedValues,
  random: RandomStream,
  derivative: (at: (h: number) => NamedValues) => number,
): { name: string; u: Values; expected: number }[] {
  return Object.entries(p).map(([name, values]) => {
    const u = Float64Array.from(values, () => random.normal());
    return { name, u, expected: derivative((h) => ({ ...p, [name]: moved([values], [u], h)[0] })) };
  });
}

/** ⟨result, u⟩ along every direction. */
export const along = (result: Params, ways: ReturnType<typeof directions>): number[] =>
  ways.map(({ name, u }) => result[name].dataSync<'float32'>().reduce((sum, x, i) => sum + x * u[i], 0));
