/** `dpg config`: the reference of all configuration keys. */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { jsonSchema } from '../dpg/keys';
import { sharedKeys } from '../dpg/config';
import type { Definition } from '../experiments/definition';
import { EXPERIMENTS } from '../experiments/experiments';
import { writeFileAtomic } from '../files/atomicFile';
import { asUsage, UsageError } from './command';
import { definitionOf } from './trainArguments';
import { describeKeys, type DescribedKey } from './keyHelp';
import { alignColumns } from './textTable';

export const summary = 'reference of the configuration keys';
export const help = `dpg config [EXPERIMENT] [--json | --schema]
dpg config --update FILE.md

Prints the configuration keys of an experiment with meaning, unit, range, its own default and the paper's value, as a Markdown table;
without EXPERIMENT those of all, and where their defaults differ. EXPERIMENT is one of
${Object.keys(EXPERIMENTS).join(', ')}, or a module of your own such as ./my-target.mjs.

      --update FILE   writes the tables of all between the lines ${'<!-- config -->'} and ${'<!-- /config -->'} of FILE
      --json          prints the keys as JSON
      --schema        prints the JSON schema of a configuration file (dpg train --config), for editors

Exit code: 0 done, 1 an error, 2 wrong usage.`;

const OPTIONS = { update: { type: 'string' }, json: { type: 'boolean' }, schema: { type: 'boolean' } } as const;
const MARKED = /(<!-- config -->\n)[^]*?(<!-- \/config -->)/;

/** A table in Markdown, laid out as prettier does. */
function markdownTable(rows: readonly (readonly string[])[]): string {
  const [head, ...body] = alignColumns(rows.map((row) => row.map((cell) => cell.replaceAll('|', '\\|'))));
  const line = head.map((cell) => '-'.repeat(cell.length));
  return [head, line, ...body].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

const row = ({ key, description, unit = '', range, default: value, paper = '' }: DescribedKey): string[] =>
  [`\`${key}\``, description, unit, range, String(value), paper]; // prettier-ignore

/** The keys of one experiment. */
export const configTable = (definition: Pick<Definition, 'keys' | 'defaults'>): string =>
  markdownTable([['key', 'what it is', 'unit', 'range', 'default', 'paper'], ...describeKeys(definition).map(row)]);

/** The keys that only some experiments have. */
function ownTable(): string {
  const own = Object.values(EXPERIMENTS).flatMap((definition) =>
    describeKeys(definition)
      .filter(({ key, range }) => !(key in sharedKeys) || range !== sharedKeys[key as keyof typeof sharedKeys].range)
      .map((described) => [`\`${definition.name}\``, ...row(described)]),
  );
  return markdownTable([['experiment', 'key', 'what it is', 'unit', 'range', 'default', 'paper'], ...own]);
}

/** The defaults in which experiments differ from the shared ones. */
function defaultsTable(): string {
  const definitions = Object.values(EXPERIMENTS);
  const keys = Object.keys(sharedKeys).filter((key) => definitions.some(({ defaults }) => key in defaults));
  const cell = (key: string, { defaults }: Definition): string =>
    String((defaults as Readonly<Record<string, string | number>>)[key] ?? '');
  return markdownTable([
    ['default of', ...definitions.map(({ name }) => `\`${name}\``)],
    ...keys.map((key) => [`\`${key}\``, ...definitions.map((definition) => cell(key, definition))]),
  ]);
}

/** The reference of all experiments. */
export const reference = (): string =>
  [
    'Of every experiment:',
    configTable({ keys: sharedKeys, defaults: {} }),
    'Of some:',
    ownTable(),
    'Defaults that are an experiment’s own:',
    defaultsTable(),
  ].join('\n\n');

/** Puts the reference between the markers of a Markdown file. @throws UsageError if it has no markers */
function update(file: string): void {
  const text = asUsage('--update', () => readFileSync(file, 'utf8'));
  if (!MARKED.test(text)) throw new UsageError(`--update ${file}: it has no lines <!-- config --> and <!-- /config -->`);
  writeFileAtomic(
    file,
    text.replace(MARKED, (_, open: string, close: string) => `${open}\n${reference()}\n\n${close}`),
  );
}

const SHARED = { name: 'every experiment', keys: sharedKeys, defaults: {} };

/** Runs the command; see `help` for the exit code. */
export async function run(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args: argv, options: OPTIONS, allowPositionals: true });
  const [experiment] = positionals;
  if (positionals.length > 1) throw new UsageError(`dpg config takes one EXPERIMENT at most (got ${positionals.join(' ')})`);
  if (values.update !== undefined) {
    update(values.update);
    return 0;
  }
  const definition = experiment === undefined ? SHARED : await definitionOf(experiment);
  if (values.schema) console.log(JSON.stringify(jsonSchema(definition.keys, definition.name, definition.defaults), null, 2));
  else if (values.json) console.log(JSON.stringify(describeKeys(definition), null, 2));
  else console.log(experiment === undefined ? reference() : configTable(definition));
  return 0;
}
