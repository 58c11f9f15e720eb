/**
 * The figures of an executed notebook as files: `01-learning-curve.svg` and `.png`, numbered in the order of the notebook.
 */
import path from 'node:path';
import { savePicture } from '../../notebook/saveFigure';
import { plainText, type Cell } from './document';

/** Writes every figure among the outputs of `cells` that is new or has changed since `saved` (file name to SVG) was last filled. */
export function saveFigures(folder: string, cells: readonly Cell[], saved: Map<string, string>): void {
  const displays = cells.flatMap((cell) => cell.outputs ?? []).filter((output) => output.output_type === 'display_data');
  const figures = displays.filter(({ data }) => typeof data['image/svg+xml'] === 'string');
  figures.forEach(({ data }, i) => {
    const title = plainText(data).replace(/^\[figure: (.*)\]$/s, '$1');
    const name = `${String(i + 1).padStart(2, '0')}-${slug(title)}`;
    const svg = String(data['image/svg+xml']);
    if (saved.get(name) !== svg) savePicture(svg, path.join(folder, name));
    saved.set(name, svg);
  });
}

const slug = (title: string): string => {
  const words = title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-');
  return words.replace(/^-/, '').slice(0, 60).replace(/-$/, '') || 'figure';
};
