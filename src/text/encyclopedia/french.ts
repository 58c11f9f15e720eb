/** The mini-encyclopedia in French. */
import type { Adjective, Deed, Fact, Material, Noun } from './fact';
import { articleAndNoun, comma, grammar, isHigh } from './grammar';

const NOUNS: Record<Noun, string> = {
  aqueduct: 'un aqueduc',
  bridge: 'un pont',
  canal: 'un canal',
  castle: 'un château',
  chapel: 'une chapelle',
  church: 'une église',
  fountain: 'une fontaine',
  garden: 'un jardin',
  harbour: 'un port',
  hospital: 'un hôpital',
  library: 'une bibliothèque',
  lighthouse: 'un phare',
  market: 'un marché',
  mill: 'un moulin',
  monastery: 'un monastère',
  museum: 'un musée',
  observatory: 'un observatoire',
  palace: 'un palais',
  school: 'une école',
  stadium: 'un stade',
  station: 'une gare',
  temple: 'un temple',
  theatre: 'un théâtre',
  tower: 'une tour',
};
/** Masculine, feminine; the third form stands before a vowel. Marked with + are the ones that precede their noun. */
const ADJECTIVES: Record<Adjective, string> = {
  old: '+vieux vieille vieil',
  new: '+nouveau nouvelle nouvel',
  large: '+grand grande',
  small: '+petit petite',
  narrow: 'étroit étroite',
  famous: 'célèbre célèbre',
  quiet: 'paisible paisible',
  bright: 'lumineux lumineuse',
  green: 'vert verte',
  white: 'blanc blanche',
  red: 'rouge rouge',
  round: 'rond ronde',
  medieval: 'médiéval médiévale',
  modern: 'moderne moderne',
  elegant: 'élégant élégante',
  strange: 'étrange étrange',
};
/** Participles; an -e is added beside a feminine noun. */
const DEEDS: Record<Deed, string> = {
  built: 'construit',
  opened: 'inauguré',
  closed: 'fermé',
  restored: 'restauré',
  painted: 'peint',
  designed: 'conçu',
  bought: 'acheté',
  sold: 'vendu',
  enlarged: 'agrandi',
  described: 'décrit',
  sketched: 'dessiné',
  discovered: 'découvert',
  saved: 'sauvé',
  surveyed: 'mesuré',
};
const MATERIALS: Record<Material, string> = {
  stone: 'pierre',
  wood: 'bois',
  brick: 'brique',
  iron: 'fer',
  marble: 'marbre',
  glass: 'verre',
};
const MONTHS = [
  ...['janvier', 'février', 'mars', 'avril', 'mai', 'juin', 'juillet'],
  ...['août', 'septembre', 'octobre', 'novembre', 'décembre'],
];

/** The noun with its adjective before or after it. */
function describe(noun: string, feminine: boolean, adjective: string): string {
  const [masculineForm, feminineForm, beforeVowel = masculineForm] = adjective.replace('+', '').split(' ');
  if (!adjective.startsWith('+')) return `${noun} ${feminine ? feminineForm : masculineForm}`;
  return `${feminine ? feminineForm : /^[aeoéô]|^hô/.test(noun) ? beforeVowel : masculineForm} ${noun}`;
}

function words(fact: Fact) {
  const [a, noun] = articleAndNoun(NOUNS[fact.noun]);
  const [anA, neighbour] = articleAndNoun(NOUNS[fact.neighbour]);
  const feminine = a === 'une';
  const the = feminine ? 'la' : 'le';
  const described = describe(noun, feminine, ADJECTIVES[fact.adjective]);
  return {
    ...fact,
    the: `${the} ${noun}`,
    full: `${the} ${described}`,
    some: `${a} ${described}`,
    own: `${feminine ? 'sa' : 'son'} ${described}`,
    aNeighbour: `${anA} ${neighbour}`,
    theNeighbour: `${anA === 'une' ? 'la' : 'le'} ${neighbour}`,
    it: feminine ? 'elle' : 'il',
    open: feminine ? 'ouverte' : 'ouvert',
    sold: feminine ? 'vendue' : 'vendu',
    did: DEEDS[fact.deed],
    done: `${DEEDS[fact.deed]}${feminine ? 'e' : ''}`,
    material: MATERIALS[fact.material],
    high: isHigh(fact.noun) ? 'haut' : 'long',
    height: isHigh(fact.noun) ? 'hauteur' : 'longueur',
    kilometres: comma(fact.kilometres),
    date: `${fact.day} ${MONTHS[fact.month]}`,
  };
}

