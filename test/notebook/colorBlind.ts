/** How far apart colours are for readers without red (protanopia) or green (deuteranopia) receptors. */

/** Linear sRGB as these readers see it: Machado, Oliveira & Fernandes 2009, severity 1. */
const VISIONS: Readonly<Record<string, readonly (readonly number[])[]>> = {
  all: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
};

const times = (matrix: readonly (readonly number[])[], vector: readonly number[]): number[] =>
  matrix.map((row) => row.reduce((sum, value, i) => sum + value * vector[i], 0));

/** Linear sRGB in [0, 1] of `#rrggbb`. */
const linear = (color: string): number[] =>
  [1, 3, 5].map((at) => {
    const value = parseInt(color.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });

/** CIE L*a*b* under D65. */
function lab(rgb: readonly number[]): [number, number, number] {
  const xyz = times(
    [
      [0.4124564, 0.3575761, 0.1804375],
      [0.2126729, 0.7151522, 0.072175],
      [0.0193339, 0.119192, 0.9503041],
    ],
    rgb.map((value) => Math.min(1, Math.max(0, value))),
  );
  const [x, y, z] = xyz.map((value, i) => {
    const t = value / [0.95047, 1, 1.08883][i];
    return t > 216 / 24389 ? Math.cbrt(t) : (t * 24389) / 27 / 116 + 16 / 116;
  });
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

const radians = (degrees: number): number => (degrees * Math.PI) / 180;

/** CIEDE2000 (Sharma, Wu & Dalal 2005) of two colours in L*a*b*. */
export function ciede2000(first: readonly number[], second: readonly number[]): number {
  const meanC = (Math.hypot(first[1], first[2]) + Math.hypot(second[1], second[2])) / 2;
  const g = 1.5 - 0.5 * Math.sqrt(meanC ** 7 / (meanC ** 7 + 25 ** 7));
  const [one, two] = [first, second].map(([l, a, b]) => {
    const h = (Math.atan2(b, g * a) * 180) / Math.PI;
    return { l, c: Math.hypot(g * a, b), h: h < 0 ? h + 360 : h };
  });
  const isGrey = one.c * two.c === 0;
  const turn = two.h - one.h;
  const dh = isGrey ? 0 : turn > 180 ? turn - 360 : turn < -180 ? turn + 360 : turn;
  const sum = one.h + two.h;
  const h = isGrey ? sum : Math.abs(turn) <= 180 ? sum / 2 : sum < 360 ? (sum + 360) / 2 : (sum - 360) / 2;
  const [l, c] = [(one.l + two.l) / 2, (one.c + two.c) / 2];
  const cos = (factor: number, offset: number) => Math.cos(radians(factor * h - offset));
  const t = 1 - 0.17 * cos(1, 30) + 0.24 * cos(2, 0) + 0.32 * cos(3, -6) - 0.2 * cos(4, 63);
  const lightness = (two.l - one.l) / (1 + (0.015 * (l - 50) ** 2) / Math.sqrt(20 + (l - 50) ** 2));
  const chroma = (two.c - one.c) / (1 + 0.045 * c);
  const hue = (2 * Math.sqrt(one.c * two.c) * Math.sin(radians(dh / 2))) / (1 + 0.015 * c * t);
  const rotation = -2 * Math.sqrt(c ** 7 / (c ** 7 + 25 ** 7)) * Math.sin(radians(60 * Math.exp(-(((h - 275) / 25) ** 2))));
  return Math.sqrt(lightness ** 2 + chroma ** 2 + hue ** 2 + rotation * chroma * hue);
}

/** Every pair of colours, with its difference in the vision in which it is least. */
export const leastDifference = (colors: readonly string[]) =>
  colors.flatMap((a, i) =>
    colors.slice(i + 1).map((b) => {
      const seen = Object.entries(VISIONS).map(([vision, matrix]) => {
        const [first, second] = [a, b].map((color) => lab(times(matrix, linear(color))));
        return { vision, difference: ciede2000(first, second) };
      });
      return { pair: `${a} ${b}`, ...seen.reduce((least, each) => (each.difference < least.difference ? each : least)) };
    }),
  );
