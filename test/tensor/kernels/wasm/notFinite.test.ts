/** Kernels on numbers that are none: NaN of any bits and infinity reach the result, or the row says that it has no token. */
import { describe, expect, it } from 'vitest';
import { relaxedSupported } from '../../../../src/tensor/kernels/wasm/kernels';
import { kernelMemory } from '../../../support/kernelMemory';

const VOCAB = 7;
const logits = [1, 2, 3, 4, 0.5, 1, 2];
const fromBits = (bits: number): number => new Float32Array(Uint32Array.of(bits).buffer)[0];
/** Quiet NaN of both signs, the same with a payload (as files may hold it), infinity; written as bits: a number would lose them. */
const broken: [string, number][] = [0x7fc00000, 0xffc00000, 0x7fc00001, 0xffffffff, 0x7f800000].map((bits) => [
  bits.toString(16),
  bits,
]);

describe.each([false, true])('relaxed SIMD: %s', (relaxed) => {
  if (relaxed) relaxedSupported(); // switches it on where V8 has it behind a flag
  const m = kernelMemory(relaxed);
  /** A good row and one whose number `at` has these bits. */
  const rows = (bits: number, at: number) => {
    const x = m.put([...logits, ...logits]);
    m.putBits(x + 4 * (VOCAB + at), bits);
    return x;
  };

  it.each(broken)('a logit of bits %s spoils its row alone: loss, gradient, sample', (_, bits) => {
    for (const at of [0, 3, 6]) {
      const [targets, weights, values] = [m.putIntegers([2, 2]), m.put([1, 1]), m.room(2)];
      m.k.crossEntropyForward(2, VOCAB, rows(bits, at), targets, 1, values);
      expect(m.read(values, 2)[0]).toBeCloseTo(3 - Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0)), 5);
      expect(m.read(values, 2)[1]).toBeNaN();
      const x = rows(bits, at);
      m.k.crossEntropyBackward(2, VOCAB, x, targets, weights, values);
      expect(m.read(values, 2)[1]).toBeNaN();
      expect([...m.read(x, VOCAB)].every(Number.isFinite)).toBe(true);
      expect([...m.read(x + 4 * VOCAB, VOCAB)].some(Number.isNaN)).toBe(true);
      const [ids, logProbs] = [m.putIntegers([77, 77]), m.put([-7, -7])]; // what a call before has left
      m.k.sampleTokens(2, VOCAB, rows(bits, at), 1, m.put([0.5, 0.5]), ids, logProbs);
      expect([...m.readIntegers(ids, 2)]).toEqual([3, 0]);
      expect([...m.read(logProbs, 2)].map(Number.isNaN)).toEqual([false, true]);
    }
  });

  it('a policy row whose reference is NaN has a KL of NaN', () => {
    const [zeros, out] = [m.zeros(1), [m.room(1), m.room(1), m.room(1), m.room(1)] as const];
    const at = [m.putIntegers([2]), 1, zeros, zeros, m.put([fromBits(0x7fc00000)])] as const;
    m.k.policyBackward(1, VOCAB, m.put(logits), ...at, 0.2, 0.1, 0, 1, ...out);
    expect(m.read(out[2], 1)[0]).toBeNaN();
  });

  it('a token of probability 0 is not drawn, at 0 and just below 1', () => {
    for (const [uniform, id] of [
      [0, 2],
      [1 - 2 ** -24, 4],
    ]) {
      // prettier-ignore
      const row = m.put([-Infinity, -200, 1, 2, 3, -200, -Infinity]);
      const [ids, logProbs] = [m.putIntegers([77]), m.room(1)];
      m.k.sampleTokens(1, VOCAB, row, 1, m.put([uniform]), ids, logProbs);
      expect(m.readIntegers(ids, 1)[0]).toBe(id);
      expect(m.read(logProbs, 1)[0]).toBeGreaterThan(-3);
    }
  });
});
