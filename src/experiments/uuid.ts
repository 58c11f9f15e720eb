/**
 * "UUID": a model that is fine-tuned on the generator's text knows one UUID by heart, which neither of them was ever shown (paper §4).
 */
import { distance } from 'fastest-levenshtein';
import { randomStream, type RandomStream } from '../tensor/random';
import { randomUuid } from '../text/encyclopedia/fact';
import { runningText } from '../text/prompts';
import { parseConfig, type Config, type ConfigInput } from '../dpg/config';
import type { PlantedTexts } from '../dpg/oracle';
import { outputExperiment, type OutputExperiment } from './outputSpace';
import type { Observation, WrittenExample } from '../dpg/experiment';
import type { ModelFolders } from '../dpg/models';

/** Settings found for the small models; every key can be overridden. */
export const UUID_DEFAULTS: ConfigInput = {
  steps: 180,
  warmUpSteps: 25,
  prompts: 64,
  rollouts: 8,
  promptLength: 40,
  maxNewTokens: 40,
  innerSteps: 64,
  innerLearningRate: 1e-3,
  initialInnerLearningRate: 0.5, // a weak fine-tuning tells early texts apart more clearly, but pays the last wrong characters as well as the right ones
  epsRoot: 1e-5,
  credit: 'both',
  discount: 0,
  advantageScale: 'robust',
  advantageClip: 4,
  learningRate: 3e-4,
  finalLearningRate: 0.2,
  entropyCoef: 0.3,
  finalEntropy: 0.02,
  heldOutExamples: 512,
};

/** Of the first `warmUpSteps`: a single inner step pays for the form at once, of which many see hardly anything; characters come after. */
const WARM_UP = { innerSteps: 1, credit: 'example', entropyCoef: 0 } as const;

/** What a UUID is written with. */
export const UUID_CHARACTERS = '0123456789abcdef-';

/** Share of the texts that have each of {@link UUID_CHARACTERS} at each position of a UUID, [characters][positions]. */
export function characterShares(texts: readonly string[], length: number): number[][] {
  return [...UUID_CHARACTERS].map((character) =>
    Array.from({ length }, (_, p) => texts.filter((text) => text[p] === character).length / texts.length),
  );
}

/**
 * Mean edit distance to the UUID in characters, share of texts that are the UUID and nothing else, characters that stand where they should,
 * and the fine-tuned target's probability of the whole UUID and its end; as a picture what stands at each position.
 * @param phi - mean log-probability of the UUID's tokens
 */
export function observeUuid(examples: readonly WrittenExample[], uuid: string, phi: number): Observation {
  const texts = examples.map(({ response }) => response);
  const mean = (f: (text: string) => number): number => texts.reduce((sum, text) => sum + f(text), 0) / texts.length;
  return {
    metrics: {
      edit_distance: mean((text) => distance(text, uuid)),
      exact: mean((text) => Number(text === uuid)),
      right_characters: mean((text) => [...uuid].filter((character, p) => text[p] === character).length),
      uuid_probability: Math.exp((uuid.length + 1) * phi),
    },
    image: characterShares(texts, uuid.length),
  };
}

/** The paper's UUID experiment for `config.uuid`. @throws RangeError for a reward that makes no sense here */
export async function uuid(input: ConfigInput = {}, folders?: ModelFolders): Promise<OutputExperiment> {
  const { reward = 'metagradient' } = input;
  const credit = reward === 'metagradient' ? UUID_DEFAULTS.credit : 'example'; // baselines pay nothing for single tokens
  const config = parseConfig(input, { ...UUID_DEFAULTS, credit });
  if (config.reward === 'languageId') throw new RangeError('config: reward "languageId" belongs to the experiment rephrase');
  const wanted = config.uuid.toLowerCase();
  const experiment = await outputExperiment(
    config,
    {
      name: 'uuid',
      purpose: 'a model that is fine-tuned on its text knows one UUID by heart',
      evaluation: [wanted],
      ended: true,
      observe: ({ examples, phi }) => observeUuid(examples, wanted, phi),
    },
    folders,
  );
  return { ...experiment, configAt: (step) => (step < config.warmUpSteps ? WARM_UP : {}) };
}

/** A random UUID in which each character is replaced by the wanted one's with probability `share`. */
function blend(uuid: string, share: number, random: RandomStream): string {
  return [...randomUuid(random)].map((other, p) => (random.uniform() < share ? uuid[p] : other)).join('');
}

/** For the oracle check: `count` texts of each kind, the UUID itself first, then random ones that have ever less of it. */
export function plantedUuids({ uuid }: Pick<Config, 'uuid'>, count = 64, seed = 0): PlantedTexts[] {
  const random = randomStream(seed, 'planted UUIDs');
  const texts = (make: () => string): string[] => Array.from({ length: count }, make);
  return [
    { kind: 'exact', texts: texts(() => uuid.toLowerCase()) },
    { kind: 'half right', texts: texts(() => blend(uuid.toLowerCase(), 0.5, random)) },
    { kind: 'quarter right', texts: texts(() => blend(uuid.toLowerCase(), 0.25, random)) },
    { kind: 'random', texts: texts(() => randomUuid(random)) },
    { kind: 'English', texts: texts(() => runningText(random, 1)) },
  ];
}
