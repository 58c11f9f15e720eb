/**
 * Notebook files: nbformat 4.5 JSON, papermill's `parameters` convention, and a hash that ties outputs to sources.
 */
import { createHash, randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { scriptJson } from '../../notebook/escape';
import { makeFolder, writeFileAtomic } from '../../files/atomicFile';
import { shown } from '../../files/printable';
import { UsageError } from '../command';

/** A notebook as read: text is joined into single strings. */
export interface Notebook {
  cells: Cell[];
  metadata: Record<string, unknown> & { dpg?: { source_hash?: string } };
  nbformat: number;
  nbformat_minor: number;
}

/** A cell; `outputs` and `execution_count` are those of code cells. */
export interface Cell {
  cell_type: 'code' | 'markdown' | 'raw';
  id: string;
  metadata: { tags?: string[] };
  source: string;
  execution_count?: number | null;
  outputs?: Output[];
}

/** One output of a code cell. */
export type Output =
  | { output_type: 'stream'; name: 'stdout' | 'stderr'; text: string }
  | { output_type: 'display_data'; data: Record<string, unknown>; metadata: Record<string, unknown> };

/** Reads a notebook. @throws {UsageError} where there is none. */
export function readNotebook(file: string): Notebook {
  let notebook: Notebook;
  try {
    notebook = JSON.parse(fs.readFileSync(file, 'utf8')) as Notebook;
  } catch (error) {
    throw new UsageError(`${file}: ${error instanceof SyntaxError ? 'not a notebook (not JSON)' : 'cannot be read'}`);
  }
  if (notebook?.nbformat !== 4 || !Array.isArray(notebook.cells)) {
    throw new UsageError(`${file}: not a notebook of nbformat 4 (got ${shown(notebook?.nbformat)})`);
  }
  notebook.cells.forEach((cell, i) => {
    cell.source = joined(cell.source);
    cell.id ??= `cell-${i}`;
  });
  notebook.nbformat_minor = Math.max(notebook.nbformat_minor, 5); // cell ids
  return notebook;
}

/** JSON with indent 1, but every figure in one line: its numbers are most of a notebook. */
function notebookText(notebook: object): string {
  const [mark, figures] = [randomUUID(), [] as string[]];
  const marked = (key: string, value: unknown): unknown =>
    key.startsWith('application/vnd.plotly') ? `${mark} ${figures.push(JSON.stringify(value)) - 1}` : value;
  const text = JSON.stringify(notebook, marked, 1);
  return text.replace(new RegExp(`"${mark} (\\d+)"`, 'g'), (_, i: string) => figures[Number(i)]) + '\n';
}

/** Writes a notebook as Jupyter does (one line a line, indent 1), stamped with the hash of its sources. */
export function writeNotebook(file: string, notebook: Notebook): void {
  const metadata = { ...notebook.metadata, dpg: { ...notebook.metadata.dpg, source_hash: sourceHash(notebook) } };
  const cells = notebook.cells.map((cell) => ({
    ...cell,
    source: lines(cell.source),
    ...(cell.outputs && { outputs: cell.outputs.map(inLines) }),
  }));
  makeFolder(path.dirname(path.resolve(file)));
  writeFileAtomic(file, notebookText({ ...notebook, cells, metadata }));
}

/** SHA-256 of the code cells as their author wrote them: equal to `metadata.dpg.source_hash` where the outputs belong to the sources. */
export function sourceHash({ cells }: Notebook): string {
  const sources = cells
    .filter((cell) => cell.cell_type === 'code' && !hasTag(cell, 'injected-parameters'))
    .map((cell) => joined(cell.source));
  return createHash('sha256').update(JSON.stringify(sources)).digest('hex');
}

/** True where `tag` is among the tags of `cell`. */
export const hasTag = (cell: Cell, tag: string): boolean => cell.metadata.tags?.includes(tag) ?? false;

/**
 * Adds a cell that sets `values` after the one tagged `parameters` (papermill's convention), in place of an earlier such cell.
 *
 * @param values - a text is read as what the variable is declared with: text where that is text, else JSON
 * @throws {UsageError} for a name that the `parameters` cell does not declare with `let`, one declaration a line, and for what is no JSON
 */
export function injectParameters(notebook: Notebook, values: ReadonlyMap<string, unknown>): void {
  notebook.cells = notebook.cells.filter((cell) => !hasTag(cell, 'injected-parameters'));
  if (!values.size) return;
  const at = notebook.cells.findIndex((cell) => hasTag(cell, 'parameters'));
  if (at < 0) throw new UsageError('-p needs a cell tagged "parameters", and this notebook has none');
  const declarations = notebook.cells[at].source.matchAll(/^\s*(?:let|const|var)\s+([\w$]+)(?:[^=\n]*=\s*(['"`])?)?/gm);
  const known = new Map([...declarations].map(([, name, quote]) => [name, quote !== undefined]));
  const set = [...values].map(([name, value]) => [name, valueOf(name, value, known)] as const);
  notebook.cells.splice(at + 1, 0, {
    cell_type: 'code',
    execution_count: null,
    id: 'injected-parameters',
    metadata: { tags: ['injected-parameters'] },
    outputs: [],
    source: ['// Parameters', ...set.map(([name, value]) => `let ${name} = ${scriptJson(value)};`)].join('\n'),
  });
}

/** A value by the declaration of its variable; `known` tells of each whether it is a text. */
function valueOf(name: string, value: unknown, known: ReadonlyMap<string, boolean>): unknown {
  const isText = known.get(name);
  if (isText === undefined)
    throw new UsageError(`unknown parameter "${name}"; this notebook has: ${[...known.keys()].join(', ')}`);
  if (isText || typeof value !== 'string') return value;
  try {
    return JSON.parse(value);
  } catch {
    throw new UsageError(`-p ${name}=${value}: the notebook has no text there, so this must be JSON`);
  }
}

/** The plain text of a display, '' where it has none. */
export function plainText(data: Record<string, unknown>): string {
  const text = data['text/plain'];
  return typeof text === 'string' ? text : '';
}

const joined = (text: string | string[]): string => (Array.isArray(text) ? text.join('') : text);
const lines = (text: string): string[] => text.match(/[^\n]*\n|[^\n]+/g) ?? [];

function inLines(output: Output): object {
  if (output.output_type === 'stream') return { ...output, text: lines(output.text) };
  const isText = (mime: string) => mime.startsWith('text/') || mime.endsWith('+xml');
  const asSaved = (mime: string, value: unknown) => (isText(mime) && typeof value === 'string' ? lines(value) : value);
  const data = Object.entries(output.data).map(([mime, value]): [string, unknown] => [mime, asSaved(mime, value)]);
  return { ...output, data: Object.fromEntries(data) };
}
