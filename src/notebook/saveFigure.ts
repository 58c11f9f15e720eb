/** Figures as files: SVG, and PNG where the renderer's binary for this platform is installed. */
import path from 'node:path';
import { makeFolder, writeFileAtomic } from '../files/atomicFile';
import type { Figure } from './figure';
import { toSvg } from './svg';

/** PNG pixels for one CSS pixel. */
const PNG_SCALE = 2;

/**
 * Writes `<name>.svg` and `<name>.png`, and missing folders.
 *
 * @returns the files written
 */
export const saveFigure = (figure: Figure, name: string): string[] => savePicture(toSvg(figure), name);

/** {@link saveFigure} for a figure that is SVG already. */
export function savePicture(svg: string, name: string): string[] {
  makeFolder(path.dirname(path.resolve(name)));
  writeFileAtomic(`${name}.svg`, svg);
  const png = toPng(svg);
  if (!png) return [`${name}.svg`];
  writeFileAtomic(`${name}.png`, png);
  return [`${name}.svg`, `${name}.png`];
}

/** The picture in pixels, its text in a font of this machine; null where resvg has no binary for the platform. */
export function toPng(svg: string): Uint8Array | null {
  const resvg = loadResvg();
  const options = { fitTo: { mode: 'zoom', value: PNG_SCALE }, font: { defaultFontFamily: 'DejaVu Sans' } } as const;
  return resvg && new resvg.Resvg(svg, options).render().asPng();
}

/** Loaded when the first PNG is asked for: it is native code that a notebook without files never needs. */
function loadResvg(): typeof import('@resvg/resvg-js') | null {
  try {
    return require('@resvg/resvg-js') as typeof import('@resvg/resvg-js');
  } catch {
    return null;
  }
}
