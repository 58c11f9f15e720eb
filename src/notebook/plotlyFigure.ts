/**
 * Any figure of plotly's, and how much of it can be drawn without a browser: lines, and one matrix. The rest is plotly's alone.
 */
import { lineChart, type Series } from './charts';
import { plotlyLines } from './escape';
import { frame, type Figure } from './figure';
import { heatmap, type Matrix } from './images';

/** What `Plotly.newPlot(element, data, layout)` takes. */
export interface PlotlyFigure {
  readonly data: readonly object[];
  readonly layout?: object;
}

type Titled = { readonly title?: string | { readonly text?: string } };
type Trace = { readonly type?: string; readonly name?: string; readonly x?: unknown; readonly y?: unknown; readonly z?: unknown };

/** Whether the figure is one of this project's, which the static picture shows as plotly does. */
export const isOwn = (figure: PlotlyFigure): figure is Figure =>
  (figure.layout as { title?: { yref?: string } } | undefined)?.title?.yref === 'container';

/** Plain text of a title, which plotly takes as text or as an object. */
export function titleOf(titled: Titled | undefined): string {
  const { title = '' } = titled ?? {};
  return plotlyLines(typeof title === 'string' ? title : (title.text ?? '')).join(' ');
}

const isColumn = (values: unknown): values is ArrayLike<number> =>
  (Array.isArray(values) || ArrayBuffer.isView(values)) && (values as unknown[]).every((value) => typeof value === 'number');

/** Traces that are lines; their x counts from 0 where it is left out. */
function linesOf(traces: readonly Trace[]): Series[] | undefined {
  const lines = traces.map(({ type = 'scatter', name, x, y }, i): Series | undefined => {
    if (type !== 'scatter' || !isColumn(y) || (x !== undefined && !isColumn(x))) return undefined;
    return { name: plotlyLines(name ?? `trace ${i}`).join(' '), x: x ?? Array.from(y, (_, k) => k), y };
  });
  return lines.length && lines.every((line) => line !== undefined) ? (lines as Series[]) : undefined;
}

/** The figure as this project draws it, or a notice of its size where it cannot. */
export function still(figure: PlotlyFigure): Figure {
  if (isOwn(figure)) return figure;
  const layout = (figure.layout ?? {}) as Titled & { readonly xaxis?: Titled; readonly yaxis?: Titled };
  const texts = { title: titleOf(layout), xTitle: titleOf(layout.xaxis), yTitle: titleOf(layout.yaxis) };
  const traces = figure.data as readonly Trace[];
  const series = linesOf(traces);
  if (series) return lineChart({ series, ...texts });
  const [{ type, z } = {} as Trace] = traces;
  if (traces.length === 1 && type === 'heatmap' && Array.isArray(z) && z.every(isColumn))
    return heatmap({ z: z as Matrix, ...texts, scale: 'sequential' });
  const caption = 'Drawn by plotly alone: open the notebook trusted, or save the figure as .html.';
  return {
    data: [],
    layout: frame({ plot: { width: 480, height: 16 }, title: texts.title, caption, margin: { l: 20, r: 20, b: 8 } }),
  };
}
