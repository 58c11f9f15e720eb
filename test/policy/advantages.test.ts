import { describe, expect, it } from 'vitest';
import { exampleAdvantages, tokenAdvantages, type AdvantageScale } from '../../src/policy/advantages';
import { randomStream } from '../../src/tensor/random';

const random = randomStream(1, 'advantages');
const [GROUPS, GROUP] = [6, 4];
const rewards = Float32Array.from({ length: GROUPS * GROUP }, (_, i) => 3 * Math.floor(i / GROUP) + random.normal());
const centred = Array.from(rewards, (r, i) => {
  const from = GROUP * Math.floor(i / GROUP);
  return r - rewards.slice(from, from + GROUP).reduce((a, b) => a + b, 0) / GROUP;
});
const rms = (values: number[]): number => Math.hypot(...values) / Math.sqrt(values.length);
const advantages = (values: Float32Array, scale: AdvantageScale, clip = 1e6) => exampleAdvantages(values, GROUP, { scale, clip });
const median = (values: number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[Math.ceil(sorted.length / 2) - 1] + sorted[Math.floor(sorted.length / 2)]) / 2;
};

describe('example advantages', () => {
  const units: Record<AdvantageScale, number[]> = {
    none: centred.map(() => 1),
    batch: centred.map(() => rms(centred)),
    robust: centred.map(() => 1.4826 * median(centred.map(Math.abs))),
    group: centred.map((_, i) => rms(centred.slice(GROUP * Math.floor(i / GROUP), GROUP * Math.floor(i / GROUP) + GROUP))),
  };

  it.each(Object.keys(units) as AdvantageScale[])('%s: centred rewards over their scale', (scale) => {
    const { values, degenerateGroups } = advantages(rewards, scale);
    expect(values).toBeAllClose(
      centred.map((x, i) => x / units[scale][i]),
      { rtol: 1e-5 },
    );
    expect(degenerateGroups).toBe(0);
  });

  it.each(['batch', 'robust', 'group'] as const)('%s: the same for rewards of any size', (scale) => {
    const expected = advantages(rewards, scale).values;
    for (const factor of [1e-9, 1e-6, 1e-3, 1e3])
      expect(
        advantages(
          rewards.map((r) => r * factor),
          scale,
        ).values,
      ).toBeAllClose(expected, { rtol: 1e-5 });
  });

  it('robust: one spike leaves the others as they are', () => {
    const spiked = (spike: number) => advantages(Float32Array.from(rewards).fill(spike, 0, 1), 'robust').values.slice(GROUP);
    expect(spiked(1e6)).toEqual(spiked(1e2));
  });

  it('robust: the unit is that of the groups that have a signal', () => {
    const few = rewards.slice(0, 2 * GROUP);
    const padded = Float32Array.from(rewards).fill(1, 2 * GROUP);
    const some = Float32Array.from(rewards).fill(1, 0, 2 * GROUP); // 8 of 24 without signal
    expect(advantages(padded, 'robust').values.slice(0, 2 * GROUP)).toBeAllClose(advantages(few, 'robust').values, {
      rtol: 1e-5,
    });
    expect(advantages(some, 'robust').values.slice(2 * GROUP)).toBeAllClose(
      advantages(rewards.slice(2 * GROUP), 'robust').values,
      { rtol: 1e-5 },
    );
  });

  it.each(['batch', 'robust', 'group', 'none'] as const)('%s: groups of equal rewards get zeros and are counted', (scale) => {
    const equal = Float32Array.from(rewards).fill(0.3, GROUP, 2 * GROUP);
    equal.set([2, 2 + 2e-7, 2, 2], 3 * GROUP); // equal but for rounding
    const { values, degenerateGroups } = advantages(equal, scale);
    expect(degenerateGroups).toBeCloseTo(2 / GROUPS, 12);
    for (const group of [1, 3]) expect([...values.slice(GROUP * group, GROUP * group + GROUP)]).toEqual([0, 0, 0, 0]);
    expect(values[0]).not.toBe(0);
    expect(advantages(new Float32Array(8).fill(1e-5), scale)).toEqual({ values: new Float32Array(8), degenerateGroups: 1 });
  });

  it.each(['batch', 'robust', 'group', 'none'] as const)(
    '%s: an outlier of 1e7 leaves the other groups their signal',
    (scale) => {
      const { values, degenerateGroups } = advantages(Float32Array.from(rewards).fill(1e7, 0, 1), scale);
      expect(degenerateGroups).toBe(0);
      for (let i = GROUP; i < rewards.length; i++) expect(Math.sign(values[i])).toBe(Math.sign(centred[i]));
    },
  );

  it('of one group that differs by rounding alone are 0', () => {
    for (const size of [1e-7, 3, 1e5]) {
      const close = Float32Array.of(size, size, size, size * (1 + 2 ** -23));
      expect(new Set(close).size).toBe(2);
      expect(advantages(close, 'group')).toEqual({ values: new Float32Array(4), degenerateGroups: 1 });
    }
  });

  it('of nothing are an error', () => {
    expect(() => advantages(new Float32Array(0), 'batch')).toThrow('no rewards');
    const none = new Float32Array(0);
    expect(() => tokenAdvantages(none, none, 3, 1, { scale: 'batch', clip: 1 })).toThrow('no tokens');
  });

  it('are cut off at ± clip', () => {
    const free = advantages(rewards, 'batch').values;
    const cut = advantages(rewards, 'batch', 0.5).values;
    expect(Math.max(...free)).toBeGreaterThan(0.5);
    expect([...cut]).toEqual(Array.from(free, (x) => Math.max(-0.5, Math.min(0.5, x))));
  });

  it.each([NaN, Infinity, -Infinity])('refuse a reward of %s and name it', (broken) => {
    const values = Float32Array.from(rewards).fill(broken, 5, 6);
    expect(() => advantages(values, 'batch')).toThrow(`reward 5 is ${broken}`);
  });

  it.each([1, 5, 2.5])('refuse groups of %s', (group) => {
    expect(() => exampleAdvantages(rewards, group, { scale: 'batch', clip: 1 })).toThrow(`24 rewards (got ${group})`);
  });
});

