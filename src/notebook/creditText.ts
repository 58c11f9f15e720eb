/** A text whose tokens are coloured by what they were paid: which words Φ asked for. */
import { COLOR_SCALES, colorAt } from './color';
import { escapeHtml } from './escape';

/** What a token without letters, such as the end of the text, is shown as. */
const UNSEEN = '∎';
/** The strongest colours hide dark letters: tokens take the scale's pale middle. */
const STRENGTH = 0.6;

/**
 * HTML of a text by tokens: blue where τ is above 0, red below, stronger the further; the number shows when pointed at.
 * @param tau - of each token, null where there is none
 * @param largest - |τ| of the strongest colour
 */
export function creditHtml(tokens: readonly string[], tau: readonly (number | null)[], largest: number): string {
  const span = (token: string, value: number | null): string => {
    const shown = escapeHtml(token || UNSEEN).replaceAll('\n', '⏎\n');
    if (value === null || !(largest > 0)) return shown;
    const color = colorAt(COLOR_SCALES.diverging, 0.5 + (0.5 * STRENGTH * value) / largest);
    return `<span style="background:rgb(${color})" title="τ ${value.toPrecision(3)}">${shown}</span>`;
  };
  return `<span style="color:#16161d;background:#fff">${tokens.map((token, i) => span(token, tau[i] ?? null)).join('')}</span>`;
}
