/**
 * Whether an experiment's texts fit its models: told before a run writes anything.
 */
import { randomStream } from '../tensor/random';
import type { Experiment } from './experiment';

/** @throws RangeError for prompts and responses longer than the generator's positions, or responses longer than the target's */
export function requireFit({ config, generator, target, prompts }: Experiment): void {
  const { maxNewTokens, seed } = config;
  for (const split of ['train', 'heldOut'] as const) {
    const [{ length }] = prompts(split, 1, randomStream(seed, 'a prompt to measure'));
    const { n_positions: positions } = generator.model.config;
    if (length + maxNewTokens > positions)
      throw new RangeError(
        `prompt (${length}) and response (${maxNewTokens} tokens) exceed the generator's ${positions} positions`,
      );
  }
  const { n_positions: positions } = target.model.config;
  if (maxNewTokens - 1 > positions)
    throw new RangeError(`a response of ${maxNewTokens} tokens exceeds the target's ${positions} positions: lower maxNewTokens`);
}
