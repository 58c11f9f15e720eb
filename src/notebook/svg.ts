/**
 * A figure as static SVG, like plotly draws it but in a few milliseconds and without a browser. No element refers to another by id, so
 * that many pictures can stand on one page.
 */
import { colorAt } from './color';
import { escapeHtml, plotlyLines } from './escape';
import {
  GRID,
  INK,
  ZERO,
  type Annotation,
  type Axis,
  type Figure,
  type HeatmapTrace,
  type Layout,
  type LineTrace,
} from './figure';
import { matrixPng } from './matrixPng';
import { formatTick, linearTicks, logTicks } from './ticks';

/** The SVG document. */
export function toSvg({ data, layout }: Figure): string {
  const { width, height, font } = layout;
  const lines = data.filter((trace) => trace.type === 'scatter');
  const heatmaps = data.filter((trace) => trace.type === 'heatmap');
  const body = [
    ...heatmaps.flatMap((trace) => heatmap(trace, layout)),
    ...(lines.length ? [chart(lines, layout)] : []),
    ...layout.annotations.map((annotation) => drawAnnotation(annotation, layout)),
    drawTitle(layout),
  ];
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
    `font-family="${escapeHtml(font.family)}" font-size="${font.size}" fill="${font.color}">` +
    `<rect width="100%" height="100%" fill="${layout.paper_bgcolor}"/>${body.join('')}</svg>`
  );
}

/** Pixels of a plot area and the maps from data to them. */
interface Area {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly xAxis: Axis;
  readonly yAxis: Axis;
  readonly x: (value: number) => number;
  readonly y: (value: number) => number;
}

function areaOf(layout: Layout, xName = 'x', yName = 'y'): Area {
  const xAxis = layout[`xaxis${xName.slice(1)}`];
  const yAxis = layout[`yaxis${yName.slice(1)}`];
  const plot = plotSize(layout);
  const [x0, x1] = xAxis.domain ?? [0, 1];
  const [y0, y1] = yAxis.domain ?? [0, 1];
  const [left, width] = [layout.margin.l + x0 * plot.width, (x1 - x0) * plot.width];
  const [top, height] = [layout.margin.t + (1 - y1) * plot.height, (y1 - y0) * plot.height];
  const share = (value: number, { range, type }: Axis) =>
    ((type === 'log' ? Math.log10(value) : value) - range[0]) / (range[1] - range[0]);
  const x = (value: number) => left + share(value, xAxis) * width;
  const y = (value: number) => top + (1 - share(value, yAxis)) * height;
  return { left, top, width, height, xAxis, yAxis, x, y };
}

const plotSize = ({ width, height, margin }: Layout) => ({
  width: width - margin.l - margin.r,
  height: height - margin.t - margin.b,
});

const px = (value: number): string => String(Math.round(value * 100) / 100);

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${px(x)}" y="${px(y)}"${attributes && ` ${attributes}`}>${escapeHtml(content)}</text>`;
}

function drawTitle({ title, margin }: Layout): string {
  return text(margin.l, 28, plotlyLines(title.text).join(' '), `font-size="${title.font.size}"`);
}

function drawAnnotation({ text: label, x, y, yshift, xanchor, yanchor, font }: Annotation, layout: Layout): string {
  const plot = plotSize(layout);
  const lines = plotlyLines(label);
  const top = layout.margin.t + (1 - y) * plot.height - yshift - (yanchor === 'bottom' ? lines.length * 16 : 0);
  const anchor = xanchor === 'center' ? ' text-anchor="middle"' : '';
  const left = layout.margin.l + x * plot.width;
  return lines.map((line, i) => text(left, top + 13 + 16 * i, line, `fill="${font.color}"${anchor}`)).join('');
}

function axisTitles({ left, top, width, height, xAxis, yAxis }: Area, margin: Layout['margin']): string {
  const title = (axis: Axis) => plotlyLines(axis.title?.text ?? '').join(' ');
  const style = `font-size="${xAxis.title?.font.size}" text-anchor="middle"`;
  const turn = `transform="translate(${px(left - margin.l + 18)} ${px(top + height / 2)}) rotate(-90)"`;
  return text(left + width / 2, top + height + 42, title(xAxis), style) + text(0, 0, title(yAxis), `${style} ${turn}`);
}

function tickLabels({ left, top, height, x, y, xAxis, yAxis }: Area, xs: readonly number[], ys: readonly number[]): string {
  const below = xs.map((tick) => text(x(tick), top + height + 19, formatTick(tick, xAxis.tickformat), 'text-anchor="middle"'));
  const beside = ys.map((tick) => text(left - 8, y(tick) + 4, formatTick(tick, yAxis.tickformat), 'text-anchor="end"'));
  return below.join('') + beside.join('');
}

// ---- line charts

function chart(traces: readonly LineTrace[], layout: Layout): string {
  const area = areaOf(layout);
  const clip = traces.map(
    (trace, i) => (trace.fill ? fill(traces[i - 1], trace, area) : '') + (trace.line.width ? path(trace, area) : ''),
  );
  return gridLines(area) + clip.join('') + axisTitles(area, layout.margin) + (layout.showlegend ? legend(traces, area) : '');
}

function gridLines(area: Area): string {
  const { left, top, width, height, xAxis, yAxis, x, y } = area;
  const [xs, ys] = [xAxis, yAxis].map(({ range, type, dtick }) =>
    type === 'log' ? logTicks(...range, dtick) : linearTicks(...range, 6),
  );
  const vertical = xs.map((tick) => `<path d="M${px(x(tick))} ${px(top)}v${px(height)}" stroke="${GRID}"/>`);
  const horizontal = ys.map(
    (tick) => `<path d="M${px(left)} ${px(y(tick))}h${px(width)}" stroke="${tick === 0 ? ZERO : GRID}"/>`,
  );
  return [...vertical, ...horizontal].join('') + tickLabels(area, xs, ys);
}

