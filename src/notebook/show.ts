/** `show`: whatever a cell has to show. */
import { showFigure } from './display';
import type { PlotlyFigure } from './plotlyFigure';
import { table, type Frame } from './table';

/** Shows a figure of this project or any other of plotly's, `{ data, layout }`, or a danfojs data frame or series as a table. */
export function show(what: PlotlyFigure | Frame): void {
  if ('columns' in what) table(what);
  else showFigure(what);
}
