import { describe, expect, it } from 'vitest';
import { PAYLOAD, qrPattern, readQrCode } from '../../src/objective/qrCode';
import { randomStream } from '../../src/tensor/random';

describe('a QR code', () => {
  it.each([PAYLOAD, 'DPG67'])('of %s is read back by both readers', async (payload) => {
    const pattern = qrPattern(payload);
    expect([pattern.length, pattern[0].length]).toEqual([21, 21]);
    expect(await readQrCode(pattern)).toEqual({ zxing: payload, jsqr: payload });
  });

  it('with every tenth pixel wrong is read as nothing else', async () => {
    const random = randomStream(1, 'flips');
    const damaged = qrPattern().map((row) => row.map((y) => (random.uniform() < 0.1 ? -y : y)));
    for (const text of Object.values(await readQrCode(damaged))) expect([null, PAYLOAD]).toContain(text);
  });

  it('of noise is not read', async () => {
    const random = randomStream(2, 'noise');
    expect(await readQrCode(qrPattern().map((row) => row.map(() => (random.uniform() < 0.5 ? -1 : 1))))).toEqual({
      zxing: null,
      jsqr: null,
    });
  });

  it.each(['lower case', '', 'ELEVENCHARS'])('cannot hold %j', (payload) => {
    expect(() => qrPattern(payload)).toThrow(/payload must be 1 to 10 characters of 0-9 A-Z .* \(got/);
  });
});
