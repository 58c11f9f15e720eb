/** Which tokens a generator may write: those that its tokenizer has, and of these only what is likely enough. */
import { sharedSupport } from '../model/tokenSupport';
import type { Support, SupportRule } from '../model/types';
import type { Params } from '../tensor/params';
import type { Actor, Experiment } from './experiment';

/** The ids that stand for tokens; undefined where all do. Models are often padded beyond their tokenizer. */
export function writableTokens({ model, tokenizer }: Pick<Actor, 'model' | 'tokenizer'>): Support | undefined {
  const { vocab_size: vocab } = model.config;
  const isAll = Array.from({ length: vocab }, (_, id) => id).every(tokenizer.isToken);
  return isAll ? undefined : sharedSupport(vocab, tokenizer.isToken);
}

/**
 * In training and in validation: `supportMinP` is about the generator as it was before training, or as it writes.
 * @param params - of the generator that writes
 */
export const supportRule = (
  { config, generator }: Pick<Experiment, 'config' | 'generator'>,
  params: Params = generator.params,
): SupportRule => ({
  writable: writableTokens(generator),
  minP: config.supportMinP,
  reference: config.supportOf === 'itself' ? params : generator.params,
});
