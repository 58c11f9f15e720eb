/**
 * Figures: plain JSON that plotly draws as it is (`Plotly.newPlot(element, figure.data, figure.layout)`), limited to what the builders in
 * `charts.ts` and `images.ts` use, so that `svg.ts` can draw the same picture without a browser.
 */
import { escapePlotly, shorten } from './escape';
import type { ColorScale } from './color';

/** Finite numbers, null for gaps. */
export type Values = (number | null)[];

/** A line over x, or with `fill` the upper edge of a band over the trace before it. */
export interface LineTrace {
  type: 'scatter';
  mode: 'lines' | 'lines+markers';
  x: Values;
  y: Values;
  name: string;
  showlegend: boolean;
  legendgroup: string;
  line: { color: string; width: number };
  marker?: { size: number };
  fill?: 'tonexty';
  fillcolor?: string;
  hoverinfo?: 'skip';
  hovertemplate?: string;
}

/** A matrix as coloured cells, row 0 on top. */
export interface HeatmapTrace {
  type: 'heatmap';
  z: Values[];
  zmin: number;
  zmax: number;
  colorscale: ColorScale;
  showscale: boolean;
  colorbar?: { thickness: number; outlinewidth: number; ypad: number; nticks: number; tickformat: string };
  xaxis: AxisName<'x'>;
  yaxis: AxisName<'y'>;
  /** Coordinates of the first cell; 0 where left out. */
  x0?: number;
  y0?: number;
  /** Labels of the cells. */
  text?: string[][];
  texttemplate?: string;
  hovertemplate: string;
}

type AxisName<Letter extends 'x' | 'y'> = Letter | `${Letter}${number}`;

/** One axis. `range` is in powers of ten where `type` is 'log'. */
export interface Axis {
  range: [number, number];
  type?: 'linear' | 'log';
  title?: { text: string; standoff: number; font: { size: number } };
  domain?: [number, number];
  anchor?: AxisName<'x' | 'y'>;
  showline?: boolean;
  mirror?: boolean;
  linecolor?: string;
  showticklabels?: boolean;
  ticks?: '';
  showgrid?: boolean;
  zeroline?: boolean;
  zerolinecolor?: string;
  gridcolor?: string;
  tickformat?: string;
  /** Of tick labels; plotly turns those that are near each other, over what stands below, unless it is 0. */
  tickangle?: 0;
  /** Distance of ticks, counted from 0; on a logarithmic axis in powers of ten. */
  dtick?: number;
  ticklabelstandoff?: number;
  nticks?: number;
}

/** Text at (x, y) of the plot area, (0, 0) its lower left corner and (1, 1) its upper right, moved by whole pixels. */
export interface Annotation {
  text: string;
  x: number;
  y: number;
  xshift: number;
  yshift: number;
  xref: 'paper';
  yref: 'paper';
  xanchor: 'left' | 'center';
  yanchor: 'top' | 'bottom';
  align: 'left';
  showarrow: false;
  font: { size: number; color: string };
}

/** Everything around the traces; sizes in CSS pixels. */
export interface Layout {
  width: number;
  height: number;
  margin: { l: number; r: number; t: number; b: number };
  font: { family: string; size: number; color: string };
  paper_bgcolor: string;
  plot_bgcolor: string;
  title: {
    text: string;
    x: number;
    xref: 'paper';
    xanchor: 'left';
    y: number;
    yref: 'container';
    yanchor: 'middle';
    font: { size: number };
  };
  showlegend: boolean;
  legend?: { x: number; y: number; xanchor: 'left'; yanchor: 'top'; tracegroupgap: number };
  hovermode: 'x unified' | 'closest';
  annotations: Annotation[];
  [xaxis: `xaxis${string}`]: Axis;
  [yaxis: `yaxis${string}`]: Axis;
}

/** A figure of plotly's. */
export interface Figure {
  data: (LineTrace | HeatmapTrace)[];
  layout: Layout;
}

