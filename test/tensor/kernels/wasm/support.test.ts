/** The kernels of a support against plain JavaScript; the second also where a row ends inside a word. */
import { describe, expect, it } from 'vitest';
import { randomStream } from '../../../../src/tensor/random';
import { packed, randomAllowed, unpacked } from '../../../support/allowedTokens';
import { kernelMemory } from '../../../support/kernelMemory';

const [ROWS, VOCAB] = [5, 71];
const random = randomStream(6, 'support');
const logits = Float32Array.from({ length: ROWS * VOCAB }, () => 3 * random.normal());
const m = kernelMemory();

describe('applySupport', () => {
  it.each([ROWS, 1])('leaves the logits of allowed tokens alone and all others none; %i rows of bits', (count) => {
    const allowed = randomAllowed(random, count, VOCAB, (row) => row);
    const { bits, words } = packed(allowed, VOCAB);
    const at = m.put(logits);
    m.k.applySupport(ROWS, VOCAB, at, m.putIntegers(bits), count === 1 ? 0 : words, -7);
    const expected = logits.map((x, i) => (allowed[count === 1 ? 0 : Math.floor(i / VOCAB)].includes(i % VOCAB) ? x : -7));
    expect(m.read(at, ROWS * VOCAB)).toEqual(expected);
  });
});

describe('minPSupport', () => {
  it.each([0.02, 0.5, 1 - 1e-6])('finds the tokens with at least %d of the likeliest one’s probability', (minP) => {
    const bits = m.putIntegers(new Int32Array(ROWS * 3).fill(-1));
    m.k.minPSupport(ROWS, VOCAB, m.put(logits), Math.log(minP), bits);
    const expected = Array.from({ length: ROWS }, (_, row) => {
      const own = [...logits.subarray(row * VOCAB, (row + 1) * VOCAB)].map(Math.exp);
      return own.flatMap((p, id) => (p >= minP * Math.max(...own) ? id : []));
    });
    const words = m.readIntegers(bits, ROWS * 3);
    expect(unpacked({ bits: words, words: 3 }, 96)).toEqual(expected); // nothing beyond the vocabulary
    expect(expected.some((ids) => ids.length > 1)).toBe(minP < 0.9);
  });
});

describe('sampleTokens after applySupport', () => {
  it.each([
    ['at 0', 0, 5],
    ['just below 1', 1 - 2 ** -24, 42],
    ['exactly between the two that are allowed', 0.5, 42],
  ])('draws no token that is forbidden, %s', (_, uniform, id) => {
    const { bits } = packed([[5, 42]], VOCAB);
    const [at, ids, logProbs] = [m.put(new Float32Array(VOCAB)), m.putIntegers([77]), m.room(1)];
    m.k.applySupport(1, VOCAB, at, m.putIntegers(bits), 0, -1e9);
    m.k.sampleTokens(1, VOCAB, at, 1, m.put([uniform]), ids, logProbs);
    expect(m.readIntegers(ids, 1)[0]).toBe(id);
    expect(m.read(logProbs, 1)[0]).toBeCloseTo(Math.log(0.5), 6);
  });
});