describe('token advantages', () => {
  const [size, length] = [5, 4];
  const lengths = [4, 4, 2, 3, 1];
  const mask = Float32Array.from({ length: size * length }, (_, cell) =>
    Number(cell % length < lengths[Math.floor(cell / length)]),
  );
  const tokenRewards = Float32Array.from(
    { length: size * (length - 1) },
    (_, cell) => mask[Math.floor(cell / (length - 1)) * length + (cell % (length - 1)) + 1] * random.normal(),
  );
  const reward = (i: number, t: number): number => tokenRewards[i * (length - 1) + t - 1];
  const compute = (discount: number, scale: AdvantageScale = 'none', clip = 1e6, factor = 1) =>
    tokenAdvantages(
      tokenRewards.map((r) => factor * r),
      mask,
      length,
      discount,
      { scale, clip },
    );

  /** Σ_{u ≥ t} discount^(u − t) · reward_u, minus its mean over the responses that reach t. */
  function direct(discount: number): number[] {
    const toGo = (i: number, t: number): number => {
      let sum = 0;
      for (let u = Math.max(t, 1); u < length; u++) sum += discount ** (u - Math.max(t, 1)) * reward(i, u);
      return sum;
    };
    return Array.from(mask, (m, cell) => {
      const [i, t] = [Math.floor(cell / length), cell % length];
      const reaching = lengths.map((n, j) => [n, j]).filter(([n]) => n > t);
      return m ? toGo(i, t) - reaching.reduce((sum, [, j]) => sum + toGo(j, t), 0) / reaching.length : 0;
    });
  }

  it.each([0, 0.5, 1])('are the reward-to-go at discount %s, centred per position', (discount) => {
    expect(compute(discount)).toBeAllClose(direct(discount), { atol: 1e-6 });
  });

  it('are measured in units of the tokens that exist, whatever the padding', () => {
    const exists = (values: ArrayLike<number>) => Array.from(values).filter((_, cell) => mask[cell]);
    const values = exists(direct(1));
    expect(exists(compute(1, 'batch'))).toBeAllClose(
      values.map((x) => x / rms(values)),
      { rtol: 1e-5 },
    );
  });

  it.each(['group', 'robust'] as const)('%s: in units of their own position', (scale) => {
    const values = compute(1, scale);
    const sums = compute(1, 'none');
    for (let t = 0; t < length; t++) {
      const at = (all: Float32Array) => Array.from(all).filter((_, cell) => cell % length === t && mask[cell]);
      const centre = scale === 'robust' ? median(at(sums)) : 0; // 'none' has centred them on the mean
      const centred = at(sums).map((x) => x - centre);
      const spread = centred.filter((x) => Math.abs(x) > 1e-7);
      const unit = scale === 'group' ? rms(centred) : 1.4826 * median(spread.map(Math.abs));
      expect(at(values)).toBeAllClose(
        centred.map((x) => (spread.length ? x / unit : 0)),
        { atol: 1e-4 },
      );
    }
  });

  it('robust: one token that is paid a hundred times what the others are moves none of them', () => {
    const spiked = Float32Array.from(tokenRewards).fill(1e4, 0, 1);
    const before = tokenAdvantages(tokenRewards, mask, length, 0, { scale: 'robust', clip: 4 });
    const after = tokenAdvantages(spiked, mask, length, 0, { scale: 'robust', clip: 4 });
    for (let cell = length; cell < mask.length; cell++) expect(Math.sign(after[cell] * before[cell])).not.toBe(-1);
    expect(after[1]).toBe(4);
  });

  it('do not depend on the rewards’ size, are clipped, and refuse rewards that are not finite', () => {
    for (const factor of [1e-9, 1e3])
      expect(compute(0.5, 'batch', 1e6, factor)).toBeAllClose(compute(0.5, 'batch'), { rtol: 1e-5 });
    expect(Math.max(...compute(0.5, 'batch', 0.3).map(Math.abs))).toBeCloseTo(0.3, 6);
    const broken = Float32Array.from(tokenRewards).fill(NaN, 7, 8);
    expect(() => tokenAdvantages(broken, mask, length, 1, { scale: 'batch', clip: 1 })).toThrow('reward 7 is NaN');
  });

  it('refuse what does not fit, by its value', () => {
    const refused = (rewards: Float32Array, width: number, discount: number, options: object, message: string) =>
      expect(() => tokenAdvantages(rewards, mask, width, discount, { scale: 'none', clip: 1, ...options })).toThrow(message);
    refused(tokenRewards, 2.5, 1, {}, `divides the ${mask.length} cells of the mask (got 2.5)`);
    refused(tokenRewards.subarray(1), length, 1, {}, `none for the first (got ${tokenRewards.length - 1})`);
    refused(tokenRewards, length, 1.5, {}, 'discount must be from 0 to 1 (got 1.5)');
    refused(tokenRewards, length, 1, { scale: 'batches' }, 'scale must be one of batch, robust, group, none (got "batches")');
    for (const clip of [0, NaN]) {
      refused(tokenRewards, length, 1, { clip }, `clip must be a positive number (got ${clip})`);
      expect(() => advantages(new Float32Array(GROUP), 'batch', clip)).toThrow(`clip must be a positive number (got ${clip})`);
    }
  });
});
