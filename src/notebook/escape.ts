/**
 * Text of models and data on its way into HTML, plotly, SVG, inline scripts and terminals. Output of one's own notebook is trusted:
 * what is not escaped here executes in the reader's browser.
 */
import { printable } from '../files/printable';

export { printable, shorten } from '../files/printable';

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
/** For HTML and XML, between tags or in a quoted attribute. */
export const escapeHtml = (text: string): string => printable(text).replace(/[&<>"']/g, (character) => ENTITIES[character]);

/** For titles, names and labels of plotly, which reads a subset of HTML in them. */
export const escapePlotly = (text: string): string =>
  printable(text)
    .replace(/[&<>]/g, (character) => ENTITIES[character])
    .replace(/\n/g, '<br>');

/** The lines of a plotly label as plain text: its tags dropped, its entities decoded. */
export function plotlyLines(label: string): string[] {
  const decode = (entity: string) => Object.keys(ENTITIES).find((character) => ENTITIES[character] === entity) ?? entity;
  return label.split(/<br\s*\/?>/).map((line) => line.replace(/<[^>]*>/g, '').replace(/&(?:amp|lt|gt|quot|#39);/g, decode));
}

/** JSON that can stand in an inline script or in TypeScript: no `</script>`, no `<!--`, no line separators. */
export const scriptJson = (value: unknown): string =>
  JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
