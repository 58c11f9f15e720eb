/** The committed notebooks and what they show. */
import fs from 'node:fs';
import path from 'node:path';
import { readNotebook } from '../../src/cli/notebook/document';
import { ROOT } from '../cli/dpg';

const FOLDER = path.join(ROOT, 'notebooks');
export const NOTEBOOKS = fs.readdirSync(FOLDER).filter((name) => name.endsWith('.ipynb'));

/** Each output of a notebook by MIME type, as text; nbformat keeps text in lines. */
export const outputsOf = (name: string): Record<string, string>[] =>
  readNotebook(path.join(FOLDER, name))
    .cells.flatMap(({ outputs = [] }) => outputs)
    .flatMap((output) => (output.output_type === 'display_data' ? [output.data] : []))
    .map((data) =>
      Object.fromEntries(
        Object.entries(data).map(([type, lines]) => [type, (lines as string[]).join?.('') ?? (lines as string)]),
      ),
    );

/** The HTML of the outputs that have one. */
export const htmlOutputs = (name: string): string[] => outputsOf(name).flatMap((data) => data['text/html'] ?? []);
