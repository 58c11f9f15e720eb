/**
 * Figures, text and other outputs of a cell. Outside a notebook everything degrades to plain text on stdout.
 */
import { createHash, randomUUID } from 'node:crypto';
import { altText } from './altText';
import { escapeHtml, printable } from './escape';
import type { Figure } from './figure';
import { still, titleOf, type PlotlyFigure } from './plotlyFigure';
import { CONFIG, plotlyScript } from './plotlyScript';
import { toSvg } from './svg';
import { sendDisplay, type MimeBundle } from './tslab';

/** One output of a cell, shown with the first call and replaced by later ones. */
export interface Output {
  readonly show: (bundle: MimeBundle) => void;
}

/** A new output of the running cell. */
export function output(): Output {
  const id = randomUUID();
  let shown = false;
  let printed: unknown;
  return {
    show: (bundle) => {
      const text = bundle['text/plain'];
      if (!sendDisplay(bundle, id, shown) && text !== printed) console.log(text);
      shown = true;
      printed = text;
    },
  };
}

/** Shows a figure: plotly's where it can be loaded, else the same as a static picture. */
export const showFigure = (figure: PlotlyFigure): void => output().show(figureBundle(figure));

/** A figure that changes while a cell runs. */
export interface LiveFigure {
  /** Replaces the picture by a static one: cheap. */
  draw(figure: Figure): void;
  /** Replaces it for good, by one that can be zoomed and asked for its numbers. */
  finish(figure: Figure): void;
}

/** A new, still empty live figure. */
export function liveFigure(): LiveFigure {
  const { show } = output();
  return {
    draw: (figure) => show({ 'image/svg+xml': toSvg(figure), 'text/plain': plainText(figure) }),
    finish: (figure) => show(figureBundle(figure)),
  };
}

/**
 * Markdown of the notebook's author around values that may come from a model: ``markdown`Φ is **${phi}** for ${response}` ``. Values are
 * shown letter by letter, neither as Markdown nor as HTML or TeX.
 */
export function markdown(template: TemplateStringsArray, ...values: readonly (string | number)[]): void {
  const literal = (value: unknown) =>
    `<span class="${NO_TEX}">` +
    printable(String(value)).replace(/[!-/:-@[-`{-~\n]/g, (character) => `&#${character.charCodeAt(0)};`) +
    '</span>';
  const join = (parts: readonly string[], convert: (value: unknown) => string) =>
    parts.map((part, i) => part + (i < values.length ? convert(values[i]) : '')).join('');
  const plain = template.map((part) => part.replace(/\*\*|`/g, '')); // what a reader sees who does not trust the notebook
  output().show({ 'text/markdown': join(template, literal), 'text/plain': join(plain, (value) => printable(String(value))) });
}

const plainText = ({ layout }: PlotlyFigure): string => `[figure: ${titleOf(layout)}]`;

/** The figure for plotly: a chart is as wide as the page, pictures keep their square pixels. */
function fluid({ data, layout }: PlotlyFigure): PlotlyFigure {
  const isChart = data.every((trace) => (trace as { type?: string }).type === 'scatter');
  return { data, layout: isChart ? { ...layout, width: undefined, autosize: true } : layout };
}

/** Keeps MathJax away from text that a model may have written: TeX can carry links. */
export const NO_TEX = 'tex2jax_ignore mathjax_ignore';

/**
 * All representations of a figure. Most front ends prefer text/html, so that one holds the static picture and replaces it once plotly is
 * there; plotly.js itself (10 MB) is never part of a notebook.
 */
export function figureBundle(figure: PlotlyFigure): MimeBundle {
  const picture = still(figure);
  const svg = toSvg(picture);
  const source = `data:image/svg+xml;base64,${Buffer.from(svg).toString('base64')}`;
  const alt = escapeHtml(altText(picture));
  const image = `<img width="${picture.layout.width}" style="max-width:100%" alt="${alt}" src="${source}">`;
  const drawn = fluid(figure);
  // not random: outputs are kept under version control
  const className = `dpg-${createHash('sha256').update(svg).digest('hex').slice(0, 12)}`;
  const script = plotlyScript(className, drawn);
  return {
    'application/vnd.plotly.v1+json': { ...drawn, config: CONFIG },
    'text/html': `<div class="${className} ${NO_TEX}" style="overflow-x:auto">${image}</div><script>${script}</script>`,
    'image/svg+xml': svg,
    'text/plain': plainText(figure),
  };
}
