/**
 * Text of models and data on its way into HTML, plotly, SVG, inline scripts and terminals. Output of one's own notebook is trusted:
 * what is not escaped here executes in the reader's browser.
 */

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
// eslint-disable-next-line no-control-regex -- they are what is looked for
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff]/g;
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/**
 * The text with U+FFFD for what a terminal would obey, XML forbids or the eye is fooled by: control characters (tab and newline stay),
 * line and paragraph separators, changes of writing direction, halves of surrogate pairs.
 */
export const printable = (text: string): string => text.replace(CONTROL, '\ufffd').replace(LONE_SURROGATE, '\ufffd');

/** For HTML and XML, between tags or in a quoted attribute. */
export const escapeHtml = (text: string): string => printable(text).replace(/[&<>"']/g, (character) => ENTITIES[character]);

/** For titles, names and labels of plotly, which reads a subset of HTML in them. */
export const escapePlotly = (text: string): string =>
  printable(text)
    .replace(/[&<>]/g, (character) => ENTITIES[character])
    .replace(/\n/g, '<br>');

/** At most `length` characters, the last an ellipsis where some were left out. */
export function shorten(text: string, length: number): string {
  const characters = [...text];
  return characters.length > length ? `${characters.slice(0, length - 1).join('')}…` : text;
}

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
