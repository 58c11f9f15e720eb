/**
 * Colours of the house, told apart by colour-blind readers: Okabe & Ito (2008) and a dark grey for methods (a light one is their green
 * and their pink to readers without green receptors); RdBu, viridis and ink for matrices.
 */

const METHOD_COLORS = new Map(
  Object.entries({
    adamw: '#0072b2',
    metagradient: '#0072b2',
    sgd: '#d55e00',
    naive: '#5a5a5a',
    'cross-group-off': '#56b4e9',
    'token-credit': '#222222',
    'both-credits': '#e69f00',
    'both-credits-sgd': '#d55e00',
    'edit-distance': '#009e73',
    levenshtein: '#009e73',
    embedding: '#cc79a7',
    language: '#e69f00',
    tape: '#e69f00',
    fused: '#0072b2',
  }),
);
const PALETTE = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#222222', '#5a5a5a'];

/** The colour of a method, the same in every figure; undefined for a name without one. A remark in brackets is no part of the name. */
export const methodColor = (name: string): string | undefined =>
  METHOD_COLORS.get(
    name
      .toLowerCase()
      .replace(/ \(.*\)$/, '')
      .replace(/[\s_]+/g, '-'),
  );

/** Colours of series: those of methods are fixed; the others, and a second method of a colour, get what is left of the palette. */
export function seriesColors(names: readonly string[]): string[] {
  const own = names.map(methodColor);
  const fixed = own.map((color, i) => (own.indexOf(color) === i ? color : undefined));
  const free = PALETTE.filter((color) => !fixed.includes(color));
  let next = 0;
  return fixed.map((color) => color ?? (free.length ? free : PALETTE)[next++ % (free.length || PALETTE.length)]);
}

/** Positions in [0, 1] with their colours, as plotly takes them. */
export type ColorScale = [number, string][];

const evenly = (...colors: string[]): ColorScale => colors.map((color, i) => [i / (colors.length - 1), color]);

/** By what a matrix shows: deviations from 0, amounts, or a picture in black (1) on white (0). */
export const COLOR_SCALES = {
  diverging: evenly('#b2182b', '#d6604d', '#f4a582', '#fddbc7', '#f7f7f7', '#d1e5f0', '#92c5de', '#4393c3', '#2166ac'),
  sequential: evenly('#440154', '#472d7b', '#3b528b', '#2c728e', '#21918c', '#28ae80', '#5ec962', '#addc30', '#fde725'),
  ink: evenly('#ffffff', '#16161d'),
} as const;

/** Red, green and blue in [0, 255] at position `t` of a scale; `t` is clipped to [0, 1]. */
export function colorAt(scale: ColorScale, t: number): [number, number, number] {
  const position = Math.min(1, Math.max(0, t));
  const above = Math.max(
    1,
    scale.findIndex(([at]) => at >= position),
  );
  const [[low, from], [high, to]] = [scale[above - 1], scale[above]];
  const share = (position - low) / (high - low);
  const channel = (i: number) => {
    const [a, b] = [from, to].map((color) => parseInt(color.slice(1 + 2 * i, 3 + 2 * i), 16));
    return Math.round(a + share * (b - a));
  };
  return [channel(0), channel(1), channel(2)];
}
