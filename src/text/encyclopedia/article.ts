/**
 * Articles of the mini-encyclopedia, rephrasings of them, and passages in the manner of LAMBADA.
 *
 * Paper section 5 rephrases Wikipedia articles and scores languages on LAMBADA; these texts stand in for both at a size small models learn.
 */
import type { RandomStream } from '../../tensor/random';
import { english } from './english';
import { drawFact, type Fact, type Language, type Split } from './fact';
import { french } from './french';
import { german } from './german';
import type { Clue, Grammar } from './grammar';
import { italian } from './italian';
import { spanish } from './spanish';

/** The grammar of every language. */
export const GRAMMARS: Readonly<Record<Language, Grammar>> = { en: english, es: spanish, fr: french, de: german, it: italian };

/** The article on a fact: one sentence for each of its topics, in wordings drawn at random. */
export function article(fact: Fact, language: Language, random: RandomStream): string {
  return fact.topics.map((topic) => random.pick(GRAMMARS[language].statements[topic])(fact)).join(' ');
}

/** The statements of `original`, which is an {@link article} on the same fact, in a language and in words that differ from it. */
export function rephrase(fact: Fact, language: Language, random: RandomStream, original: string): string {
  const sentences = fact.topics.map((topic) => {
    const wordings = GRAMMARS[language].statements[topic].map((wording) => wording(fact));
    return random.pick(wordings.filter((sentence) => !original.includes(sentence)));
  });
  return sentences.join(' ');
}

/** A passage and its last word, which the passage names earlier. */
export interface LambadaPassage {
  /** Ends with `lastWord`, without a full stop. */
  readonly text: string;
  readonly lastWord: string;
}

/**
 * Passages whose last word, a name or a noun, follows from the passage (after LAMBADA, Paperno et al. 2016). An evaluation set is about
 * held-out facts, so no training text states them.
 */
export function lambada(language: Language, count: number, random: RandomStream, split: Split = 'heldOut'): LambadaPassage[] {
  return Array.from({ length: count }, () => passage(language, random, split));
}

function passage(language: Language, random: RandomStream, split: Split): LambadaPassage {
  const clue = random.pick<Clue>(['person', 'place', 'noun']);
  const drawn = drawFact(random, { split });
  const introduction = clue === 'place' ? 'fame' : 'deed';
  const detail = drawn.topics.find((topic) => topic !== 'fame' && topic !== 'deed') ?? 'material';
  const fact: Fact = { ...drawn, topics: [introduction, detail] };
  const text = `${article(fact, language, random)} ${random.pick(GRAMMARS[language].closings[clue])(fact)}`;
  return { text, lastWord: /\p{L}+$/u.exec(text)?.[0] ?? '' };
}
