/** Figures as files: SVG, HTML, and PNG and PDF where the renderer's binary for this platform is installed. */
import path from 'node:path';
import { makeFolder, writeFileAtomic } from '../files/atomicFile';
import { figureBundle } from './display';
import { escapeHtml } from './escape';
import { toPdf } from './pdf';
import { still, titleOf, type PlotlyFigure } from './plotlyFigure';
import { toSvg } from './svg';

/** Pixels for one CSS pixel: of a PNG, and of a PDF, which is also printed. */
const PNG_SCALE = 2;
const PDF_SCALE = 4;

/**
 * Writes a figure, and missing folders: `.png .svg .html` or `.pdf` by the name's ending, `<name>.svg` and `<name>.png` without one.
 * A page of HTML holds the picture, and becomes plotly's where there is a network.
 *
 * @returns the files written
 * @throws RangeError for another ending, Error for .png or .pdf where the renderer has no binary for this platform
 */
export function saveFigure(figure: PlotlyFigure, name: string): string[] {
  const ending = path.extname(name).toLowerCase();
  if (!/^\.[a-z]{2,5}$/.test(ending)) return savePicture(toSvg(still(figure)), name);
  const write = WRITERS[ending];
  if (!write) throw new RangeError(`figures are saved as ${Object.keys(WRITERS).join(', ')} (got ${path.basename(name)})`);
  makeFolder(path.dirname(path.resolve(name)));
  writeFileAtomic(name, write(figure));
  return [name];
}

const WRITERS: Readonly<Record<string, (figure: PlotlyFigure) => string | Uint8Array>> = {
  '.svg': (figure) => toSvg(still(figure)),
  '.png': (figure) => required(toPng(toSvg(still(figure)))),
  '.pdf': (figure) => toPdf(required(render(toSvg(still(figure)), PDF_SCALE)), PDF_SCALE),
  '.html': (figure) =>
    `<!doctype html><meta ` +
    `charset="utf-8"><title>${escapeHtml(titleOf(figure.layout))}</title>${String(figureBundle(figure)['text/html'])}\n`,
};

function required<T>(rendered: T | null): T {
  if (!rendered) throw new Error('@resvg/resvg-js has no binary for this platform: save the figure as .svg or .html');
  return rendered;
}

/** {@link saveFigure} without an ending, for a figure that is SVG already. */
export function savePicture(svg: string, name: string): string[] {
  makeFolder(path.dirname(path.resolve(name)));
  writeFileAtomic(`${name}.svg`, svg);
  const png = toPng(svg);
  if (!png) return [`${name}.svg`];
  writeFileAtomic(`${name}.png`, png);
  return [`${name}.svg`, `${name}.png`];
}

/** The picture as PNG; null where resvg has no binary for the platform. */
export const toPng = (svg: string): Uint8Array | null => render(svg, PNG_SCALE)?.asPng() ?? null;

/** The picture in pixels, its text in a font of this machine. */
function render(svg: string, scale: number): import('@resvg/resvg-js').RenderedImage | null {
  const resvg = loadResvg();
  const options = { fitTo: { mode: 'zoom', value: scale }, font: { defaultFontFamily: 'DejaVu Sans' } } as const;
  return resvg && new resvg.Resvg(svg, options).render();
}

/** Loaded when the first PNG is asked for: it is native code that a notebook without files never needs. */
function loadResvg(): typeof import('@resvg/resvg-js') | null {
  try {
    return require('@resvg/resvg-js') as typeof import('@resvg/resvg-js');
  } catch {
    return null;
  }
}
