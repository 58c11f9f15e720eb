/** Text of others on its way to people: what a terminal would obey is shown, not executed, and nothing is longer than a screen. */

// eslint-disable-next-line no-control-regex -- they are what is looked for
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff]/g;
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/**
 * The text with U+FFFD for what a terminal would obey, XML forbids or the eye is fooled by: control characters (tab and newline stay),
 * line and paragraph separators, changes of writing direction, halves of surrogate pairs.
 */
export const printable = (text: string): string => text.replace(CONTROL, '\ufffd').replace(LONE_SURROGATE, '\ufffd');

/** At most `length` characters, the last an ellipsis where some were left out. */
export function shorten(text: string, length: number): string {
  const characters = [...text.slice(0, 2 * length)]; // a character has one or two units
  return characters.length > length || text.length > 2 * length ? `${characters.slice(0, length - 1).join('')}…` : text;
}

/** A name of others as an error message writes it, at most 80 characters. */
export const brief = (text: string): string => printable(shorten(text, 80));

/** The first few of some names, and how many more there are. */
export const listed = (names: readonly string[], most = 5): string =>
  names.slice(0, most).map(brief).join(', ') + (names.length > most ? ` and ${names.length - most} more` : '');

/** A value as an error message names it: JSON of at most 80 characters. */
export function shown(value: unknown): string {
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') return printable(shorten(JSON.stringify(shorten(value, 80)), 80)); // not all of a long one first
  try {
    return brief(JSON.stringify(value) ?? 'undefined');
  } catch {
    return 'a value nested too deeply'; // JSON.stringify recurses where JSON.parse does not
  }
}
