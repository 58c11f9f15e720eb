/**
 * What "67" and the QR code share: a picture appears in the LM head of a model that was fine-tuned on the generator's text (paper §4).
 */
import { patternObjective, readPattern, requirePlace, type Pattern, type PatternReading } from '../objective/pattern';
import type { Params } from '../tensor/params';
import type { Actors } from '../dpg/experiment';
import { number, text, type ConfigOf } from '../dpg/keys';
import { geometric } from '../dpg/schedule';
import type { Parts } from './definition';
import { patchTokens } from './patchTokens';
import { articlePrompts, promptedKeys } from './weightSpace';

/** The keys of an experiment whose Φ is a picture. */
export const patternKeys = {
  ...promptedKeys,
  strength: number({
    above: 0,
    max: 1e9,
    default: 3000,
    unit: '1/weight',
    description: 'How soon a moved weight counts as done, at the first step',
    paper: '20',
  }),
  strengthEnd: number({
    above: 0,
    max: 1e9,
    sameAs: 'strength',
    unit: '1/weight',
    description: 'At the last step (geometric), and in validation',
    paper: '20',
  }),
  patchTokens: text(/^[^,]+(,[^,]+)*$/, {
    default: 'first',
    description:
      'Tokens of the target whose columns of the LM head carry the picture: `first`, `frequent` (those that the untrained ' +
      'generator writes most), or a list of ids or tokens, e.g. 12,7,ing',
    paper: 'first',
  }),
};

/** Their configuration. */
export type PatternConfig = ConfigOf<typeof patternKeys>;

/** What an experiment whose Φ is a picture brings. */
export interface PatternParts extends Parts<PatternConfig> {
  readonly pattern: Pattern;
  /** What the patch of a fine-tuned target shows; its loss per pixel is that of the last step's strength. */
  readonly read: (tuned: Params) => PatternReading;
}

/**
 * Draws `pattern` into the LM head, at its first hidden dimensions and the tokens that the configuration names.
 * @throws RangeError for tokens that the target does not have, or that are not as many as the picture has columns
 */
export async function patternParts(pattern: Pattern, config: PatternConfig, actors: Actors): Promise<PatternParts> {
  const { strength, strengthEnd } = config;
  const { params } = actors.target;
  const prompts = articlePrompts(actors.generator, config);
  const tokens = await patchTokens(pattern[0].length, { config, ...actors, prompts });
  requirePlace(pattern, params, { tokens });
  const read = (tuned: Params): PatternReading => readPattern(pattern, params, tuned, { strength: strengthEnd, tokens });
  return {
    purpose: `a model that is fine-tuned on its text carries a picture of ${pattern.length} × ${pattern[0].length} pixels in its LM head`,
    prompts,
    pattern,
    read,
    objective: {
      at: (step, steps) => patternObjective(pattern, params, { strength: geometric(strength, strengthEnd, step, steps), tokens }),
    },
    observe: ({ tuned }) => {
      const { accuracy, change } = read(tuned);
      return { metrics: { pixel_accuracy: accuracy }, image: change, done: accuracy === 1 };
    },
  };
}
