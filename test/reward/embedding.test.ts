import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { embeddingScore, textEmbeddings } from '../../src/reward/embedding';
import { useBackend } from '../support/backend';

beforeAll(() => useBackend('cpu'));

const close = { atol: 1e-6 };

/** Four tokens on a circle around (2, 2). */
const circle = () => ({ 'transformer.wte.weight': tf.tensor([[3, 2], [2, 3], [1, 2], [2, 1]]) }); // prettier-ignore

describe('embeddings of texts', () => {
  it('are unit vectors, the same for any order of the tokens and any number of repetitions', () => {
    const embed = textEmbeddings(circle());
    expect(embed([0])).toBeAllClose([1, 0], close);
    expect(embed([0, 1])).toBeAllClose([Math.SQRT1_2, Math.SQRT1_2], close);
    expect(embed([1, 0, 1, 0])).toBeAllClose(embed([0, 1]), close);
    expect(embed([])).toEqual(Float32Array.of(0, 0));
    expect(embed([0, 2])).toBeAllClose([0, 0], close); // opposite tokens
  });

  it('as a reward are the mean cosine with the evaluation set', async () => {
    const score = embeddingScore(circle(), [[0], [0, 1]]);
    const cos = (degrees: number) => Math.cos((degrees * Math.PI) / 180);
    const expected = [(cos(0) + cos(45)) / 2, (cos(90) + cos(45)) / 2, (cos(180) + cos(135)) / 2, 0];
    expect(await score([[0, 0], [1], [2], []])).toBeAllClose(expected, close);
  });

  it('need a model with token embeddings', () => {
    expect(() => textEmbeddings({ 'lm_head.weight': tf.zeros([2, 2]) })).toThrow(
      '"transformer.wte.weight"; the target has lm_head.weight',
    );
  });
});
