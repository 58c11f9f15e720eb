/** Matrices as pictures: one with axes, or many beside each other on one colour scale. Pixels are square, row 0 is on top. */
import { COLOR_SCALES } from './color';
import { escapePlotly } from './escape';
import { axisStyle, frame, label, textWidth, TICK_FORMAT, type Axis, type Figure, type HeatmapTrace } from './figure';
import { tickStep } from './ticks';

/** A matrix by rows, [rows][columns]. */
export type Matrix = readonly ArrayLike<number>[];

/** How numbers become colours. */
export interface ImageScale {
  /** 'diverging': around 0; 'sequential': from the smallest to the largest; 'ink': black 1 on white 0. */
  readonly scale?: keyof typeof COLOR_SCALES;
  /** Limits of the scale; by default those of the data. */
  readonly limits?: readonly [number, number];
}

/** Options of {@link heatmap}. */
export interface HeatmapOptions extends ImageScale {
  readonly z: Matrix;
  readonly title: string;
  readonly xTitle?: string;
  readonly yTitle?: string;
  readonly caption?: string;
  /** Text in the cells, [rows][columns]. */
  readonly annotations?: readonly (readonly string[])[];
}

/** One matrix with axes and a colour bar. */
export function heatmap({
  z,
  title,
  xTitle = '',
  yTitle = '',
  caption,
  annotations,
  scale = 'diverging',
  limits,
}: HeatmapOptions): Figure {
  const [rows, columns] = sizeOf(z);
  const pixel = Math.min(annotations ? 52 : 28, 480 / columns, 400 / rows);
  const plot = { width: Math.max(pixel * columns, 40), height: Math.max(pixel * rows, 40) };
  const layout = frame({
    plot,
    title,
    caption,
    margin: { l: 62, r: 96, b: 48 },
  });
  const trace: HeatmapTrace = {
    ...traceOf(z, { scale, limits: limits ?? limitsOf([z], scale) }),
    showscale: true,
    colorbar: { thickness: 12, outlinewidth: 0, ypad: 0, nticks: colorTicks(plot.height), tickformat: TICK_FORMAT },
  };
  if (annotations) Object.assign(trace, { text: annotations.map((row) => row.map(escapePlotly)), texttemplate: '%{text}' });
  return {
    data: [trace],
    layout: {
      ...layout,
      xaxis: { ...axisOf(columns), ...axisStyle(xTitle), dtick: tickDistance(columns, plot.width / 40) },
      yaxis: { ...axisOf(rows, true), ...axisStyle(yTitle), dtick: tickDistance(rows, plot.height / 24) },
    },
  };
}

const colorTicks = (height: number): number => Math.max(2, Math.min(7, Math.round(height / 30)));

/** Options of {@link grid}. */
export interface GridOptions extends ImageScale {
  readonly images: readonly { readonly z: Matrix; readonly label: string }[];
  readonly columns: number;
  readonly title: string;
  readonly caption?: string;
  /** Cells of grey around each picture, where its own colours reach the edge. */
  readonly margin?: number;
}

const BORDER = '#b9b9c4';
/** What cells without a value look like. */
export const GAP_COLOR = '#dddde2';
const GAP = 14;
const LABEL = 30;

