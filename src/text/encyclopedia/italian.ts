/** The mini-encyclopedia in Italian. */
import type { Adjective, Deed, Fact, Material, Noun } from './fact';
import { articleAndNoun, comma, grammar, isHigh } from './grammar';

const NOUNS: Record<Noun, string> = {
  aqueduct: 'un acquedotto',
  bridge: 'un ponte',
  canal: 'un canale',
  castle: 'un castello',
  chapel: 'una cappella',
  church: 'una chiesa',
  fountain: 'una fontana',
  garden: 'un giardino',
  harbour: 'un porto',
  hospital: 'un ospedale',
  library: 'una biblioteca',
  lighthouse: 'un faro',
  market: 'un mercato',
  mill: 'un mulino',
  monastery: 'un monastero',
  museum: 'un museo',
  observatory: 'un osservatorio',
  palace: 'un palazzo',
  school: 'una scuola',
  stadium: 'uno stadio',
  station: 'una stazione',
  temple: 'un tempio',
  theatre: 'un teatro',
  tower: 'una torre',
};
/** Masculine forms; an -o becomes -a beside a feminine noun. Marked with + are the ones that precede their noun. */
const ADJECTIVES: Record<Adjective, string> = {
  old: '+vecchio',
  new: '+nuovo',
  large: '+grande',
  small: '+piccolo',
  narrow: 'stretto',
  famous: 'famoso',
  quiet: 'tranquillo',
  bright: 'luminoso',
  green: 'verde',
  white: 'bianco',
  red: 'rosso',
  round: 'rotondo',
  medieval: 'medievale',
  modern: 'moderno',
  elegant: 'elegante',
  strange: 'strano',
};
/** Passato remoto and participle. */
const DEEDS: Record<Deed, readonly [string, string]> = {
  built: ['costruì', 'costruito'],
  opened: ['inaugurò', 'inaugurato'],
  closed: ['chiuse', 'chiuso'],
  restored: ['restaurò', 'restaurato'],
  painted: ['dipinse', 'dipinto'],
  designed: ['progettò', 'progettato'],
  bought: ['comprò', 'comprato'],
  sold: ['vendette', 'venduto'],
  enlarged: ['ampliò', 'ampliato'],
  described: ['descrisse', 'descritto'],
  sketched: ['disegnò', 'disegnato'],
  discovered: ['scoprì', 'scoperto'],
  saved: ['salvò', 'salvato'],
  surveyed: ['misurò', 'misurato'],
};
const MATERIALS: Record<Material, string> = {
  stone: 'pietra',
  wood: 'legno',
  brick: 'mattoni',
  iron: 'ferro',
  marble: 'marmo',
  glass: 'vetro',
};
const MONTHS = [
  ...['gennaio', 'febbraio', 'marzo', 'aprile', 'maggio', 'giugno', 'luglio'],
  ...['agosto', 'settembre', 'ottobre', 'novembre', 'dicembre'],
];

/** The definite article depends on the sound after it: il ponte, lo stadio, l'ospedale, la torre. */
function definite(feminine: boolean, phrase: string): string {
  if (/^[aeo]/.test(phrase)) return `l'${phrase}`;
  return `${feminine ? 'la' : /^s[^aeiou]/.test(phrase) ? 'lo' : 'il'} ${phrase}`;
}

/** So does the indefinite one: un ponte, uno stadio, un vecchio stadio, una torre. */
const indefinite = (feminine: boolean, phrase: string): string =>
  `${feminine ? 'una' : /^s[^aeiou]/.test(phrase) ? 'uno' : 'un'} ${phrase}`;

function words(fact: Fact) {
  const [a, noun] = articleAndNoun(NOUNS[fact.noun]);
  const [anA, neighbour] = articleAndNoun(NOUNS[fact.neighbour]);
  const feminine = a === 'una';
  const agree = (form: string): string => (feminine ? form.replace(/o$/, 'a') : form);
  const adjective = agree(ADJECTIVES[fact.adjective].replace('+', ''));
  const described = ADJECTIVES[fact.adjective].startsWith('+') ? `${adjective} ${noun}` : `${noun} ${adjective}`;
  const [did, done] = DEEDS[fact.deed];
  return {
    ...fact,
    the: definite(feminine, noun),
    full: definite(feminine, described),
    some: indefinite(feminine, described),
    own: `${feminine ? 'la sua' : 'il suo'} ${described}`,
    aNeighbour: `${anA} ${neighbour}`,
    theNeighbour: definite(anA === 'una', neighbour),
    it: feminine ? 'la' : 'lo',
    open: agree('aperto'),
    sold: agree('venduto'),
    wide: agree('largo'),
    did,
    done: agree(done),
    material: MATERIALS[fact.material],
    high: agree(isHigh(fact.noun) ? 'alto' : 'lungo'),
    height: isHigh(fact.noun) ? 'altezza' : 'lunghezza',
    kilometres: comma(fact.kilometres),
    date: `${fact.day} ${MONTHS[fact.month]}`,
  };
}

