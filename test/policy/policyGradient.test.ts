/** The tape engine's policy gradient against central differences of the surrogate in float64. */
import { beforeAll, describe, expect, it } from 'vitest';
import { tapeGpt2 } from '../../src/model/tape/tape';
import { randomStream } from '../../src/tensor/random';
import { numericalGradient } from '../oracles/differences';
import { gpt2LogProbs, type NamedValues, type Values } from '../oracles/gpt2Float64';
import { packed, randomAllowed, renormalised } from '../support/allowedTokens';
import { useBackend } from '../support/backend';
import { flat, randomBatch, randomValues, toParams } from '../support/randomGpt2';

const config = { vocab_size: 5, n_positions: 4, n_embd: 4, n_layer: 1, n_head: 2, layer_norm_epsilon: 1e-5 };
const [temperature, clip, klCoef, entropyCoef] = [0.8, 0.2, 0.3, 0.2];

beforeAll(() => useBackend('cpu'));

describe('the policy gradient on the tape', () => {
  it.each([
    ['all tokens', false],
    ['the tokens of a support', true],
  ])('is the derivative of −mean min(r·A, clip(r)·A) − entropyCoef·entropy + klCoef·KL over %s', async (_, isRestricted) => {
    const random = randomStream(1, 'policy gradient');
    const values = randomValues(config, random, 0.5);
    const batch = randomBatch(config, random, 4, 4);
    const label = (cell: number): number => batch.ids[Math.floor(cell / 4) * 5 + (cell % 4) + 1];
    const allowed = randomAllowed(random, 16, 5, (cell) => (isRestricted ? label(cell) : -1));
    /** log-probabilities of all tokens and of the labels, on the support. */
    const logProbs = (at: NamedValues) => {
      const all = gpt2LogProbs(at, config, batch, temperature).all;
      const own = isRestricted ? renormalised(all, 5, allowed) : all;
      return { all: own, chosen: Float64Array.from({ length: 16 }, (_, cell) => own[5 * cell + label(cell)]) };
    };
    const start = logProbs(values).chosen;
    const around = (scale: number) => Float32Array.from(start, (lp) => lp + scale * random.normal());
    const [advantages, oldLogProbs, refLogProbs] = [Float32Array.from(start, () => random.normal()), around(0.3), around(0.4)];

    function surrogate(at: NamedValues): { loss: number; cut: number } {
      const { all, chosen } = logProbs(at);
      let [sum, count, cut] = [0, 0, 0];
      chosen.forEach((lp, cell) => {
        if (!batch.mask[cell]) return;
        const ratio = Math.exp(lp - oldLogProbs[cell]);
        const [free, bounded] = [ratio, Math.min(Math.max(ratio, 1 - clip), 1 + clip)].map((r) => r * advantages[cell]);
        const logs = all.subarray(cell * config.vocab_size, (cell + 1) * config.vocab_size);
        const entropy = -logs.reduce((total, log) => (log > -Infinity ? total + Math.exp(log) * log : total), 0);
        const gap = refLogProbs[cell] - lp;
        sum += klCoef * (Math.exp(gap) - gap - 1) - Math.min(free, bounded) - entropyCoef * entropy;
        cut += Number(bounded < free);
        count++;
      });
      return { loss: sum / count, cut: cut / count };
    }

    const names = Object.keys(values).sort();
    const named = (x: Values[]): NamedValues => Object.fromEntries(names.map((name, i) => [name, x[i]]));
    const expected = numericalGradient(
      (x) => surrogate(named(x)).loss,
      names.map((name) => values[name]),
    );
    const terms = { advantages, oldLogProbs, refLogProbs, clip, klCoef, entropyCoef, temperature };
    const asked = isRestricted ? { ...batch, support: packed(allowed, 5) } : batch;
    const found = await tapeGpt2(config, { microbatch: 3 }).policyGradient(toParams(config, values), asked, terms);
    expect(flat(found.gradient)).toBeAllClose(
      expected.flatMap((x) => [...x]),
      { rtol: 1e-4 },
    );
    expect(surrogate(values).cut).toBeGreaterThan(0.1);
    expect(found.clipFraction).toBeCloseTo(surrogate(values).cut, 6);
  });
});
