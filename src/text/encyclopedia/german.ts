/** The mini-encyclopedia in German. */
import type { Adjective, Deed, Fact, Material, Noun } from './fact';
import { articleAndNoun, comma, grammar, isHigh } from './grammar';

const NOUNS: Record<Noun, string> = {
  aqueduct: 'das Aquädukt',
  bridge: 'die Brücke',
  canal: 'der Kanal',
  castle: 'das Schloss',
  chapel: 'die Kapelle',
  church: 'die Kirche',
  fountain: 'der Brunnen',
  garden: 'der Garten',
  harbour: 'der Hafen',
  hospital: 'das Krankenhaus',
  library: 'die Bibliothek',
  lighthouse: 'der Leuchtturm',
  market: 'der Markt',
  mill: 'die Mühle',
  monastery: 'das Kloster',
  museum: 'das Museum',
  observatory: 'die Sternwarte',
  palace: 'der Palast',
  school: 'die Schule',
  stadium: 'das Stadion',
  station: 'der Bahnhof',
  temple: 'der Tempel',
  theatre: 'das Theater',
  tower: 'der Turm',
};
/** Stems that take regular endings. */
const ADJECTIVES: Record<Adjective, string> = {
  old: 'alt',
  new: 'neu',
  large: 'groß',
  small: 'klein',
  narrow: 'schmal',
  famous: 'berühmt',
  quiet: 'ruhig',
  bright: 'hell',
  green: 'grün',
  white: 'weiß',
  red: 'rot',
  round: 'rund',
  medieval: 'mittelalterlich',
  modern: 'modern',
  elegant: 'elegant',
  strange: 'seltsam',
};
/** Preterite and participle. */
const DEEDS: Record<Deed, readonly [string, string]> = {
  built: ['baute', 'gebaut'],
  opened: ['eröffnete', 'eröffnet'],
  closed: ['schloss', 'geschlossen'],
  restored: ['restaurierte', 'restauriert'],
  painted: ['malte', 'gemalt'],
  designed: ['entwarf', 'entworfen'],
  bought: ['kaufte', 'gekauft'],
  sold: ['verkaufte', 'verkauft'],
  enlarged: ['erweiterte', 'erweitert'],
  described: ['beschrieb', 'beschrieben'],
  sketched: ['zeichnete', 'gezeichnet'],
  discovered: ['entdeckte', 'entdeckt'],
  saved: ['rettete', 'gerettet'],
  surveyed: ['vermaß', 'vermessen'],
};
const MATERIALS: Record<Material, string> = {
  stone: 'Stein',
  wood: 'Holz',
  brick: 'Ziegeln',
  iron: 'Eisen',
  marble: 'Marmor',
  glass: 'Glas',
};
const MONTHS = [
  ...['Januar', 'Februar', 'März', 'April', 'Mai', 'Juni', 'Juli'],
  ...['August', 'September', 'Oktober', 'November', 'Dezember'],
];

/** Gender by article: nominative and accusative (definite), dative, the endings of `ein` and of the adjective after it, pronoun. */
const CASES = {
  der: { accusative: 'den', dative: 'dem', ein: '', einen: 'en', strong: 'er', weak: 'en', he: 'er', him: 'ihn', his: 'sein' },
  die: { accusative: 'die', dative: 'der', ein: 'e', einen: 'e', strong: 'e', weak: 'e', he: 'sie', him: 'sie', his: 'ihr' },
  das: { accusative: 'das', dative: 'dem', ein: '', einen: '', strong: 'es', weak: 'e', he: 'es', him: 'es', his: 'sein' },
} as const;
type Article = keyof typeof CASES;

function words(fact: Fact) {
  const [the, noun] = articleAndNoun(NOUNS[fact.noun]) as [Article, string];
  const [theOther, neighbour] = articleAndNoun(NOUNS[fact.neighbour]) as [Article, string];
  const { accusative, dative, ein, strong, weak, he, him, his } = CASES[the];
  const stem = ADJECTIVES[fact.adjective];
  const [did, done] = DEEDS[fact.deed];
  const ownEnding = the === 'der' ? 'en' : strong;
  return {
    ...fact,
    the: `${the} ${noun}`,
    toThe: `${dative} ${noun}`,
    full: `${the} ${stem}e ${noun}`,
    fullObject: `${accusative} ${stem}${weak} ${noun}`,
    some: `ein${ein} ${stem}${strong} ${noun}`,
    own: `sein${CASES[the].einen} ${stem}${ownEnding} ${noun}`,
    aNeighbour: `ein${CASES[theOther].ein} ${neighbour}`,
    aNeighbourObject: `ein${CASES[theOther].einen} ${neighbour}`,
    theNeighbour: `${theOther} ${neighbour}`,
    theNeighbourObject: `${CASES[theOther].accusative} ${neighbour}`,
    it: he,
    itObject: him,
    its: his,
    did,
    done,
    material: MATERIALS[fact.material],
    high: isHigh(fact.noun) ? 'hoch' : 'lang',
    height: isHigh(fact.noun) ? 'Höhe' : 'Länge',
    kilometres: comma(fact.kilometres),
    date: `${fact.day}. ${MONTHS[fact.month]}`,
  };
}

