/** Texts to be compared: ordinary prompts, messages, and 2,300 strings of what tokenizers stumble over. */
import { randomStream } from '../../src/tensor/random';
import { article } from '../../src/text/encyclopedia/article';
import { drawFact, LANGUAGES } from '../../src/text/encyclopedia/fact';

export const prompts = [
  'The capital of France is',
  'Water boils at',
  'Once upon a time, there was a',
  'def fibonacci(n):\n    ',
  'The three primary colours are',
  'In 1969, the first',
  'To make bread you need flour,',
  'My favourite season is',
  'A triangle has',
  'The river flows through the',
  'Q: What is 12 + 30?\nA:',
  'Dear Madam,\n\nI am writing to',
  'The opposite of hot is',
  '1, 2, 3, 4,',
  'Photosynthesis is the process by which',
  'La capitale de la France est',
  'She opened the door and',
  'The moon is smaller than the Earth, and',
  '<p>Hello',
  'Please list two reasons to',
];

export const messages = [
  'Rephrase this: The bridge was built in 1874.',
  'Hello',
  ' leading and trailing blanks \n',
  "It's 5 o'clock — “really”?\n\n\tYes, 100 %.",
  '日本語で答えてください。 🙂',
];

const PIECES = [
  ...[' ', '  ', '   ', '\n', '\n\n', '\r\n', '\t', '\u00A0', '\u200B', '\u200D', '\u3000', '\u2028', '\uFEFF', '\u0000', '\u0007', '\u007F'],
  ...['a', 'I', "don't", "WE'LL", "'s", "’s", '_x', '__init__', 'camelCase', 'e\u0301', 'é', 'ﬁ', 'ǆ', 'ß', 'İ', 'ı', 'ſ', '\u0130'],
  ...['0', '7', '42', '1874', '3.14', '1,000,000', '²', '½', '٣', '४', 'Ⅷ', '１２'],
  ...['.', '...', '…', '?!', '--', '—', '“', '”', '«', '#', '@@', '$', '€', '\\', '/', '//', '{}', '[](', '<b>', '&amp;', '<|', '|>', '<>'],
  ...['<|im_start|>', '<|im_end|>', '<|endoftext|>', '<|im_end', '<repo_name>', '<file_sep>', '<|IM_END|>', ' <|im_end|> '],
  ...['日本', '語', '中文。', '한국어', 'ไทย', 'हिन्दी', 'العربية', 'עברית', 'Ελλάδα', 'русский', 'ქართული', 'አማርኛ', 'ᠮᠣᠩ'],
  ...['🙂', '👩‍👩‍👧‍👦', '🇫🇷', '👍🏽', '𝔘𝔫𝔦', '𠀀', '\u{10FFFF}', '\uFFFD', '\u0301', '\u0301\u0302\u0303', '\u202E', 'Ġ', 'Ċ', '▁', '<0x0A>'],
  ...['the', ' the', 'The', ' quick', 'brown', ' fox', 'ing', 'http://a.b/c?d=e&f', 'x=1;', 'for(i=0;i<9;i++)', 'aaaaaaaaaaaaaaaaaaaa'],
]; // prettier-ignore

const random = randomStream(19, 'texts');
const joined = (): string => Array.from({ length: 1 + random.integer(12) }, () => random.pick(PIECES)).join('');
const written = (): string => article(drawFact(random, {}), random.pick(LANGUAGES), random);
const codePoint = (): string => {
  const code = random.integer(0x11_0000);
  return code >= 0xd800 && code < 0xe000 ? 'x' : String.fromCodePoint(code); // halves of pairs are no text
};

/** Empty, every piece alone, articles in five languages, pieces joined, and random characters of all Unicode. */
export const texts = [
  '',
  ...PIECES,
  ...Array.from({ length: 400 }, written),
  ...Array.from({ length: 300 }, () => Array.from({ length: 1 + random.integer(30) }, codePoint).join('')),
];
while (texts.length < 2300) texts.push(joined());
