/**
 * Committed outputs as readers see them who do not trust them: a sanitizer as of GitHub or of Jupyter before "Trust Notebook" takes scripts,
 * styles and classes away, and keeps plain elements with plain attributes.
 */
import { describe, expect, it } from 'vitest';
import { htmlOutputs, NOTEBOOKS, outputsOf } from './committed';

/** Elements and attributes that sanitizers keep. */
const ELEMENTS = /^(h[1-6]|br|b|p|div|span|pre|code|img|table|caption|thead|tbody|tr|th|td|details|summary)$/;
const ATTRIBUTES = /^(align|alt|src|width)$/;

/** The HTML without scripts and without attributes that are not kept; elements that are not kept leave their text. */
const sanitized = (html: string): string =>
  html
    .replace(/<script>[^]*?<\/script>/g, '')
    .replace(/<(\/?)(\w+)([^>]*)>/g, (_, slash: string, element: string, attributes: string) => {
      const kept = [...attributes.matchAll(/ ([\w-]+)="[^"]*"/g)].filter(([, name]) => ATTRIBUTES.test(name));
      return ELEMENTS.test(element) ? `<${slash}${element}${kept.map(([whole]) => whole).join('')}>` : '';
    });

const textOf = (html: string): string => html.replace(/<[^>]*>/g, ' ').trim();

describe.each(NOTEBOOKS)('%s, sanitized', (name) => {
  const pages = htmlOutputs(name).map(sanitized);

  it('has something to see or to read in every output, and no code among it', () => {
    for (const page of pages) {
      expect(/<img [^>]*src="data:image\/svg\+xml;base64,/.test(page) || textOf(page).length > 10).toBe(true);
      expect(textOf(page)).not.toMatch(/function ?\(|window\.|Plotly/);
      expect(page).not.toMatch(/ on\w+=|javascript:/i);
    }
  });

  it('has tables whose cells say on which side their text stands, in as many columns as the head', () => {
    for (const table of pages.flatMap((page) => page.match(/<table>[^]*?<\/table>/g) ?? [])) {
      const rows = table.match(/<tr>[^]*?<\/tr>/g)!.map((row) => row.match(/<t[hd]>/g)!.length);
      expect(new Set(rows).size).toBe(1);
      const cells = table.match(/<td>(?:(?!<\/td>)[^])*/g) ?? [];
      expect(cells.filter((cell) => !/^<td><div align="(left|right)">/.test(cell))).toEqual([]);
    }
  });

  it('has sentences without marks of Markdown where plain text is shown, and says the same in both', () => {
    const sentences = outputsOf(name).filter((data) => 'text/markdown' in data);
    for (const { 'text/plain': plain, 'text/markdown': markdown } of sentences) {
      expect(plain).not.toMatch(/\*\*|`|<|&#/);
      const read = markdown
        .replace(/<[^>]*>|\*\*|`/g, '')
        .replace(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)));
      expect(read).toBe(plain);
    }
  });

  it('has every figure as a picture too, and as text', () => {
    for (const data of outputsOf(name).filter((each) => 'application/vnd.plotly.v1+json' in each)) {
      expect(data['image/svg+xml']).toMatch(/^<svg [^]*<\/svg>$/);
      const [, source] = /src="data:image\/svg\+xml;base64,([^"]*)"/.exec(data['text/html'])!;
      expect(Buffer.from(source, 'base64').toString()).toBe(data['image/svg+xml']);
      expect(data['text/plain']).toMatch(/^\[figure: .+\]$/);
    }
  });
});
