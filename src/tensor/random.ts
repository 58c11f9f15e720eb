/**
 * Seeded random streams with a state that can be saved.
 *
 * Every use of chance (articles, prompts, sampling, minibatch order) has its own named stream, so that adding a draw in one place changes
 * nothing elsewhere, and a resumed run goes on exactly where it stopped. The generator is xoroshiro128+ of `pure-rand`.
 */
import { xoroshiro128plus, xoroshiro128plusFromState } from 'pure-rand/generator/xoroshiro128plus';
import { uniformInt } from 'pure-rand/distribution/uniformInt';

/** A stream of random numbers. */
export interface RandomStream {
  /** Uniform in [0, 1), a multiple of 2⁻²⁴ (so it stays below 1 as a float32). */
  uniform(): number;
  /** Uniform integer in [0, n). */
  integer(n: number): number;
  /** One element of a list. */
  pick<T>(list: readonly T[]): T;
  /** Standard normal (Box–Muller). */
  normal(): number;
  /** A uniformly random order of 0 … n − 1 (Fisher–Yates). */
  permutation(n: number): Int32Array;
  /** `n` uniform numbers. */
  uniforms(n: number): Float32Array;
  /** The whole state; {@link restoreStream} goes on from it. */
  state(): number[];
}

/** 32-bit FNV-1a of a name. */
function hashName(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash | 0;
}

/**
 * The finalizer of MurmurHash3. xoroshiro128+ is linear in its seed: without a non-linear mix, streams of two names would be correlated
 * over seeds.
 */
function mix(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

type Generator = ReturnType<typeof xoroshiro128plus>;

function streamOf(generator: Generator): RandomStream {
  const uniform = (): number => (generator.next() >>> 8) / 2 ** 24;
  const integer = (n: number): number => {
    if (!(Number.isInteger(n) && n > 0)) throw new RangeError(`integer(n) needs a positive whole number (got ${n})`);
    return uniformInt(generator, 0, n - 1);
  };
  return {
    uniform,
    integer,
    pick: (list) => list[integer(list.length)],
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    permutation(n) {
      const order = Int32Array.from({ length: n }, (_, i) => i);
      for (let i = n - 1; i > 0; i--) {
        const j = integer(i + 1);
        [order[i], order[j]] = [order[j], order[i]];
      }
      return order;
    },
    uniforms: (n) => Float32Array.from({ length: n }, uniform),
    state: () => [...generator.getState()],
  };
}

/**
 * The stream `name` of a seed: streams of different names or seeds are independent.
 * @param seed - whole number from 0 to 2³¹ − 1
 * @throws RangeError if the seed is not such a number
 */
export function randomStream(seed: number, name: string): RandomStream {
  if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 31))
    throw new RangeError(`seed must be a whole number from 0 to 2^31 - 1 (got ${seed})`);
  const generator = xoroshiro128plus(mix(Math.imul(mix(seed), 0x9e3779b1) + hashName(name)));
  for (let i = 0; i < 8; i++) generator.next(); // neighbouring seeds start alike
  return streamOf(generator);
}

/** A stream that goes on from a saved {@link RandomStream.state}. */
export const restoreStream = (state: readonly number[]): RandomStream => streamOf(xoroshiro128plusFromState(state));
