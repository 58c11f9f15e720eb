/** The reference model and metagradients: float64, unrolled autograd of another framework. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { specSchema } from '../../src/experiments/metagradientSpec';
import { loadCheckpoint } from '../../src/model/hub/checkpoint';
import type { Gpt2Config } from '../../src/model/types';
import type { Params } from '../../src/tensor/params';

export const REFERENCE = path.join(__dirname, '..', 'fixtures', 'metagradients');

const readJson = (name: string): unknown => JSON.parse(readFileSync(path.join(REFERENCE, name), 'utf8'));

interface Expected {
  phi: number;
  tau: number[][];
  train_losses: number[];
  final_lm_head_sum_abs_change: number;
  final_lm_head_first_row: number[];
}

export const referenceCases = specSchema
  .parse(readJson('cases.json'))
  .map((spec) => ({ spec, expected: spec.expected as Expected }));

export const referenceLogits = readJson('logits.json') as { input_ids: number[][]; logits: number[][][] };

/** The reference model's parameters as new tensors. */
export function referenceModel(): { config: Gpt2Config; params: Params } {
  const { config, params } = loadCheckpoint(REFERENCE);
  return {
    config: config as Gpt2Config,
    params: Object.fromEntries(Object.entries(params).map(([name, { data, shape }]) => [name, tf.tensor(data, [...shape])])),
  };
}
