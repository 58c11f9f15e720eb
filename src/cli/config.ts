/** `dpg config`: the reference of all configuration keys, as the README shows it. */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { configKeys } from '../dpg/config';
import { writeFileAtomic } from '../files/atomicFile';
import { asUsage, UsageError } from './command';
import { alignColumns } from './textTable';

export const name = 'config';
export const summary = 'reference of the configuration keys';
export const help = `dpg config [--update FILE.md] [--json]

Prints every configuration key with its meaning, range, default and the paper's value, as a Markdown table.

      --update FILE   writes the table between the lines ${'<!-- config -->'} and ${'<!-- /config -->'} of FILE
      --json          prints JSON

Exit code: 0 done, 1 an error, 2 wrong usage.`;

const OPTIONS = { update: { type: 'string' }, json: { type: 'boolean' } } as const;
const MARKED = /(<!-- config -->\n)[^]*?(<!-- \/config -->)/;

/** The table in Markdown, laid out as prettier does. */
export function configTable(): string {
  const rows = configKeys().map(({ key, description, range, default: value, paper }) => [
    `\`${key}\``,
    description,
    range,
    String(value),
    paper ?? '',
  ]);
  const cells = [['key', 'what it is', 'range', 'default', 'paper'], ...rows].map((row) =>
    row.map((cell) => cell.replaceAll('|', '\\|')),
  );
  const [head, ...body] = alignColumns(cells);
  const line = head.map((cell) => '-'.repeat(cell.length));
  return [head, line, ...body].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

/** Puts the table between the markers of a Markdown file. @throws UsageError if it has no markers */
function update(file: string): void {
  const text = asUsage('--update', () => readFileSync(file, 'utf8'));
  if (!MARKED.test(text)) throw new UsageError(`--update ${file}: it has no lines <!-- config --> and <!-- /config -->`);
  writeFileAtomic(
    file,
    text.replace(MARKED, (_, open: string, close: string) => `${open}\n${configTable()}\n\n${close}`),
  );
}

/** Runs the command; see `help` for the exit code. */
export async function run(argv: string[]): Promise<number> {
  const { values } = parseArgs({ args: argv, options: OPTIONS });
  if (values.update !== undefined) update(values.update);
  else console.log(values.json ? JSON.stringify(configKeys(), null, 2) : configTable());
  return 0;
}
