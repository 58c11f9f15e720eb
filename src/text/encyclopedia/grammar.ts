/**
 * What a language file provides: the wordings of every topic, as functions of a fact.
 */
import { type Fact, type Noun, NOUNS, type Topic } from './fact';

/** A fact put into words. */
export type Wording = (fact: Fact) => string;

/** What the last word of a closing sentence is: see `lambada`. */
export type Clue = 'person' | 'place' | 'noun';

/** One language. The i-th wording of a topic says the same in every language. */
export interface Grammar {
  readonly statements: Readonly<Record<Topic, readonly Wording[]>>;
  /** Sentences without a full stop whose last word is named earlier in the passage. */
  readonly closings: Readonly<Record<Clue, readonly Wording[]>>;
}

type Sentences<Key extends string, Words> = Record<Key, readonly ((words: Words) => string)[]>;

/**
 * Builds a grammar from templates.
 * @param words - the phrases the templates are made of
 * @param polish - contractions and elisions that depend on the neighbouring word; the capital at the start is set here
 */
export function grammar<Words>(
  words: (fact: Fact) => Words,
  polish: (sentence: string) => string,
  statements: Sentences<Topic, Words>,
  closings: Sentences<Clue, Words>,
): Grammar {
  const wordings = <Key extends string>(sentences: Sentences<Key, Words>): Record<Key, Wording[]> => {
    const entries = Object.entries<readonly ((words: Words) => string)[]>(sentences);
    return Object.fromEntries(
      entries.map(([key, list]) => [key, list.map((sentence) => (fact: Fact) => capital(polish(sentence(words(fact)))))]),
    ) as Record<Key, Wording[]>;
  };
  return { statements: wordings(statements), closings: wordings(closings) };
}

/** The sentence with its first letter in upper case; quotes and question marks before it stay. */
const capital = (sentence: string): string => sentence.replace(/\p{L}/u, (letter) => letter.toUpperCase());

/** A number with a decimal comma. */
export const comma = (value: number): string => String(value).replace('.', ',');

/** Whether the first measure of a subject is its height, not its length. */
export const isHigh = (noun: Noun): boolean => NOUNS[noun] === 'high';

/** `une tour` as `['une', 'tour']`. */
export const articleAndNoun = (phrase: string): [string, string] => {
  const [article, noun] = phrase.split(' ');
  return [article, noun];
};