const STEMS: Readonly<Record<string, string>> = { di: 'de', a: 'a', da: 'da', su: 'su' };

/** di + il = del, a + lo = allo, su + l' = sull'; l'8, l'11 and l'80 (otto, undici, ottanta); a becomes ad before another a. */
const polish = (sentence: string): string =>
  sentence
    .replace(/(?<!\p{L})(di|a|da|su) (il |lo |la |l')/gu, (_, word: string, article: string) =>
      STEMS[word].concat(article === 'il ' ? 'l ' : `l${article}`),
    )
    .replace(/(?<!\p{L})il (?=(?:8\d?|11)\b)/gu, "l'")
    .replace(/(?<!\p{L})a (?=A)/gu, 'ad ');

export const italian = grammar(
  words,
  polish,
  {
    fame: [(w) => `${w.place} è nota per ${w.own}.`, (w) => `${w.full} è l'orgoglio di ${w.place}.`],
    deed: [
      (w) => `${w.full} fu ${w.done} nel ${w.year} da ${w.person}.`,
      (w) => `Nel ${w.year} ${w.person} ${w.did} ${w.full}.`,
      (w) => `Chi ${w.did} ${w.full}? Fu ${w.person} (${w.year})!`,
    ],
    location: [
      (w) => `${w.the} si trova tra ${w.place} e ${w.town}.`,
      (w) => `La strada da ${w.place} a ${w.town} porta a ${w.the}.`,
    ],
    size: [
      (w) => `${w.the} è ${w.high} ${w.metres} m e ${w.wide} ${w.width} m.`,
      (w) => `La sua ${w.height} è di ${w.metres} m e la larghezza di ${w.width} m.`,
    ],
    distance: [
      (w) => `${w.the} si trova a ${w.kilometres} km da ${w.town}.`,
      (w) => `Da ${w.town} a ${w.the} ci sono solo ${w.kilometres} km.`,
    ],
    material: [(w) => `Le sue mura sono di ${w.material}.`, (w) => `Ha spesse mura di ${w.material}.`],
    visitors: [
      (w) => `Circa il ${w.percent}% dei visitatori viene da ${w.town}.`,
      (w) => `Tra tutti i visitatori, il ${w.percent}% vive a ${w.town}.`,
    ],
    neighbour: [(w) => `Accanto a ${w.the} si trova ${w.aNeighbour}.`, (w) => `Vicino a ${w.the} c'è anche ${w.aNeighbour}.`],
    price: [(w) => `${w.the} fu ${w.sold} per ${w.price} $.`, (w) => `Il suo prezzo era di ${w.price} $.`],
    owner: [
      (w) => `${w.the} appartenne a ${w.person} (${w.year}-${w.until}).`,
      (w) => `Dal ${w.year} al ${w.until} il suo proprietario fu ${w.person}.`,
    ],
    fittings: [
      (w) => `${w.the} ha ${w.lamps} lampade e ${w.steps} gradini.`,
      (w) => `I visitatori vi trovano ${w.lamps} lampade e ${w.steps} gradini.`,
    ],
    fair: [
      (w) => `Ogni anno, il ${w.date}, qui si tiene una fiera.`,
      (w) => `il ${w.date} si tiene una fiera vicino a ${w.the}.`,
    ],
    quote: [(w) => `${w.person} ${w.it} chiamò «${w.full}».`, (w) => `«${w.some}!», scrisse ${w.person}.`],
    since: [(w) => `Dal ${w.until} ${w.the} è ${w.open} a tutti.`, (w) => `${w.the} è ${w.open} al pubblico dal ${w.until}.`],
    hours: [
      (w) => `Le visite sono possibili dalle ${w.opens} alle ${w.closes}.`,
      (w) => `Orario di apertura: ${w.opens}-${w.closes}.`,
    ],
    reference: [
      (w) => `Vedi anche: ${w.theNeighbour}; pagina ${w.page}.`,
      (w) => `Di più su ${w.theNeighbour} si legge a pagina ${w.page}.`,
    ],
    identifier: [(w) => `Numero di catalogo: ${w.identifier}.`, (w) => `Nel catalogo ha il numero ${w.identifier}.`],
  },
  {
    person: [(w) => `Molti ricordano ancora oggi ${w.person}`, (w) => `Questo fu il lavoro di ${w.person}`],
    place: [(w) => `Molta gente viaggia fino a ${w.place}`, (w) => `Tutte le strade qui portano a ${w.place}`],
    noun: [(w) => `Tutti vogliono vedere ${w.the}`, (w) => `Ai bambini piace giocare vicino a ${w.the}`],
  },
);
