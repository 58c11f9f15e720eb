/** What the untrained generator writes, for what is measured before a run. */
import { responsesOf, rollout } from '../policy/rollouts';
import { randomStream } from '../tensor/random';
import type { Experiment } from './experiment';
import { reading } from './reading';
import { supportRule } from './supportRule';

/**
 * Responses of the untrained generator to training prompts, one each, as the target reads them: [count] arrays of its token ids.
 * @param streams - prompts and tokens are drawn from the streams of these names
 */
export async function untrainedResponses(
  experiment: Pick<Experiment, 'config' | 'generator' | 'target' | 'prompts'>,
  count: number,
  streams: { readonly seed: number; readonly prompts: string; readonly tokens: string },
): Promise<readonly (readonly number[])[]> {
  const { config, generator, prompts } = experiment;
  const rollouts = await rollout({
    model: generator.model,
    params: generator.params,
    prompts: prompts('train', count, randomStream(streams.seed, streams.prompts)),
    group: 1,
    maxNewTokens: config.maxNewTokens,
    temperature: config.temperature,
    endTokens: generator.tokenizer.eosIds,
    rule: supportRule(experiment),
    random: randomStream(streams.seed, streams.tokens),
  });
  return reading(experiment)(responsesOf(rollouts)).responses;
}