export const FONT = 'system-ui, "Liberation Sans", Arial, sans-serif';
export const INK = '#2f2f3a';
export const MUTED = '#6b6b76';
export const GRID = '#e6e6ea';
export const ZERO = '#9a9aa5';
/** Up to 6 digits, an exponent beyond; `formatTick` writes the same. */
export const TICK_FORMAT = '.6~g';
/** Powers of ten; for axes that reach far below 1. */
export const POWER_FORMAT = '~e';

/** 5 significant digits are more than any figure shows; what is not finite becomes a gap. */
export const round = (value: number): number | null => (Number.isFinite(value) ? Number(value.toPrecision(5)) : null);

/** Plain rounded numbers of an array or typed array. */
export const values = (numbers: ArrayLike<number>): Values => Array.from(numbers, round);

/** Rough width in pixels of a text in the figures' font, rather too wide than too narrow. */
export function textWidth(text: string, size = 12): number {
  const em = (character: string) =>
    /[il.,:;|!'()[\]fjtr ]/.test(character) ? 0.36 : /[mwMW@%\u3000-\uffff]/.test(character) ? 1 : 0.62;
  return [...text].reduce((width, character) => width + em(character), 0) * size;
}

/** What all axes share; the title names the unit. */
export const axisStyle = (title: string) => ({
  title: { text: escapePlotly(title), standoff: 10, font: { size: 13 } },
  ticks: '' as const,
  ticklabelstandoff: 5,
});

const CAPTION_LINE = 16;
/** Captions are broken once, for pages of every width. */
const CAPTION_WIDTH = 500;

/** Lines of a caption that fit `width` pixels. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const line = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length && textWidth(line) <= width) lines[lines.length - 1] = line;
    else lines.push(word);
  }
  return lines;
}

/** What surrounds a plot area of `plot` pixels: margins, title, caption below. */
export function frame({
  plot,
  title,
  caption = '',
  margin,
}: {
  plot: { width: number; height: number };
  title: string;
  caption?: string;
  margin: { l: number; r: number; b: number };
}): Layout {
  const shortTitle = shorten(title, 100);
  const r = Math.max(margin.r, 24 + textWidth(shortTitle, 16) - plot.width);
  const width = Math.round(plot.width + margin.l + r);
  const lines = wrap(caption, Math.min(CAPTION_WIDTH, width - margin.l - 12));
  const t = title ? 46 : 16;
  const height = Math.round(plot.height + t + margin.b + (lines.length ? lines.length * CAPTION_LINE + 8 : 0));
  const layout: Layout = {
    width,
    height,
    margin: { l: margin.l, r: Math.round(r), t, b: height - t - Math.round(plot.height) },
    font: { family: FONT, size: 12, color: INK },
    paper_bgcolor: '#ffffff',
    plot_bgcolor: '#ffffff',
    title: {
      text: escapePlotly(shortTitle),
      x: 0,
      xref: 'paper',
      xanchor: 'left',
      y: 1 - 22 / height,
      yref: 'container',
      yanchor: 'middle',
      font: { size: 16 },
    },
    showlegend: false,
    hovermode: 'closest',
    annotations: [],
  };
  if (lines.length) layout.annotations.push(label({ text: lines.join('\n'), x: 0, y: 0, yshift: -margin.b - 4, color: MUTED }));
  return layout;
}

/** An annotation; `text` is escaped here. */
export function label({
  text,
  x,
  y,
  yshift,
  center = false,
  above = false,
  color = INK,
}: {
  text: string;
  x: number;
  y: number;
  yshift: number;
  center?: boolean;
  above?: boolean;
  color?: string;
}): Annotation {
  return {
    text: escapePlotly(text),
    x,
    y,
    xshift: 0,
    yshift,
    xref: 'paper',
    yref: 'paper',
    xanchor: center ? 'center' : 'left',
    yanchor: above ? 'bottom' : 'top',
    align: 'left',
    showarrow: false,
    font: { size: 12, color },
  };
}
