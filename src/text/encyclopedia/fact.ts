/**
 * Facts of the mini-encyclopedia: what an article states, free of any language. Every language file renders the same fact, so
 * texts in different languages are parallel by construction. Places and persons are invented.
 */
import type { RandomStream } from '../../tensor/random';

export const LANGUAGES = ['en', 'es', 'fr', 'de', 'it'] as const;
export type Language = (typeof LANGUAGES)[number];

/** What an article can be about, and which of its measures comes first: its length or its height. */
export const NOUNS = {
  aqueduct: 'long',
  bridge: 'long',
  canal: 'long',
  castle: 'high',
  chapel: 'high',
  church: 'high',
  fountain: 'high',
  garden: 'long',
  harbour: 'long',
  hospital: 'long',
  library: 'long',
  lighthouse: 'high',
  market: 'long',
  mill: 'high',
  monastery: 'long',
  museum: 'long',
  observatory: 'high',
  palace: 'long',
  school: 'long',
  stadium: 'long',
  station: 'long',
  temple: 'high',
  theatre: 'high',
  tower: 'high',
} as const satisfies Record<string, 'long' | 'high'>;
export type Noun = keyof typeof NOUNS;

export const ADJECTIVES = [
  ...(['old', 'new', 'large', 'small', 'narrow', 'famous', 'quiet', 'bright', 'green', 'white', 'red'] as const),
  ...(['round', 'medieval', 'modern', 'elegant', 'strange'] as const),
] as const;
export type Adjective = (typeof ADJECTIVES)[number];

/** What somebody once did to it. */
export const DEEDS = [
  ...(['built', 'opened', 'closed', 'restored', 'painted', 'designed', 'bought', 'sold', 'enlarged'] as const),
  ...(['described', 'sketched', 'discovered', 'saved', 'surveyed'] as const),
] as const;
export type Deed = (typeof DEEDS)[number];

export const MATERIALS = ['stone', 'wood', 'brick', 'iron', 'marble', 'glass'] as const;
export type Material = (typeof MATERIALS)[number];

export const PLACES: readonly string[] = [
  ...['Aldesk', 'Belmora', 'Dorvena', 'Ebrin', 'Fenwol', 'Gandrel', 'Hestor', 'Ivarna', 'Jolmen', 'Kardel', 'Lumora', 'Maltane'],
  ...['Nordel', 'Ostrin', 'Pellona', 'Quilone', 'Rovenka', 'Sorvel', 'Tarvik', 'Uldra', 'Velmar', 'Wistel', 'Xeldor', 'Zelmo'],
];

/** Family names; an initial is drawn for each. */
export const SURNAMES: readonly string[] = [
  ...['Asterlin', 'Balthun', 'Calvorn', 'Dessik', 'Ermand', 'Falquin', 'Grimvar', 'Hallorin', 'Iskeld', 'Jarvon', 'Kestrow'],
  ...['Lindaro', 'Morvek', 'Nastrel', 'Ondrake', 'Parvelle', 'Quorin', 'Rasvine', 'Selkor', 'Tolmeer', 'Ulverin', 'Vantrisse'],
  ...['Wendrak', 'Zedrano'],
];

/** What one sentence can tell. Every topic has the same number of wordings in every language. */
export const TOPICS = [
  ...(['fame', 'deed', 'location', 'size', 'distance', 'material', 'visitors', 'neighbour', 'price', 'owner'] as const),
  ...(['fittings', 'fair', 'quote', 'since', 'hours', 'reference', 'identifier'] as const),
] as const;
export type Topic = (typeof TOPICS)[number];

/** Topics that introduce the subject: an article opens with one of them. */
const INTRODUCTIONS: readonly Topic[] = ['fame', 'deed'];
const DETAILS: readonly Topic[] = TOPICS.filter((topic) => topic !== 'identifier');

/** Training texts and held-out texts are about disjoint facts, see {@link splitOf}. */
export type Split = 'train' | 'heldOut';

/** Everything the sentences about one subject can say. */
export interface Fact {
  readonly noun: Noun;
  /** A second subject, nearby. */
  readonly neighbour: Noun;
  readonly adjective: Adjective;
  readonly deed: Deed;
  readonly material: Material;
  /** Where it is, and another place. */
  readonly place: string;
  readonly town: string;
  /** Initial and family name, as in `K. Morvek`. */
  readonly person: string;
  /** 1100 … 1949, and a later year. */
  readonly year: number;
  readonly until: number;
  /** 2 … 28, and 0 … 11. */
  readonly day: number;
  readonly month: number;
  /** Metres: length or height (see {@link NOUNS}), and width. */
  readonly metres: number;
  readonly width: number;
  /** Kilometres, one decimal that is not 0. */
  readonly kilometres: number;
  readonly percent: number;
  readonly price: number;
  readonly lamps: number;
  readonly steps: number;
  readonly page: number;
  /** Opening hours as `9:30`. */
  readonly opens: string;
  readonly closes: string;
  /** What its article tells, in this order. */
  readonly topics: readonly Topic[];
  /** A catalogue identifier, where the article carries one. */
  readonly identifier?: string;
}

