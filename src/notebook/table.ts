/** Tables: danfojs data frames or plain rows, with numbers aligned at the point and all text escaped. */
import { NO_TEX, output } from './display';
import { escapeHtml, printable } from './escape';
import type { MimeBundle } from './tslab';

/** The part of a danfojs DataFrame in use here. */
export interface Frame {
  readonly columns: readonly string[];
  readonly index: readonly (string | number)[];
  readonly values: unknown;
}

/** How {@link table} shows. */
export interface TableOptions {
  readonly caption?: string;
  /** Significant digits of numbers that are not whole. */
  readonly digits?: number;
}

/** A row of values by column. */
export type Row = Readonly<Record<string, unknown>>;

/** Shows a data frame, or rows whose keys are the columns. */
export const table = (frame: Frame | readonly Row[], options?: TableOptions): void => output().show(tableBundle(frame, options));

/** What {@link table} shows. */
export function tableBundle(frame: Frame | readonly Row[], { caption = '', digits = 4 }: TableOptions = {}): MimeBundle {
  const { head, rows, index } = contents(frame);
  const numeric = head.map((_, column) => rows.every((row) => row[column] == null || typeof row[column] === 'number'));
  const columns = head.map((_, column) => {
    const texts = rows.map((row) => formatCell(row[column], digits));
    return numeric[column] ? alignPoints(texts) : texts;
  });
  const cells = rows.map((_, i) => columns.map((texts) => texts[i]));
  return {
    'text/html': html({ head, index, cells, numeric, caption }),
    'text/plain': plain({
      head: ['', ...head],
      cells: cells.map((row, i) => [index?.[i] ?? '', ...row]),
      numeric: [false, ...numeric],
      caption,
    }),
  };
}

/** Column names, rows of values, and row names where a data frame has other ones than 0, 1, 2 …. */
function contents(frame: Frame | readonly Row[]): { head: string[]; rows: unknown[][]; index?: string[] } {
  if ('columns' in frame) {
    const index = frame.index.some((name, i) => name !== i) ? frame.index.map(String) : undefined;
    const rows = (frame.values as unknown[]).map((row) => (Array.isArray(row) ? (row as unknown[]) : [row])); // a Series has one column
    return { head: frame.columns.map(String), rows, index };
  }
  const head = [...new Set(frame.flatMap((row) => Object.keys(row)))];
  return { head, rows: frame.map((row) => head.map((column) => row[column])) };
}

function formatCell(value: unknown, digits: number): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return value;
  if (typeof value !== 'number') return JSON.stringify(value);
  return (Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(digits)))).replace('-', '\u2212');
}

/** Spaces as wide as a digit and a point, which HTML does not collapse. */
const [DIGIT_SPACE, POINT_SPACE] = ['\u2007', '\u2008'];

/** Fills the numbers of a column up at their ends, so that aligned at the right they have their points in one line. */
function alignPoints(numbers: readonly string[]): string[] {
  const ends = numbers.map((text) => /([.e].*)?$/.exec(text)![0].length);
  const longest = Math.max(...ends);
  return numbers.map((text, i) => {
    const point = ends[i] === 0 && longest > 0 ? POINT_SPACE : '';
    return text + point + DIGIT_SPACE.repeat(longest - ends[i] - point.length);
  });
}

interface Contents {
  readonly head: readonly string[];
  readonly index?: readonly string[];
  readonly cells: readonly (readonly string[])[];
  readonly numeric: readonly boolean[];
  readonly caption: string;
}

/** Names are not broken to make room, other than text of a model, which may be one long word. */
const LEFT = 'text-align:left;vertical-align:top;white-space:pre-wrap;overflow-wrap:break-word;max-width:60ch';
const LONG = LEFT.replace('break-word', 'anywhere');
const LONGEST_NAME = 24;
const isLong = (text: string): boolean => text.split(/\s/).some((word) => word.length > LONGEST_NAME);
const RIGHT = 'text-align:right;vertical-align:top';

/** Sanitizers drop styles but keep `align`, and front ends right-align what has neither. */
function html({ head, index, cells, numeric, caption }: Contents): string {
  const cell = (tag: 'th' | 'td', text: string, right: boolean) => {
    const [style, align] = right ? [RIGHT, 'right'] : [isLong(text) ? LONG : LEFT, 'left'];
    return `<${tag} style="${style}"><div align="${align}">${escapeHtml(text)}</div></${tag}>`;
  };
  const corner = index ? '<th></th>' : '';
  const top = head.map((name, column) => cell('th', name, numeric[column])).join('');
  const rows = cells.map(
    (row, i) =>
      (index ? cell('th', index[i], false) : '') + row.map((text, column) => cell('td', text, numeric[column])).join(''),
  );
  return (
    `<table class="dataframe ${NO_TEX}" ` +
    `style="font-variant-numeric:tabular-nums">${caption && `<caption style="text-align:left">${escapeHtml(caption)}</caption>`}` +
    `<thead><tr>${corner}${top}</tr></thead><tbody>${rows.map((row) => `<tr>${row}</tr>`).join('')}</tbody></table>`
  );
}

const MAX_WIDTH = 60;

function plain({ head, cells, numeric, caption }: Contents): string {
  const oneLine = (text: string) => {
    const line = printable(text).replace(/\s/g, ' ');
    return line.length > MAX_WIDTH ? `${line.slice(0, MAX_WIDTH - 1)}…` : line;
  };
  const rows = [head, ...cells].map((row) => row.map(oneLine));
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const pad = (text: string, column: number) => (numeric[column] ? text.padStart(widths[column]) : text.padEnd(widths[column]));
  const lines = rows.map((row) =>
    row
      .map(pad)
      .filter((_, column) => widths[column])
      .join('  ')
      .trimEnd(),
  );
  return (caption ? [oneLine(caption), ...lines] : lines).join('\n');
}
