/**
 * "UUID": a model that is fine-tuned on the generator's text knows one UUID by heart, which neither of them was ever shown (paper §4).
 */
import { distance } from 'fastest-levenshtein';
import { randomStream, type RandomStream } from '../tensor/random';
import { randomUuid } from '../text/encyclopedia/fact';
import { runningText } from '../text/prompts';
import { sharedKeys } from '../dpg/config';
import type { Experiment, Observation, WrittenExample } from '../dpg/experiment';
import { oneOf, text, whole, type ConfigOf } from '../dpg/keys';
import type { ModelFolders } from '../dpg/models';
import type { PlantedTexts } from '../dpg/oracle';
import { makeExperiment, type Definition } from './definition';
import { outputMethods, outputParts, PIECE_MODELS, type OutputParts } from './outputSpace';
import { outputPresets } from './paper';

/** As RFC 9562 writes them. */
const UUID = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$/;

export const uuidKeys = {
  ...sharedKeys,
  reward: oneOf<string>(['metagradient', 'naive', 'levenshtein', 'embedding'], {
    default: 'metagradient',
    description: 'What a response is paid; the last two compare it with the UUID',
    paper: 'metagradient; others as baselines',
  }),
  uuid: text(UUID, { default: 'f47ac10b-58cc-4372-a567-0e02b2c3d479', description: 'The one to reach' }),
  warmUpSteps: whole({
    min: 0,
    max: 1_000_000,
    default: 0,
    description:
      'First steps, with one inner step, credit per response and no entropy bonus, until responses look like a UUID (ours)',
  }),
};

/** The configuration of the UUID experiment. */
export type UuidConfig = ConfigOf<typeof uuidKeys>;

/** Of the first `warmUpSteps`: a single inner step pays for the form at once, of which many see hardly anything; characters come after. */
const WARM_UP = { innerSteps: 1, credit: 'example', entropyCoef: 0, entropyCoefEnd: 0, supportMinP: 0 } as const;

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
  const exact = texts.filter((text) => text === uuid).length / texts.length;
  const mean = (f: (text: string) => number): number => texts.reduce((sum, text) => sum + f(text), 0) / texts.length;
  return {
    metrics: {
      edit_distance: mean((text) => distance(text, uuid)),
      exact,
      right_characters: mean((text) => [...uuid].filter((character, p) => text[p] === character).length),
      uuid_probability: Math.exp((uuid.length + 1) * phi),
    },
    image: characterShares(texts, uuid.length),
    done: exact >= 0.95,
    reached: 0.75 * Math.exp(phi) + 0.25 * exact, // a character's probability grows before there is any exact output
  };
}

/**
 * The experiment's bonus of 0.3 is more than weaker signals hold against: with credit per response outputs became junk, 210 characters from
 * the UUID.
 */
const LITTLE_ENTROPY = { entropyCoef: 0.06, entropyCoefEnd: 0.006 } as const;

/** The paper's UUID experiment for `config.uuid`. */
export const uuidDefinition: Definition<UuidConfig, OutputParts<UuidConfig>> = {
  name: 'uuid',
  keys: uuidKeys,
  models: PIECE_MODELS,
  defaults: {
    steps: 360, // at most: most runs end at half of them
    stopAfterDone: 5,
    warmUpSteps: 25,
    prompts: 64,
    groupSize: 8,
    promptLength: 40,
    maxNewTokens: 40,
    supportMinP: 0.01, // else, a word in the midst of a UUID, of which each is rare and all together are not, derails outputs
    supportOf: 'itself',
    innerSteps: 64,
    // a weak fine-tuning tells early texts apart more clearly, but pays the last wrong characters as well as the right ones
    innerLearningRate: 5e-4,
    innerLearningRateEnd: 1e-3,
    innerEpsRoot: 1e-5,
    credit: 'both',
    discount: 0,
    advantageScale: 'robust',
    advantageClip: 4,
    learningRate: 3e-4,
    learningRateEnd: 6e-5,
    entropyCoef: 0.3,
    entropyCoefEnd: 0.006,
    heldOutExamples: 512,
  },
  presets: outputPresets<UuidConfig>({ paper: { steps: 360, warmUpSteps: 0 } }), // paper: 360
  sweep: {
    examples: 92_160, // 180 steps of 512
    tuningExamples: 18_432,
    every: 9_216,
    seeds: [0],
    config: { prompts: 64, groupSize: 8 },
    methods: outputMethods({
      learningRate: 3e-4,
      sgd: { innerLearningRate: 0.158, innerLearningRateEnd: 0.158 },
      rewards: ['naive', 'levenshtein'],
      own: 'both-credits',
      ablations: { adamw: { credit: 'example', ...LITTLE_ENTROPY }, 'token-credit': { credit: 'token' } },
      instead: LITTLE_ENTROPY,
    }),
  },
  make(config, models) {
    const wanted = config.uuid.toLowerCase();
    return {
      ...outputParts(config, models, { evaluation: [wanted], ended: true }),
      purpose: 'a model that is fine-tuned on its text knows one UUID by heart',
      observe: ({ examples, phi }) => observeUuid(examples, wanted, phi),
      configAt: (step) => (step < config.warmUpSteps ? WARM_UP : {}),
    };
  },
};

/** The paper's UUID experiment. @param input - keys that differ from its defaults @throws as {@link makeExperiment} */
export const uuid = (
  input: Partial<UuidConfig> = {},
  models: ModelFolders = {},
): Promise<Experiment<UuidConfig> & OutputParts<UuidConfig>> => makeExperiment(uuidDefinition, input, models);

/** A random UUID in which each character is replaced by the wanted one's with probability `share`. */
function blend(uuid: string, share: number, random: RandomStream): string {
  return [...randomUuid(random)].map((other, p) => (random.uniform() < share ? uuid[p] : other)).join('');
}

/** For the oracle check: `count` texts of each kind, the UUID itself first, then random ones that have ever less of it. */
export function plantedUuids({ uuid }: Pick<UuidConfig, 'uuid'>, count = 64, seed = 0): PlantedTexts[] {
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