/** Elision and `son` before a vowel or the mute h of `hôpital` (not before h in `haut`); de + le, à + le. */
const polish = (sentence: string): string =>
  sentence
    .replace(/(?<!\p{L})([Ll]|[Dd])(?:e|a) (?=[aeiouéèêôAEIOU]|hôp)/gu, "$1'")
    .replace(/(?<!\p{L})sa (?=[aeéèê])/gu, 'son ')
    .replace(/(?<!\p{L})de le /gu, 'du ')
    .replace(/(?<!\p{L})à le /gu, 'au ');

export const french = grammar(
  words,
  polish,
  {
    fame: [(w) => `${w.place} est connue pour ${w.own}.`, (w) => `${w.full} fait la fierté de ${w.place}.`],
    deed: [
      (w) => `${w.full} a été ${w.done} en ${w.year} par ${w.person}.`,
      (w) => `En ${w.year}, ${w.person} a ${w.did} ${w.full}.`,
      (w) => `Qui a ${w.did} ${w.full} ? C'était ${w.person} (${w.year}) !`,
    ],
    location: [
      (w) => `${w.the} se trouve entre ${w.place} et ${w.town}.`,
      (w) => `La route de ${w.place} à ${w.town} mène à ${w.the}.`,
    ],
    size: [
      (w) => `${w.the} mesure ${w.metres} m de ${w.high} et ${w.width} m de large.`,
      (w) => `Sa ${w.height} est de ${w.metres} m et sa largeur de ${w.width} m.`,
    ],
    distance: [
      (w) => `${w.the} se trouve à ${w.kilometres} km de ${w.town}.`,
      (w) => `De ${w.town} à ${w.the}, il n'y a que ${w.kilometres} km.`,
    ],
    material: [(w) => `Ses murs sont en ${w.material}.`, (w) => `${w.it} a des murs épais en ${w.material}.`],
    visitors: [
      (w) => `Environ ${w.percent} % des visiteurs viennent de ${w.town}.`,
      (w) => `Parmi tous les visiteurs, ${w.percent} % vivent à ${w.town}.`,
    ],
    neighbour: [(w) => `À côté de ${w.the} se trouve ${w.aNeighbour}.`, (w) => `Près de ${w.the}, il y a aussi ${w.aNeighbour}.`],
    price: [(w) => `${w.the} a été ${w.sold} pour ${w.price} $.`, (w) => `Son prix était de ${w.price} $.`],
    owner: [
      (w) => `${w.the} appartenait à ${w.person} (${w.year}-${w.until}).`,
      (w) => `De ${w.year} à ${w.until}, son propriétaire était ${w.person}.`,
    ],
    fittings: [
      (w) => `${w.the} compte ${w.lamps} lampes et ${w.steps} marches.`,
      (w) => `Les visiteurs y trouvent ${w.lamps} lampes et ${w.steps} marches.`,
    ],
    fair: [(w) => `Chaque année, le ${w.date}, une foire a lieu ici.`, (w) => `Le ${w.date}, une foire a lieu près de ${w.the}.`],
    quote: [(w) => `${w.person} l'appelait « ${w.full} ».`, (w) => `« ${w.some} ! », écrivait ${w.person}.`],
    since: [
      (w) => `Depuis ${w.until}, ${w.the} est ${w.open} à tous.`,
      (w) => `${w.the} est ${w.open} au public depuis ${w.until}.`,
    ],
    hours: [(w) => `Les visites ont lieu de ${w.opens} à ${w.closes}.`, (w) => `Heures d'ouverture : ${w.opens}-${w.closes}.`],
    reference: [
      (w) => `Voir aussi : ${w.theNeighbour} ; page ${w.page}.`,
      (w) => `Pour ${w.theNeighbour}, voir la page ${w.page}.`,
    ],
    identifier: [
      (w) => `Numéro de catalogue : ${w.identifier}.`,
      (w) => `Dans le catalogue, ${w.it} porte le numéro ${w.identifier}.`,
    ],
  },
  {
    person: [(w) => `Beaucoup se souviennent encore de ${w.person}`, (w) => `Ce fut le travail de ${w.person}`],
    place: [(w) => `Beaucoup de gens voyagent à ${w.place}`, (w) => `Toutes les routes mènent ici à ${w.place}`],
    noun: [(w) => `Tout le monde veut voir ${w.the}`, (w) => `Les enfants aiment jouer près de ${w.the}`],
  },
);
