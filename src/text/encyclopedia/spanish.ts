/** The mini-encyclopedia in Spanish. */
import type { Adjective, Deed, Fact, Material, Noun } from './fact';
import { articleAndNoun, comma, grammar, isHigh } from './grammar';

const NOUNS: Record<Noun, string> = {
  aqueduct: 'un acueducto',
  bridge: 'un puente',
  canal: 'un canal',
  castle: 'un castillo',
  chapel: 'una capilla',
  church: 'una iglesia',
  fountain: 'una fuente',
  garden: 'un jardín',
  harbour: 'un puerto',
  hospital: 'un hospital',
  library: 'una biblioteca',
  lighthouse: 'un faro',
  market: 'un mercado',
  mill: 'un molino',
  monastery: 'un monasterio',
  museum: 'un museo',
  observatory: 'un observatorio',
  palace: 'un palacio',
  school: 'una escuela',
  stadium: 'un estadio',
  station: 'una estación',
  temple: 'un templo',
  theatre: 'un teatro',
  tower: 'una torre',
};
/** Masculine forms; an -o becomes -a beside a feminine noun. */
const ADJECTIVES: Record<Adjective, string> = {
  old: 'viejo',
  new: 'nuevo',
  large: 'grande',
  small: 'pequeño',
  narrow: 'estrecho',
  famous: 'famoso',
  quiet: 'tranquilo',
  bright: 'luminoso',
  green: 'verde',
  white: 'blanco',
  red: 'rojo',
  round: 'redondo',
  medieval: 'medieval',
  modern: 'moderno',
  elegant: 'elegante',
  strange: 'extraño',
};
/** Preterite and participle. */
const DEEDS: Record<Deed, readonly [string, string]> = {
  built: ['construyó', 'construido'],
  opened: ['inauguró', 'inaugurado'],
  closed: ['cerró', 'cerrado'],
  restored: ['restauró', 'restaurado'],
  painted: ['pintó', 'pintado'],
  designed: ['diseñó', 'diseñado'],
  bought: ['compró', 'comprado'],
  sold: ['vendió', 'vendido'],
  enlarged: ['amplió', 'ampliado'],
  described: ['describió', 'descrito'],
  sketched: ['dibujó', 'dibujado'],
  discovered: ['descubrió', 'descubierto'],
  saved: ['salvó', 'salvado'],
  surveyed: ['midió', 'medido'],
};
const MATERIALS: Record<Material, string> = {
  stone: 'piedra',
  wood: 'madera',
  brick: 'ladrillo',
  iron: 'hierro',
  marble: 'mármol',
  glass: 'vidrio',
};
const MONTHS = [
  ...['enero', 'febrero', 'marzo', 'abril', 'mayo', 'junio', 'julio'],
  ...['agosto', 'septiembre', 'octubre', 'noviembre', 'diciembre'],
];

function words(fact: Fact) {
  const [a, noun] = articleAndNoun(NOUNS[fact.noun]);
  const [anA, neighbour] = articleAndNoun(NOUNS[fact.neighbour]);
  const feminine = a === 'una';
  const agree = (form: string): string => (feminine ? form.replace(/o$/, 'a') : form);
  const described = `${noun} ${agree(ADJECTIVES[fact.adjective])}`;
  const [did, done] = DEEDS[fact.deed];
  return {
    ...fact,
    the: `${feminine ? 'la' : 'el'} ${noun}`,
    full: `${feminine ? 'la' : 'el'} ${described}`,
    some: `${a} ${described}`,
    own: `su ${described}`,
    aNeighbour: `${anA} ${neighbour}`,
    theNeighbour: `${anA === 'una' ? 'la' : 'el'} ${neighbour}`,
    it: feminine ? 'la' : 'lo',
    open: agree('abierto'),
    did,
    done: agree(done),
    material: MATERIALS[fact.material],
    high: isHigh(fact.noun) ? 'alto' : 'largo',
    height: isHigh(fact.noun) ? 'altura' : 'longitud',
    kilometres: comma(fact.kilometres),
    date: `${fact.day} de ${MONTHS[fact.month]}`,
  };
}

