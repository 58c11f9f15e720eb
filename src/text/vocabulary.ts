/**
 * How readable a text is, and how much of its article it keeps: two measures beside Φ (ours).
 */
import { GRAMMARS } from './encyclopedia/article';
import {
  ADJECTIVES,
  DEEDS,
  drawFact,
  type Fact,
  type Language,
  LANGUAGES,
  MATERIALS,
  type Noun,
  NOUNS,
  PLACES,
  SURNAMES,
} from './encyclopedia/fact';
import { randomStream } from '../tensor/random';

const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
const INITIAL = /(?<!\p{L})[A-Z]\.(?: |$)/gu;

/**
 * Share of the words of a text that occur in the encyclopedia in one of `languages`, whatever their case; 0 for a text without words.
 *
 * A word is an unbroken run of letters (`l'église` is two). One that touches the start or the end of the text may be cut off and does
 * not count. Whole UUIDs and initials such as `K.` are no words.
 */
export function vocabularyShare(text: string, languages: readonly Language[] = LANGUAGES): number {
  const words = wholeWords(text);
  const known = words.filter((word) => languages.some((language) => vocabularyOf(language).has(word)));
  return words.length === 0 ? 0 : known.length / words.length;
}

/** Mean {@link vocabularyShare} of some responses. */
export function meanVocabularyShare(
  examples: readonly { readonly response: string }[],
  languages: readonly Language[] = ['en'],
): number {
  return examples.reduce((sum, { response }) => sum + vocabularyShare(response, languages), 0) / examples.length;
}

/**
 * Share of the names, numbers and years in a prompt that its response keeps; 1 if the prompt has none. Numbers count as wholes, a decimal
 * comma as a decimal point, each detail once, in any language.
 */
export function keptDetails(prompt: string, response: string): number {
  const wanted = details(prompt);
  const found = details(response);
  return wanted.size === 0 ? 1 : [...wanted].filter((detail) => found.has(detail)).length / wanted.size;
}

const NAMES: ReadonlySet<string> = new Set([...PLACES, ...SURNAMES]);

function details(text: string): Set<string> {
  const plain = text.replace(UUID, ' ');
  const names = [...plain.matchAll(/\p{L}+/gu)].map(([word]) => word).filter((word) => NAMES.has(word));
  const numbers = [...plain.matchAll(/\d+(?:[.,:]\d+)?/g)].map(([number]) => number.replace(',', '.'));
  return new Set([...names, ...numbers]);
}

function wholeWords(text: string): string[] {
  const plain = text.replace(UUID, ' - ').replace(INITIAL, '- ');
  return [...plain.matchAll(/(?<=[^\p{L}])\p{L}+(?=[^\p{L}])/gu)].map(([word]) => word.toLowerCase());
}

const vocabularies = new Map<Language, ReadonlySet<string>>();

/** Every word of a language that the encyclopedia can write, in lower case. */
export function vocabularyOf(language: Language): ReadonlySet<string> {
  const known = vocabularies.get(language);
  if (known) return known;
  const { statements, closings } = GRAMMARS[language];
  const wordings = [...Object.values(statements), ...Object.values(closings)].flat();
  const sentences = exhaustiveFacts().flatMap((fact) => wordings.map((wording) => ` ${wording(fact)} `));
  const words = new Set([...[...NAMES].map((name) => name.toLowerCase()), ...wholeWords(sentences.join(' '))]);
  vocabularies.set(language, words);
  return words;
}

/** Facts in which every noun meets every adjective, deed, material, month, town and neighbour: all forms of all words. */
function exhaustiveFacts(): Fact[] {
  const nouns = Object.keys(NOUNS) as Noun[];
  const fact = drawFact(randomStream(0, 'vocabulary'));
  const cycle = <T>(list: readonly T[], i: number): T => list[i % list.length];
  return nouns.flatMap((noun, n) =>
    nouns.slice(1).map((_, i) => ({
      ...fact,
      noun,
      neighbour: cycle(nouns, n + 1 + i),
      adjective: cycle(ADJECTIVES, i),
      deed: cycle(DEEDS, i),
      material: cycle(MATERIALS, i),
      month: i % 12,
      town: cycle(PLACES, i),
      person: `K. ${cycle(SURNAMES, n)}`,
      identifier: '',
    })),
  );
}
