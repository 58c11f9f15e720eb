/** The mini-encyclopedia in English. */
import type { Fact } from './fact';
import { grammar, isHigh } from './grammar';

const MONTHS = [
  ...['January', 'February', 'March', 'April', 'May', 'June', 'July'],
  ...['August', 'September', 'October', 'November', 'December'],
];

const a = (phrase: string): string => `${/^[aeiou]/.test(phrase) ? 'an' : 'a'} ${phrase}`;

function words(fact: Fact) {
  const { noun } = fact;
  return {
    ...fact,
    the: `the ${noun}`,
    full: `the ${fact.adjective} ${noun}`,
    some: a(`${fact.adjective} ${noun}`),
    own: `its ${fact.adjective} ${noun}`,
    aNeighbour: a(fact.neighbour),
    theNeighbour: `the ${fact.neighbour}`,
    high: isHigh(noun) ? 'high' : 'long',
    height: isHigh(noun) ? 'height' : 'length',
    date: `${fact.day} ${MONTHS[fact.month]}`,
  };
}

export const english = grammar(
  words,
  (sentence) => sentence,
  {
    fame: [(w) => `${w.place} is known for ${w.own}.`, (w) => `${w.full} is the pride of ${w.place}.`],
    deed: [
      (w) => `${w.full} was ${w.deed} in ${w.year} by ${w.person}.`,
      (w) => `In ${w.year}, ${w.person} ${w.deed} ${w.full}.`,
      (w) => `Who ${w.deed} ${w.full}? It was ${w.person} (${w.year})!`,
    ],
    location: [
      (w) => `${w.the} lies between ${w.place} and ${w.town}.`,
      (w) => `The road from ${w.place} to ${w.town} leads to ${w.the}.`,
    ],
    size: [
      (w) => `${w.the} is ${w.metres} m ${w.high} and ${w.width} m wide.`,
      (w) => `Its ${w.height} is ${w.metres} m and its width ${w.width} m.`,
    ],
    distance: [
      (w) => `${w.the} lies ${w.kilometres} km from ${w.town}.`,
      (w) => `From ${w.town} to ${w.the} it is only ${w.kilometres} km.`,
    ],
    material: [(w) => `Its walls are made of ${w.material}.`, (w) => `It has thick walls made of ${w.material}.`],
    visitors: [
      (w) => `About ${w.percent}% of the visitors come from ${w.town}.`,
      (w) => `Of all the visitors, ${w.percent}% live in ${w.town}.`,
    ],
    neighbour: [(w) => `Next to ${w.the} there is ${w.aNeighbour}.`, (w) => `Near ${w.the} one also finds ${w.aNeighbour}.`],
    price: [(w) => `${w.the} was sold for $${w.price}.`, (w) => `Its price was $${w.price}.`],
    owner: [
      (w) => `${w.the} belonged to ${w.person} (${w.year}-${w.until}).`,
      (w) => `From ${w.year} to ${w.until}, its owner was ${w.person}.`,
    ],
    fittings: [
      (w) => `${w.the} has ${w.lamps} lamps and ${w.steps} steps.`,
      (w) => `Visitors find ${w.lamps} lamps and ${w.steps} steps there.`,
    ],
    fair: [(w) => `Every year, on ${w.date}, there is a fair here.`, (w) => `On ${w.date}, a fair is held near ${w.the}.`],
    quote: [(w) => `${w.person} called it "${w.full}".`, (w) => `"What ${w.some}!" wrote ${w.person}.`],
    since: [
      (w) => `Since ${w.until}, ${w.the} has been open to all.`,
      (w) => `${w.the} has been open to the public since ${w.until}.`,
    ],
    hours: [(w) => `Visits are possible from ${w.opens} to ${w.closes}.`, (w) => `Opening hours: ${w.opens}-${w.closes}.`],
    reference: [(w) => `See also: ${w.theNeighbour}; page ${w.page}.`, (w) => `For ${w.theNeighbour}, see page ${w.page}.`],
    identifier: [(w) => `Catalogue number: ${w.identifier}.`, (w) => `In the catalogue it has the number ${w.identifier}.`],
  },
  {
    person: [(w) => `Many people still remember ${w.person}`, (w) => `This was the work of ${w.person}`],
    place: [(w) => `Many people travel to ${w.place}`, (w) => `All roads here lead to ${w.place}`],
    noun: [(w) => `Everyone wants to see ${w.the}`, (w) => `Children like to play near ${w.the}`],
  },
);