/** How facts are drawn. */
export interface FactOptions {
  /** Sentences in the article, 1 … 16 (an identifier comes on top). */
  sentences?: number;
  split?: Split;
  /** Share of the facts that carry a random catalogue UUID. */
  identifierRate?: number;
}

/**
 * A random UUID of any version (RFC 9562), in lower case. Given a split, no UUID of one split can occur in the other, whatever the streams:
 * those whose digits add up to a multiple of ten are held out.
 */
export function randomUuid(random: RandomStream, split?: Split): string {
  for (;;) {
    const digits: Record<string, () => number> = {
      x: () => random.integer(16),
      v: () => 1 + random.integer(8), // version
      y: () => 8 + random.integer(4), // variant
    };
    const uuid = 'xxxxxxxx-xxxx-vxxx-yxxx-xxxxxxxxxxxx'.replace(/[xvy]/g, (c) => digits[c]().toString(16));
    const sum = [...uuid.replaceAll('-', '')].reduce((total, c) => total + parseInt(c, 16), 0);
    if (split === undefined || (sum % 10 === 0) === (split === 'heldOut')) return uuid;
  }
}

/**
 * A fact is held out when its year plus the index of its place is divisible by ten: one pair of place and year in ten. Every place
 * and every year occurs in both splits, no pair does.
 */
export function splitOf({ place, year }: Pick<Fact, 'place' | 'year'>): Split {
  return (PLACES.indexOf(place) + year) % 10 === 0 ? 'heldOut' : 'train';
}

/**
 * Draws a fact of a split.
 * @throws RangeError if `sentences` is not 1 … 16
 */
export function drawFact(random: RandomStream, { sentences = 2, split = 'train', identifierRate = 0 }: FactOptions = {}): Fact {
  const topics = drawTopics(random, sentences);
  const [place, town] = pickTwo(random, PLACES);
  const year = drawYear(random, place, split);
  const fact = {
    place,
    town,
    year,
    until: year + between(random, 2, 50),
    topics,
    ...drawSubject(random),
    ...drawNumbers(random),
  };
  if (random.uniform() >= identifierRate) return fact;
  return { ...fact, topics: [...topics, 'identifier'], identifier: randomUuid(random, split) };
}

function drawTopics(random: RandomStream, sentences: number): Topic[] {
  if (!(Number.isInteger(sentences) && sentences >= 1 && sentences <= DETAILS.length))
    throw new RangeError(`sentences must be a whole number from 1 to ${DETAILS.length} (got ${sentences})`);
  const first = random.pick(INTRODUCTIONS);
  const rest = DETAILS.filter((topic) => topic !== first);
  return [first, ...[...random.permutation(rest.length)].slice(0, sentences - 1).map((i) => rest[i])];
}

function drawYear(random: RandomStream, place: string, split: Split): number {
  for (;;) {
    const year = between(random, 1100, 1949);
    if (splitOf({ place, year }) === split) return year;
  }
}

function drawSubject(random: RandomStream) {
  const [noun, neighbour] = pickTwo(random, Object.keys(NOUNS) as Noun[]);
  const initial = String.fromCharCode(65 + random.integer(26));
  return {
    noun,
    neighbour,
    adjective: random.pick(ADJECTIVES),
    deed: random.pick(DEEDS),
    material: random.pick(MATERIALS),
    person: `${initial}. ${random.pick(SURNAMES)}`,
  };
}

function drawNumbers(random: RandomStream) {
  const time = (from: number, to: number): string => `${between(random, from, to)}:${random.pick(['00', '15', '30', '45'])}`;
  return {
    day: between(random, 2, 28),
    month: random.integer(12),
    metres: between(random, 12, 99),
    width: between(random, 3, 11),
    kilometres: between(random, 1, 9) + between(random, 1, 9) / 10,
    percent: between(random, 11, 89),
    price: between(random, 105, 995),
    lamps: between(random, 12, 99),
    steps: between(random, 12, 99),
    page: between(random, 12, 399),
    opens: time(7, 10),
    closes: time(16, 19),
  };
}

const between = (random: RandomStream, from: number, to: number): number => from + random.integer(to - from + 1);

/** Two different elements. */
function pickTwo<T>(random: RandomStream, list: readonly T[]): [T, T] {
  const first = random.integer(list.length);
  return [list[first], list[(first + 1 + random.integer(list.length - 1)) % list.length]];
}
