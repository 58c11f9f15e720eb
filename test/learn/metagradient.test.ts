import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { runCase } from '../../src/experiments/metagradientSpec';
import { tapeGpt2 } from '../../src/model/tape/tape';
import { gpt2Logits } from '../../src/model/families/gpt2';
import { referenceCases, referenceLogits, referenceModel } from '../support/reference';
import { regressionSlope, relativeError } from '../setup';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

describe('GPT-2 on the tape', () => {
  it('agrees with the reference logits', () => {
    const { config, params } = referenceModel();
    referenceLogits.input_ids.forEach((ids, i) => {
      const logits = tf.tidy(() => gpt2Logits(params, config, Int32Array.from(ids), 1).dataSync());
      expect(logits).toBeAllClose(referenceLogits.logits[i].flat(), { atol: 1e-4 });
    });
  });
});

describe.each(referenceCases)('metagradient, $spec.name', ({ spec, expected }) => {
  it('equals unrolled float64 autograd in value and scale', async () => {
    const { config, params } = referenceModel();
    const { phi, tau, trainLosses } = await runCase(spec, tapeGpt2(config), params);
    expect(phi).toBeCloseTo(expected.phi, 4);
    expect(trainLosses).toBeAllClose(expected.train_losses, { rtol: 1e-5 });
    expect(tau.map((batch) => batch.length)).toEqual(expected.tau.map((batch) => batch.length));
    expect(relativeError(tau.flat(), expected.tau.flat())).toBeLessThanOrEqual(1e-3);
    expect(Math.abs(regressionSlope(tau.flat(), expected.tau.flat()) - 1)).toBeLessThanOrEqual(1e-2);
  });
});