/** zu + dem, zu + der, bei + dem. */
const polish = (sentence: string): string =>
  sentence
    .replace(/\bzu dem /g, 'zum ')
    .replace(/\bzu der /g, 'zur ')
    .replace(/\bbei dem /g, 'beim ');

export const german = grammar(
  words,
  polish,
  {
    fame: [(w) => `${w.place} ist für ${w.own} bekannt.`, (w) => `${w.full} ist der Stolz von ${w.place}.`],
    deed: [
      (w) => `${w.full} wurde ${w.year} von ${w.person} ${w.done}.`,
      (w) => `Im Jahr ${w.year} ${w.did} ${w.person} ${w.fullObject}.`,
      (w) => `Wer ${w.did} ${w.fullObject}? Es war ${w.person} (${w.year})!`,
    ],
    location: [
      (w) => `${w.the} liegt zwischen ${w.place} und ${w.town}.`,
      (w) => `Der Weg von ${w.place} nach ${w.town} führt zu ${w.toThe}.`,
    ],
    size: [
      (w) => `${w.the} ist ${w.metres} m ${w.high} und ${w.width} m breit.`,
      (w) => `${w.its}e ${w.height} beträgt ${w.metres} m, die Breite ${w.width} m.`,
    ],
    distance: [
      (w) => `${w.the} liegt ${w.kilometres} km von ${w.town} entfernt.`,
      (w) => `Von ${w.town} bis zu ${w.toThe} sind es nur ${w.kilometres} km.`,
    ],
    material: [(w) => `${w.its}e Mauern sind aus ${w.material}.`, (w) => `${w.it} hat dicke Mauern aus ${w.material}.`],
    visitors: [
      (w) => `Etwa ${w.percent} % der Besucher kommen aus ${w.town}.`,
      (w) => `Von allen Besuchern wohnen ${w.percent} % in ${w.town}.`,
    ],
    neighbour: [
      (w) => `Neben ${w.toThe} befindet sich ${w.aNeighbour}.`,
      (w) => `Nahe bei ${w.toThe} gibt es auch ${w.aNeighbourObject}.`,
    ],
    price: [(w) => `${w.the} wurde für ${w.price} $ verkauft.`, (w) => `${w.its} Preis betrug ${w.price} $.`],
    owner: [
      (w) => `${w.the} gehörte ${w.person} (${w.year}-${w.until}).`,
      (w) => `Von ${w.year} bis ${w.until} war ${w.person} ${w.its} Besitzer.`,
    ],
    fittings: [
      (w) => `${w.the} hat ${w.lamps} Lampen und ${w.steps} Stufen.`,
      (w) => `Die Besucher finden dort ${w.lamps} Lampen und ${w.steps} Stufen.`,
    ],
    fair: [
      (w) => `Jedes Jahr gibt es hier am ${w.date} einen Jahrmarkt.`,
      (w) => `Am ${w.date} findet bei ${w.toThe} ein Jahrmarkt statt.`,
    ],
    quote: [(w) => `${w.person} nannte ${w.itObject} „${w.full}“.`, (w) => `„${w.some}!“, schrieb ${w.person}.`],
    since: [
      (w) => `Seit ${w.until} ist ${w.the} für alle geöffnet.`,
      (w) => `${w.the} steht der Öffentlichkeit seit ${w.until} offen.`,
    ],
    hours: [
      (w) => `Besuche sind von ${w.opens} bis ${w.closes} Uhr möglich.`,
      (w) => `Öffnungszeiten: ${w.opens}-${w.closes} Uhr.`,
    ],
    reference: [
      (w) => `Siehe auch: ${w.theNeighbour}; Seite ${w.page}.`,
      (w) => `Mehr über ${w.theNeighbourObject} steht auf Seite ${w.page}.`,
    ],
    identifier: [(w) => `Katalognummer: ${w.identifier}.`, (w) => `Im Katalog hat ${w.it} die Nummer ${w.identifier}.`],
  },
  {
    person: [(w) => `Viele erinnern sich noch heute an ${w.person}`, (w) => `Dies war das Werk von ${w.person}`],
    place: [(w) => `Viele Leute reisen nach ${w.place}`, (w) => `Alle Wege führen hier nach ${w.place}`],
    noun: [(w) => `Viele Kinder spielen gern neben ${w.toThe}`, (w) => `Alle Besucher wollen zu ${w.toThe}`],
  },
);
