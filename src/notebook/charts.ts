/** Line charts. */
import { seriesColors } from './color';
import { escapePlotly, shorten } from './escape';
import {
  axisStyle,
  frame,
  GRID,
  POWER_FORMAT,
  ZERO,
  TICK_FORMAT,
  textWidth,
  values,
  type Axis,
  type Figure,
  type LineTrace,
  type Values,
} from './figure';

/** One line: y over x, both [points]; `band` is drawn around it. */
export interface Series {
  readonly name: string;
  readonly x: ArrayLike<number>;
  readonly y: ArrayLike<number>;
  readonly band?: { readonly lower: ArrayLike<number>; readonly upper: ArrayLike<number> };
}

/** Options of {@link lineChart}; axis titles name their unit. */
export interface LineChartOptions {
  readonly series: readonly Series[];
  readonly title: string;
  readonly xTitle: string;
  readonly yTitle: string;
  readonly caption?: string;
  /** Logarithmic y; values ≤ 0 become gaps. */
  readonly log?: boolean;
  /** Logarithmic x; points at x ≤ 0 are left out. */
  readonly logX?: boolean;
  /** Fixed limits of y. */
  readonly yRange?: readonly [number, number];
}

const PLOT = { width: 560, height: 280 };
/** What Jupyter Notebook and an editor beside a side bar show without scrolling; a long legend makes the plot narrower. */
const WIDTH = 760;
const LEFT = 68;
const NAME_LENGTH = 28;
const MARKERS_UP_TO = 30;
/** Ticks of a logarithmic axis at most: a narrow page has room for few labels side by side. */
const [X_TICKS, Y_TICKS] = [5, 8];

/** Lines over a common x; methods keep their colour in every figure ({@link methodColor}). */
export function lineChart({
  series: given,
  title,
  xTitle,
  yTitle,
  caption,
  log = false,
  logX = false,
  yRange,
}: LineChartOptions): Figure {
  const series = logX ? given.map(positive) : given;
  const colors = seriesColors(series.map(({ name }) => name));
  const names = legendNames(series.map(({ name }) => name));
  const data = series.flatMap((each, i) => [...band(each, colors[i], log), line(each, names[i], colors[i], log)]);
  const legend = series.length > 1 ? 64 + Math.max(...names.map((name) => textWidth(name))) : 24;
  const plot = { ...PLOT, width: Math.min(PLOT.width, WIDTH - LEFT - Math.round(legend)) };
  const layout = frame({ plot, title, caption, margin: { l: LEFT, r: Math.round(legend), b: 52 } });
  const xs = data.map((trace) => trace.x);
  return {
    data,
    layout: {
      ...layout,
      showlegend: series.length > 1,
      legend: { x: 1.02, y: 1, xanchor: 'left', yanchor: 'top', tracegroupgap: 0 },
      hovermode: 'x unified',
      xaxis: {
        ...axis(xTitle),
        zeroline: false,
        tickangle: 0,
        ...(logX ? logarithmic(xs, X_TICKS) : { range: widened(extent(xs)) }),
      },
      yaxis: {
        ...axis(yTitle),
        ...(log
          ? logarithmic(
              data.map((trace) => trace.y),
              Y_TICKS,
              yRange,
              padded,
            )
          : { range: yRange ? [...yRange] : padded(extent(data.map((trace) => trace.y))) }),
      },
    },
  };
}

/** Range in powers of ten; ticks at the powers only where there are many, at most `most` of them. */
function logarithmic(
  columns: readonly Values[],
  most: number,
  limits?: readonly [number, number],
  room: (range: [number, number]) => [number, number] = widened,
): Pick<Axis, 'type' | 'range' | 'dtick' | 'tickformat'> {
  const logs = (limits ? [[...limits]] : columns).map((column) => column.map((value) => value && Math.log10(value)));
  const range = limits ? extent(logs) : room(extent(logs));
  const reach = range[1] - range[0];
  return {
    type: 'log',
    range,
    ...(reach > 2 && { dtick: Math.ceil(reach / most) }),
    ...(reach > 2 && range[0] < -4 && { tickformat: POWER_FORMAT }),
  };
}

const axis = (title: string): Omit<Axis, 'range'> => ({
  ...axisStyle(title),
  gridcolor: GRID,
  zerolinecolor: ZERO,
  tickformat: TICK_FORMAT,
  nticks: 7,
});

/** Names cut to the legend's length; those that become the same are numbered. */
function legendNames(names: readonly string[]): string[] {
  const cut = names.map((name) => shorten(name, NAME_LENGTH));
  const isAmbiguous = (i: number): boolean => names.some((name, k) => name !== names[i] && cut[k] === cut[i]);
  return cut.map((name, i) => (isAmbiguous(i) ? `${shorten(names[i], NAME_LENGTH - 4)} (${i + 1})` : name));
}

function line({ name, x, y }: Series, shownName: string, color: string, log: boolean): LineTrace {
  return {
    type: 'scatter',
    mode: y.length <= MARKERS_UP_TO ? 'lines+markers' : 'lines',
    x: values(x),
    y: drawable(y, log),
    name: escapePlotly(shownName),
    showlegend: true,
    legendgroup: escapePlotly(name),
    line: { color, width: 2 },
    marker: { size: 5 },
    hovertemplate: '%{y:.4~g}',
  };
}

/** Lower and upper edge, invisible, the space between them filled. */
function band({ name, x, band: edges }: Series, color: string, log: boolean): LineTrace[] {
  if (!edges) return [];
  const edge = (y: ArrayLike<number>): LineTrace => ({
    ...line({ name, x, y }, name, color, log),
    mode: 'lines',
    line: { color, width: 0 },
    showlegend: false,
    hoverinfo: 'skip',
    hovertemplate: undefined,
  });
  return [edge(edges.lower), { ...edge(edges.upper), fill: 'tonexty', fillcolor: `${color}33` }];
}

const drawable = (y: ArrayLike<number>, log: boolean): Values =>
  values(y).map((value) => (log && value !== null && value <= 0 ? null : value));

function extent(columns: readonly Values[]): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const column of columns) {
    for (const value of column) {
      if (value === null) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  return low <= high ? [low, high] : [0, 1];
}

/** The points of a line that a logarithmic axis can show. */
function positive({ name, x, y, band: edges }: Series): Series {
  const kept = (column: ArrayLike<number>): number[] => Array.from(column).filter((_, i) => x[i] > 0);
  return { name, x: kept(x), y: kept(y), ...(edges && { band: { lower: kept(edges.lower), upper: kept(edges.upper) } }) };
}

/** A range that is one even where there is but one value. */
const widened = ([low, high]: readonly [number, number]): [number, number] => (low < high ? [low, high] : [low - 0.5, low + 0.5]);

function padded([low, high]: readonly [number, number]): [number, number] {
  const room = 0.05 * (high - low) || 0.05 * Math.abs(high) || 0.5;
  return [low - room, high + room];
}
