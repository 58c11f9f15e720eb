/** `dpg notebook`: runs a notebook without Jupyter. */
import { parseArgs } from 'node:util';
import { UsageError } from '../command';
import { runNotebook } from './run';
import { terminal } from './terminal';

export const summary = 'run a notebook without Jupyter';
export const help = `dpg notebook FILE [-p NAME=VALUE]… [-o OUT.ipynb] [--figures DIR] [--timeout SECONDS] [--quiet]

Runs every cell of FILE in a fresh tslab kernel and prints the outputs as they come.

  -p, --param NAME=VALUE  sets a variable of the cell tagged "parameters": text where it is text there, else JSON
  -o, --output OUT.ipynb  writes the executed notebook, again after each cell (may be FILE itself)
      --figures DIR       writes the displayed figures as numbered files
      --timeout SECONDS   for the notebook as a whole
  -q, --quiet             prints errors only

Ctrl-C interrupts the running cell, a second one kills the kernel.
Exit code: 0 all cells ran, 1 a cell failed, 2 wrong usage, 124 time-out, 130 interrupted.`;

const OPTIONS = {
  param: { type: 'string', short: 'p', multiple: true, default: [] as string[] },
  output: { type: 'string', short: 'o' },
  figures: { type: 'string' },
  timeout: { type: 'string' },
  quiet: { type: 'boolean', short: 'q' },
} as const;

/** Runs the command; see `help` for the exit code. */
export async function run(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args: argv, options: OPTIONS, allowPositionals: true });
  if (positionals.length !== 1) throw new UsageError(`dpg notebook takes one FILE (got ${positionals.length})`);
  return runNotebook({
    file: positionals[0],
    parameters: new Map(values.param.map(parseParameter)),
    terminal: terminal({ out: process.stdout, err: process.stderr, quiet: values.quiet }),
    output: values.output,
    figures: values.figures,
    timeoutSeconds: values.timeout === undefined ? undefined : parseSeconds(values.timeout),
  });
}

/** `NAME=VALUE`; what the value is, the notebook's own declaration says. @throws UsageError without a name */
export function parseParameter(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw new UsageError(`-p takes NAME=VALUE (got "${text}")`);
  return [text.slice(0, at), text.slice(at + 1)];
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0 && seconds < 2 ** 31 / 1000)) throw new UsageError(`--timeout takes seconds > 0 (got "${text}")`);
  return seconds;
}
