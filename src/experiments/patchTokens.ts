/**
 * Which tokens' columns of the LM head carry a picture, and whether the generator writes them: a column whose token is never written cannot
 * be told where to go. Small vocabularies begin with what is frequent; those of real tokenizers begin with control tokens and bytes (ours).
 */
import type { Config } from '../dpg/config';
import type { Experiment } from '../dpg/experiment';
import { untrainedResponses } from '../dpg/untrained';
import type { Tokenizer } from '../text/tokenizer';

/** An experiment before its Φ is known. */
type Setting = Pick<Experiment<Config & { readonly patchTokens: string }>, 'config' | 'generator' | 'target' | 'prompts'>;

/** Of all runs, so that a run that goes on later draws into the same columns. */
const SEED = 0;
/** Responses that say what a generator writes. */
const RESPONSES = 64;

/** How often the target reads each of its tokens in what the untrained generator writes, [vocab]. */
async function tokenCounts(setting: Setting): Promise<Int32Array> {
  const streams = { seed: SEED, prompts: 'prompts of the patch', tokens: 'tokens of the patch' };
  const counts = new Int32Array(setting.target.model.config.vocab_size);
  for (const id of (await untrainedResponses(setting, RESPONSES, streams)).flat()) counts[id]++;
  return counts;
}

/** The ids that a list names, as numbers or as the tokens themselves. */
const listed = (list: string, tokenizer: Tokenizer): number[] =>
  list.split(',').map((token) => {
    const id = /^\d+$/.test(token) ? Number(token) : tokenizer.idOf(token);
    if (id === undefined) throw new RangeError(`config: patchTokens: the target has no token "${token}"; name it by its id`);
    return id;
  });

/**
 * A token of the target for each of `columns` columns. Where the untrained generator writes fewer than half of them, a warning says so.
 * @throws RangeError for a token that the target does not have
 */
export async function patchTokens(columns: number, setting: Setting): Promise<number[]> {
  const { config, target } = setting;
  const counts = await tokenCounts(setting);
  const ids = [...counts.keys()];
  const chosen = {
    first: () => ids.slice(0, columns),
    frequent: () => ids.sort((a, b) => counts[b] - counts[a] || a - b).slice(0, columns),
  }[config.patchTokens];
  const tokens = chosen ? chosen() : listed(config.patchTokens, target.tokenizer);
  const unwritten = tokens.filter((id) => !counts[id]);
  if (2 * unwritten.length > tokens.length)
    console.warn(
      `the picture’s columns are ${tokens.length} tokens of which the untrained generator wrote ${unwritten.length} not once in ` +
        `${counts.reduce((a, b) => a + b)} (ids ${unwritten.slice(0, 8).join(', ')}${unwritten.length > 8 ? ', …' : ''}): ` +
        (config.patchTokens === 'frequent'
          ? 'it writes too few different tokens'
          : 'their pixels stay at chance; take patchTokens frequent'),
    );
  return tokens;
}
