import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { forward } from '../../../src/model/tape/forward';
import { gpt2Logits } from '../../oracles/gpt2Float64';
import { useBackend } from '../../support/backend';
import { TINY, tinyParams } from '../../support/tinyExperiment';

beforeAll(() => useBackend('cpu'));

const ids = [[1, 2, 3, 4], [5, 4, 0, 2]]; // prettier-ignore

describe('a forward pass', () => {
  it('has the logits of the float64 oracle', () => {
    const params = tinyParams(1);
    const values = Object.fromEntries(Object.entries(params).map(([name, x]) => [name, Float64Array.from(x.dataSync())]));
    const batch = { ids: Int32Array.from(ids.flatMap((text) => [...text, 0])), size: 2, length: 4, mask: new Float32Array(8) };
    const { logits } = forward(TINY, params, ids);
    expect(logits.shape).toEqual([2, 4, TINY.vocab_size]);
    expect(logits.dataSync()).toBeAllClose(gpt2Logits(values, TINY, batch), { rtol: 1e-4, atol: 1e-5 });
  });

  it('has attention maps that look back only and add up to one, and hidden states that begin with the embeddings', () => {
    const params = tinyParams(1);
    const { attentions, hidden, logits } = forward(TINY, params, ids);
    expect([attentions.length, hidden.length]).toEqual([TINY.n_layer, TINY.n_layer + 1]);
    expect(attentions[0].shape).toEqual([2, TINY.n_head, 4, 4]);
    expect(tf.sum(attentions[0], -1).dataSync()).toBeAllClose(new Float32Array(16).fill(1), { rtol: 1e-5 });
    const rows = attentions[0].arraySync();
    for (const head of rows.flat())
      for (let t = 0; t < 4; t++) for (let later = t + 1; later < 4; later++) expect(head[t][later]).toBe(0);
    const [wte, wpe] = ['wte', 'wpe'].map((name) => params[`transformer.${name}.weight`].arraySync() as number[][]);
    const embedded = ids.map((text) => text.map((id, t) => wte[id].map((x, k) => x + wpe[t][k])));
    expect(hidden[0].dataSync()).toBeAllClose(Float32Array.from(embedded.flat(2)), { rtol: 1e-5 });
    const head = tf.matMul(tf.reshape(hidden[1], [8, TINY.n_embd]), params['lm_head.weight'] as tf.Tensor2D, false, true);
    expect(head.dataSync()).toBeAllClose(logits.dataSync(), { rtol: 1e-5 });
  });

  it.each<[number[][], string]>([
    [[[1, 2], [1]], 'texts must have one length: text 0 has 2 tokens, text 1 has 1'], // prettier-ignore
    [[[]], 'texts must have 1 to 12 tokens'],
    [[Array<number>(13).fill(1)], 'texts must have 1 to 12 tokens, the model\'s positions (got 13)'], // prettier-ignore
    [[[1, 11]], 'token id 11 is outside the vocabulary of 11'],
  ])('refuses %j', (texts, message) => {
    expect(() => forward(TINY, tinyParams(1), texts)).toThrow(message);
  });
});
