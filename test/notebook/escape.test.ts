import { describe, expect, test } from 'vitest';
import { escapeHtml, escapePlotly, plotlyLines, printable, scriptJson, shorten } from '../../src/notebook/escape';
import { HOSTILE } from './hostile';

/** What a browser makes of the entities. */
const decoded = (text: string) =>
  text.replace(
    /&(lt|gt|amp|quot|#39);/g,
    (_, name: string) => ({ lt: '<', gt: '>', amp: '&', quot: '"', '#39': "'" })[name] ?? '',
  );

describe.each(HOSTILE)('%j', (text) => {
  test('HTML keeps the text and nothing that acts', () => {
    expect(escapeHtml(text)).not.toMatch(/[<>"']|&(?!(lt|gt|amp|quot|#39);)/);
    expect(decoded(escapeHtml(text))).toBe(printable(text));
  });

  test('a plotly label has no tag but <br>, and reads as the text', () => {
    expect(escapePlotly(text).replaceAll('<br>', '')).not.toMatch(/[<>]/);
    expect(plotlyLines(escapePlotly(text)).join('\n')).toBe(printable(text));
  });

  test('a terminal has nothing to obey', () => {
    // eslint-disable-next-line no-control-regex
    expect(printable(text)).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202e]/);
    expect(Buffer.from(printable(text)).toString()).toBe(printable(text)); // no half of a surrogate pair
  });

  test('JSON in a script is the same value, and cannot leave the script', () => {
    const json = scriptJson({ [text]: [text] });
    expect(json).not.toMatch(/[<>&\u2028\u2029]/);
    expect(JSON.parse(json)).toEqual({ [text]: [text] });
  });
});

test('harmless text stays as it is', () => {
  const text = 'Φ = −0.5 · Zürich 東京 🙂\n\ttab';
  expect(printable(text)).toBe(text);
  expect(escapeHtml(text)).toBe(text);
});

test('shorten counts characters, not halves of them', () => {
  expect(shorten('🙂🙂🙂', 3)).toBe('🙂🙂🙂');
  expect(shorten('🙂🙂🙂🙂', 3)).toBe('🙂🙂…');
});
