/** A figure in words, for readers who do not see it. */
import { plotlyLines, shorten } from './escape';
import type { Figure, HeatmapTrace, LineTrace } from './figure';
import { titleOf } from './plotlyFigure';
import { formatTick } from './ticks';

/** Lines told one by one. */
const MOST_LINES = 8;

const textOf = (label = ''): string => plotlyLines(label).join(' ');
const number = (value: number): string => formatTick(Number(value.toPrecision(3)));

/** Name, first and last value of a line. */
function lineText({ name, y }: LineTrace): string {
  const known = y.filter((value) => value !== null);
  return `${textOf(name)} ${known.length ? `from ${number(known[0])} to ${number(known[known.length - 1])}` : 'without values'}`;
}

const sizeText = ({ z }: HeatmapTrace): string => `${z.length} × ${Math.max(0, ...z.map((row) => row.length))}`;

/** Title, what the axes show, and where lines begin and end or how large matrices are. */
export function altText({ data, layout }: Figure): string {
  const title = titleOf(layout);
  const lines = data.filter((trace) => trace.type === 'scatter').filter(({ showlegend }) => showlegend);
  if (lines.length) {
    const [x, y] = [layout.xaxis, layout.yaxis].map((axis) => textOf(axis.title?.text));
    const more = lines.length > MOST_LINES ? `, and ${lines.length - MOST_LINES} more` : '';
    return shorten(`${title}. Lines of ${y} by ${x}: ${lines.slice(0, MOST_LINES).map(lineText).join(', ')}${more}.`, 600);
  }
  const matrices = data.filter((trace) => trace.type === 'heatmap');
  if (!matrices.length) return title;
  const labels = layout.annotations.filter(({ yanchor }) => yanchor === 'bottom').map(({ text }) => textOf(text));
  return shorten(
    `${title}. ${labels.length ? `Pictures of ${labels.join(', ')}: ` : 'Matrix of '}${sizeText(matrices[0])} cells.`,
    600,
  );
}