/** Small pictures in rows of `columns`, each under its label, all on one colour scale. */
export function grid({ images: given, columns, title, caption, scale = 'diverging', limits, margin = 0 }: GridOptions): Figure {
  const images = given.map(({ z, label }) => ({ z: padded(z, margin), label }));
  const sizes = images.map(({ z }) => sizeOf(z));
  const [rows, width] = [Math.max(1, ...sizes.map((size) => size[0])), Math.max(1, ...sizes.map((size) => size[1]))];
  const pixel = Math.min(12, (720 - GAP * (columns - 1)) / columns / width);
  const cell = { width: Math.max(24, width * pixel), height: Math.max(24, rows * pixel) };
  const lines = Math.max(1, Math.ceil(images.length / columns));
  const pitch = Math.max(cell.width, ...images.map((image) => textWidth(image.label))) + GAP;
  const plot = { width: (columns - 1) * pitch + cell.width, height: lines * (cell.height + LABEL) };
  const layout = frame({
    plot,
    title,
    caption,
    margin: { l: 20, r: 20, b: 12 },
  });
  const data: HeatmapTrace[] = [];
  const shared =
    limits ??
    limitsOf(
      images.map(({ z }) => z),
      scale,
    );
  images.forEach((image, i) => {
    const suffix = i ? (`${i + 1}` as const) : '';
    const left = ((i % columns) * pitch) / plot.width;
    const top = 1 - (Math.floor(i / columns) * (cell.height + LABEL) + LABEL) / plot.height;
    const domains = { x: [left, left + cell.width / plot.width], y: [top - cell.height / plot.height, top] } as const;
    const inside = ([low, high]: readonly [number, number]): [number, number] => [Math.max(0, low), Math.min(1, high)];
    const first = margin && { x0: -margin, y0: -margin };
    data.push({ ...traceOf(image.z, { scale, limits: shared }), ...first, xaxis: `x${suffix}`, yaxis: `y${suffix}` });
    layout[`xaxis${suffix}`] = {
      ...axisOf(width, false, margin),
      showticklabels: false,
      domain: inside(domains.x),
      anchor: `y${suffix}`,
    };
    layout[`yaxis${suffix}`] = {
      ...axisOf(rows, true, margin),
      showticklabels: false,
      domain: inside(domains.y),
      anchor: `x${suffix}`,
    };
    layout.annotations.push(
      label({ text: image.label, x: left + cell.width / plot.width / 2, y: top, yshift: 3, center: true, above: true }),
    );
  });
  return { data, layout: margin ? { ...layout, plot_bgcolor: GAP_COLOR } : layout };
}

/** The matrix with `margin` cells of nothing around it. */
function padded(z: Matrix, margin: number): Matrix {
  if (!margin) return z;
  const gaps = (count: number): number[] => new Array<number>(count).fill(NaN);
  const [outside, above] = [gaps(margin), Array.from({ length: margin }, () => gaps(sizeOf(z)[1] + 2 * margin))];
  return [...above, ...z.map((row) => [...outside, ...Array.from(row), ...outside]), ...above];
}

/** Pictures side by side, as of a run along its steps: {@link grid} in rows of at most 12. */
export const imageStrip = (options: Omit<GridOptions, 'columns'>): Figure =>
  grid({ ...options, columns: Math.max(1, Math.min(12, options.images.length)) });

const sizeOf = (z: Matrix): [number, number] => [Math.max(1, z.length), Math.max(1, ...z.map((row) => row.length))];

/** Decimals of a cell: a hundredth of the scale or finer. More is not seen, and a long run's matrix has thousands of cells. */
const decimalsOf = ([zmin, zmax]: readonly [number, number]): number =>
  Math.min(100, Math.max(0, Math.ceil(Math.log10(100 / (zmax - zmin)))));

/** Not −0, which JSON does not know; a gap for what is not finite. */
const rounded = (cell: number, decimals: number): number | null =>
  Number.isFinite(cell) ? Number(cell.toFixed(decimals)) + 0 : null;

function traceOf(z: Matrix, { scale, limits }: Required<ImageScale>): HeatmapTrace {
  const [zmin, zmax] = limits;
  const decimals = decimalsOf(limits);
  const hovertemplate = 'row %{y}, column %{x}<br>%{z:.3~g}<extra></extra>';
  return {
    type: 'heatmap',
    z: z.map((row) => Array.from(row, (cell) => rounded(cell, decimals))),
    zmin,
    zmax,
    colorscale: COLOR_SCALES[scale],
    showscale: false,
    xaxis: 'x',
    yaxis: 'y',
    hovertemplate,
  };
}

/** `size` cells, `margin` of them before the first that counts. */
const axisOf = (size: number, downwards = false, margin = 0): Axis => ({
  range: downwards ? [size - margin - 0.5, -margin - 0.5] : [-margin - 0.5, size - margin - 0.5],
  showgrid: false,
  zeroline: false,
  showline: true,
  mirror: true,
  linecolor: BORDER,
  ticks: '',
});

/** Whole, and so that at most `most` (and 7) ticks fall on `size` cells. */
const tickDistance = (size: number, most: number): number => Math.max(1, tickStep(size / Math.max(1, Math.min(7, most))));

function limitsOf(matrices: readonly Matrix[], scale: keyof typeof COLOR_SCALES): [number, number] {
  if (scale === 'ink') return [0, 1];
  let [low, high] = [Infinity, -Infinity];
  for (const value of matrices.flatMap((z) => z.flatMap((row) => Array.from(row)))) {
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const reach = Math.max(Math.abs(low), Math.abs(high));
  if (scale === 'diverging') return reach > 0 && reach < Infinity ? [-reach, reach] : [-1, 1];
  return low < high ? [low, high] : [0, 1];
}
