/** The optimizer of the generator. */
import { adamw, type Optimizer } from '../learn/optimizer';
import type { Config } from './config';
import { linear } from './schedule';

/** The generator's Adam at a training step, counted from 0. */
export const policyOptimizer = (
  { learningRate, learningRateEnd, steps }: Pick<Config, 'learningRate' | 'learningRateEnd' | 'steps'>,
  step: number,
): Optimizer => adamw({ learningRate: linear(learningRate, learningRateEnd, step, steps), b2: 0.95, epsRoot: 0 });
