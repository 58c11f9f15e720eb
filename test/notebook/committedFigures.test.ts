/** Every picture in the committed notebooks can be read: its sizes, places, colours, units and what stands for it where it is not seen. */
import { describe, expect, it, test } from 'vitest';
import { seriesColors } from '../../src/notebook/color';
import { ciede2000, leastDifference } from './colorBlind';
import { htmlOutputs, NOTEBOOKS } from './committed';

/** Pixels of a narrow page: a picture that is wider is made smaller. */
const PAGE = 700;
const SMALLEST_TEXT = 10;
/** CIEDE2000 has about 2 where two patches beside each other can just be told apart; thin lines need more. */
const LEAST_DIFFERENCE = 12;
/** What an axis counts in. */
const UNIT = /share|nats|per |÷|Φ|‖|norm|characters?|examples|step|probability|cosine|variance|correlation|squared|direction/;

interface Picture {
  readonly alt: string;
  readonly svg: string;
}

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };
const decode = (text: string): string => text.replace(/&(\w+|#39);/g, (_, name: string) => entities[name]);

/** What readers of a notebook see without scripts. */
function picturesOf(name: string): Picture[] {
  const images = htmlOutputs(name).flatMap((page) => page.match(/<img [^>]*>/g) ?? []);
  return images.map((image) => ({
    alt: decode(/ alt="([^"]*)"/.exec(image)?.[1] ?? ''),
    svg: Buffer.from(/ src="data:image\/svg\+xml;base64,([^"]*)"/.exec(image)![1], 'base64').toString(),
  }));
}

interface Label {
  readonly text: string;
  readonly size: number;
  readonly isTurned: boolean;
  /** Left, top, right and bottom. */
  readonly box: readonly [number, number, number, number];
}

/** Rough: letters of common fonts are about half as wide as high. */
const widthOf = (text: string, size: number): number => 0.52 * size * [...text].length;

function labelsOf(svg: string): Label[] {
  return [...svg.matchAll(/<text x="([^"]*)" y="([^"]*)"([^>]*)>([^<]*)<\/text>/g)].map(([, x, y, attributes, content]) => {
    const text = decode(content);
    const size = Number(/font-size="([^"]*)"/.exec(attributes)?.[1] ?? 12);
    const width = widthOf(text, size);
    const before = { middle: width / 2, end: width }[/text-anchor="(\w+)"/.exec(attributes)?.[1] ?? ''] ?? 0;
    const turned = /translate\(([^ ]*) ([^)]*)\) rotate\(-90\)/.exec(attributes);
    const [left, base] = turned ? [Number(turned[1]), Number(turned[2])] : [Number(x), Number(y)];
    const box = turned
      ? ([left - 0.75 * size, base - width / 2, left + 0.2 * size, base + width / 2] as const)
      : ([left - before, base - 0.75 * size, left - before + width, base + 0.2 * size] as const);
    return { text, size, isTurned: turned !== null, box };
  });
}

const overlap = (a: Label, b: Label): boolean =>
  a.box[0] < b.box[2] && b.box[0] < a.box[2] && a.box[1] < b.box[3] && b.box[1] < a.box[3];

/** Colours of the lines, those in the legend once more. */
const lineColors = (svg: string): string[] =>
  [...svg.matchAll(/<path [^>]*stroke="(#\w+)" stroke-width="2"/g)].map(([, color]) => color);

const covering = (svg: string): string[] => {
  const all = labelsOf(svg).filter(({ text }) => text.trim());
  return all.flatMap((a, i) => all.slice(i + 1).flatMap((b) => (overlap(a, b) ? [`${a.text} × ${b.text}`] : [])));
};

describe('the check', () => {
  it('measures differences of colours as published (Sharma, Wu & Dalal 2005, table 1)', () => {
    expect(ciede2000([50, 2.6772, -79.7751], [50, 0, -82.7485])).toBeCloseTo(2.0425, 4);
    expect(ciede2000([50, 2.5, 0], [73, 25, -18])).toBeCloseTo(27.1492, 4);
    expect(ciede2000([50, 2.49, -0.001], [50, -2.49, 0.0011])).toBeCloseTo(7.2195, 4);
    expect(ciede2000([6.7747, -0.2908, -2.4247], [5.8714, -0.0985, -2.2286])).toBeCloseTo(0.6377, 4);
  });

  it('finds red and green alike without their receptors, and labels that cover each other', () => {
    expect(leastDifference(['#d02020', '#5a7a00'])[0].difference).toBeLessThan(LEAST_DIFFERENCE);
    const text = (x: number, content: string) => `<text x="${x}" y="20" text-anchor="middle">${content}</text>`;
    expect(covering(text(100, '0.000001') + text(130, '0.00001') + text(200, '1'))).toEqual(['0.000001 × 0.00001']);
  });
});

test.each([
  [['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']],
  [['adamw', 'metagradient', 'sgd', 'both credits sgd', 'naive']],
  [['levenshtein', 'naive', 'embedding', 'adamw', 'language', 'sgd', 'token credit', 'cross group off']],
])('up to eight lines differ for all readers: %j', (names) => {
  expect(leastDifference(seriesColors(names)).filter(({ difference }) => difference < LEAST_DIFFERENCE)).toEqual([]);
});

describe.each(NOTEBOOKS)('the pictures of %s', (name) => {
  const pictures = picturesOf(name);
  const each = (problems: (picture: Picture) => unknown[]) =>
    pictures.flatMap((picture) => problems(picture).map((problem) => [picture.alt, problem]));
  const labels = (svg: string) => labelsOf(svg).filter(({ text }) => text.trim());

  it('are there, and say in words what they show', () => {
    expect(pictures.length).toBeGreaterThan(0);
    expect(each(({ alt }) => (alt.trim() ? [] : ['no alt']))).toEqual([]);
  });

  it('have text that can be read on a narrow page', () => {
    const width = (svg: string) => Number(/ width="(\d+)"/.exec(svg)![1]);
    const shown = (svg: string, size: number) => size * Math.min(1, PAGE / width(svg));
    expect(each(({ svg }) => labels(svg).filter(({ size }) => shown(svg, size) < SMALLEST_TEXT))).toEqual([]);
  });

  it('have no labels that cover each other or leave the picture', () => {
    const leaving = (svg: string) => {
      const [, width, height] = / width="(\d+)" height="(\d+)"/.exec(svg)!.map(Number);
      return labels(svg).filter(({ box }) => box[0] < 0 || box[1] < 0 || box[2] > width || box[3] > height);
    };
    expect(each(({ svg }) => [...covering(svg), ...leaving(svg).map(({ text }) => text)])).toEqual([]);
  });

  it('have lines that readers without red or green receptors tell apart', () => {
    const problems = ({ svg }: Picture) => {
      const colors = lineColors(svg);
      const distinct = [...new Set(colors)];
      const shared = colors.length > 1 && colors.length !== 2 * distinct.length ? ['lines of one colour'] : [];
      return [...shared, ...leastDifference(distinct).filter(({ difference }) => difference < LEAST_DIFFERENCE)];
    };
    expect(each(problems)).toEqual([]);
  });

  it('name the unit at every axis with numbers', () => {
    const problems = ({ svg }: Picture) => {
      if (!lineColors(svg).length) return [];
      const titles = labelsOf(svg).filter(({ size }) => size === 13);
      return titles.length === 2
        ? titles.filter(({ text }) => !UNIT.test(text)).map(({ text }) => text || 'no title')
        : ['not two titles'];
    };
    expect(each(problems)).toEqual([]);
  });
});