/** de + el, a + el; y becomes e before the sound i. */
const polish = (sentence: string): string =>
  sentence
    .replace(/\bde el /g, 'del ')
    .replace(/\ba el /g, 'al ')
    .replace(/ y (?=I)/g, ' e ');

export const spanish = grammar(
  words,
  polish,
  {
    fame: [(w) => `${w.place} es conocida por ${w.own}.`, (w) => `${w.full} es el orgullo de ${w.place}.`],
    deed: [
      (w) => `${w.full} fue ${w.done} en ${w.year} por ${w.person}.`,
      (w) => `En ${w.year}, ${w.person} ${w.did} ${w.full}.`,
      (w) => `¿Quién ${w.did} ${w.full}? ¡Fue ${w.person} (${w.year})!`,
    ],
    location: [
      (w) => `${w.the} está entre ${w.place} y ${w.town}.`,
      (w) => `El camino de ${w.place} a ${w.town} lleva a ${w.the}.`,
    ],
    size: [
      (w) => `${w.the} mide ${w.metres} m de ${w.high} y ${w.width} m de ancho.`,
      (w) => `Su ${w.height} es de ${w.metres} m y su anchura de ${w.width} m.`,
    ],
    distance: [
      (w) => `${w.the} está a ${w.kilometres} km de ${w.town}.`,
      (w) => `Desde ${w.town} hasta ${w.the} hay solo ${w.kilometres} km.`,
    ],
    material: [(w) => `Sus muros son de ${w.material}.`, (w) => `Tiene gruesos muros de ${w.material}.`],
    visitors: [
      (w) => `Cerca del ${w.percent} % de los visitantes viene de ${w.town}.`,
      (w) => `De todos los visitantes, un ${w.percent} % vive en ${w.town}.`,
    ],
    neighbour: [(w) => `Junto a ${w.the} se encuentra ${w.aNeighbour}.`, (w) => `Cerca de ${w.the} hay también ${w.aNeighbour}.`],
    price: [(w) => `${w.the} se vendió por ${w.price} $.`, (w) => `Su precio fue de ${w.price} $.`],
    owner: [
      (w) => `${w.the} perteneció a ${w.person} (${w.year}-${w.until}).`,
      (w) => `De ${w.year} a ${w.until}, su dueño fue ${w.person}.`,
    ],
    fittings: [
      (w) => `${w.the} tiene ${w.lamps} lámparas y ${w.steps} escalones.`,
      (w) => `Los visitantes encuentran allí ${w.lamps} lámparas y ${w.steps} escalones.`,
    ],
    fair: [(w) => `Cada año, el ${w.date}, hay aquí una feria.`, (w) => `El ${w.date} se celebra una feria cerca de ${w.the}.`],
    quote: [(w) => `${w.person} ${w.it} llamó «${w.full}».`, (w) => `«¡${w.some}!», escribió ${w.person}.`],
    since: [
      (w) => `Desde ${w.until}, ${w.the} está ${w.open} a todos.`,
      (w) => `${w.the} está ${w.open} al público desde ${w.until}.`,
    ],
    hours: [(w) => `Se puede visitar de ${w.opens} a ${w.closes}.`, (w) => `Horario de apertura: ${w.opens}-${w.closes}.`],
    reference: [
      (w) => `Véase también: ${w.theNeighbour}; página ${w.page}.`,
      (w) => `Sobre ${w.theNeighbour}, véase la página ${w.page}.`,
    ],
    identifier: [(w) => `Número de catálogo: ${w.identifier}.`, (w) => `En el catálogo tiene el número ${w.identifier}.`],
  },
  {
    person: [(w) => `Muchos recuerdan todavía a ${w.person}`, (w) => `Este fue el trabajo de ${w.person}`],
    place: [(w) => `Mucha gente viaja a ${w.place}`, (w) => `Todos los caminos llevan aquí a ${w.place}`],
    noun: [(w) => `Todos quieren ver ${w.the}`, (w) => `A los niños les gusta jugar cerca de ${w.the}`],
  },
);