/** Points in pixels, in runs between gaps. */
function runs({ x, y }: LineTrace, area: Area): [number, number][][] {
  const result: [number, number][][] = [[]];
  y.forEach((value, i) => {
    const at = x[i];
    if (value === null || at === null) result.push([]);
    else result.at(-1)?.push([area.x(at), area.y(value)]);
  });
  return result.filter((run) => run.length);
}

const pathOf = (points: readonly [number, number][]): string => points.map(([x, y]) => `${px(x)} ${px(y)}`).join('L');

function path(trace: LineTrace, area: Area): string {
  const all = runs(trace, area).map((run) => run.filter(([, y]) => y >= area.top - 1 && y <= area.top + area.height + 1));
  const { color, width } = trace.line;
  const d = all.map((run) => `M${pathOf(thin(run, area.width))}`).join('');
  const line = `<path d="${d}" fill="none" stroke="${color}" stroke-width="${width}" stroke-linejoin="round"/>`;
  if (trace.mode === 'lines') return line;
  const dots = all.flat().map(([x, y]) => `M${px(x)} ${px(y)}h0`);
  return `${line}<path d="${dots.join('')}" stroke="${color}" stroke-width="${trace.marker?.size ?? 5}" stroke-linecap="round"/>`;
}

function fill(lower: LineTrace, upper: LineTrace, area: Area): string {
  const [below, above] = [runs(lower, area), runs(upper, area)];
  const d = above.map((run, i) => `M${pathOf([...run, ...(below[i] ?? []).toReversed()])}Z`).join('');
  return `<path d="${d}" fill="${upper.fillcolor?.slice(0, 7)}" fill-opacity="0.2"/>`;
}

/** At most four points a pixel column, the lowest and the highest among them: what is left out cannot be seen. */
function thin(points: readonly [number, number][], width: number): [number, number][] {
  const size = Math.ceil(points.length / width);
  if (size <= 4) return [...points];
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) => points.slice(i * size, (i + 1) * size)).flatMap(
    (bucket) => {
      const byHeight = bucket.toSorted((a, b) => a[1] - b[1]);
      const kept = new Set([bucket[0], byHeight[0], byHeight[byHeight.length - 1], bucket[bucket.length - 1]]);
      return bucket.filter((point) => kept.has(point));
    },
  );
}

function legend(traces: readonly LineTrace[], { left, top, width }: Area): string {
  return traces
    .filter((trace) => trace.showlegend)
    .map(({ name, line }, i) => {
      const [x, y] = [left + width * 1.02 + 5, top + 12 + 19 * i];
      return (
        `<path d="M${px(x)} ${px(y)}h26" stroke="${line.color}" stroke-width="2"/>` +
        text(x + 33, y + 4, plotlyLines(name).join(' '))
      );
    })
    .join('');
}

// ---- matrices

function heatmap(trace: HeatmapTrace, layout: Layout): string[] {
  const area = areaOf(layout, trace.xaxis, trace.yaxis);
  const { left, top, width, height } = area;
  const box = `x="${px(left)}" y="${px(top)}" width="${px(width)}" height="${px(height)}"`;
  const size = { columns: area.xAxis.range[1] - area.xAxis.range[0], rows: area.yAxis.range[0] - area.yAxis.range[1] };
  const labelled = area.xAxis.showticklabels !== false;
  const href = `data:image/png;base64,${matrixPng(trace, size).toString('base64')}`;
  return [
    `<image ${box} preserveAspectRatio="none" style="image-rendering:pixelated" href="${href}"/>`,
    `<rect ${box} fill="none" stroke="${area.xAxis.linecolor ?? INK}"/>`,
    labelled
      ? tickLabels(area, cellTicks(area.xAxis, size.columns), cellTicks(area.yAxis, size.rows)) + axisTitles(area, layout.margin)
      : '',
    cellTexts(trace, area),
    trace.showscale ? colorBar(trace, area) : '',
  ];
}

/** Multiples of the axis's tick distance below `size`. */
const cellTicks = ({ dtick = 1 }: Axis, size: number): number[] =>
  Array.from({ length: Math.ceil(size / dtick) }, (_, i) => i * dtick);

function cellTexts({ text: labels, z, zmin, zmax, colorscale }: HeatmapTrace, { x, y }: Area): string {
  const cells = labels?.flatMap((row, i) =>
    row.map((label, j) => {
      const [red, green, blue] = colorAt(colorscale, ((z[i]?.[j] ?? 0) - zmin) / (zmax - zmin));
      const color = 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? INK : '#ffffff';
      return text(x(j), y(i) + 4, plotlyLines(label).join(' '), `text-anchor="middle" fill="${color}"`);
    }),
  );
  return cells?.join('') ?? '';
}

function colorBar({ colorscale, colorbar, zmin, zmax }: HeatmapTrace, { left, top, width, height }: Area): string {
  const STEPS = 64;
  const x = left + width + 20;
  const slice = height / STEPS;
  const bar = Array.from({ length: STEPS }, (_, i) => {
    const color = `rgb(${colorAt(colorscale, (i + 0.5) / STEPS)})`;
    return `<rect x="${px(x)}" y="${px(top + height - (i + 1) * slice)}" width="12" height="${px(slice + 0.5)}" fill="${color}"/>`;
  });
  const ticks = linearTicks(zmin, zmax, (colorbar?.nticks ?? 7) - 1).map((tick) =>
    text(x + 18, top + height - ((tick - zmin) / (zmax - zmin)) * height + 4, formatTick(tick)),
  );
  return bar.join('') + ticks.join('');
}
