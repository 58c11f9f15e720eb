/** `dpg report`: a run in one look, as a page that opens without a network. */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { makeFolder, writeFileAtomic } from '../files/atomicFile';
import { reportPage } from '../notebook/report';
import { readRun } from '../runs/runFolder';
import { runPath } from '../runs/runName';
import { asUsage, UsageError } from './command';

export const summary = 'a run in one look, as one HTML file';
export const help = `dpg report RUN [-o FILE.html]

RUN is a run folder, or the name of one in runs/. Writes its result, curves, pictures, texts with what each token was paid, and
configuration into one file that opens without a network.

  -o, --out FILE   default RUN/report.html

Exit code: 0 done, 1 an error, 2 wrong usage or no such run.`;

/** Runs the command; see `help` for the exit code. */
export async function run(argv: string[]): Promise<number> {
  const options = { out: { type: 'string', short: 'o' } } as const;
  const { values, positionals } = parseArgs({ args: argv, options, allowPositionals: true });
  if (positionals.length !== 1) throw new UsageError(`dpg report takes one RUN (got ${positionals.join(' ') || 'none'})`);
  const folder = runPath(positionals[0]);
  asUsage('dpg report', () => readRun(folder));
  const file = values.out ?? path.join(folder, 'report.html');
  makeFolder(path.dirname(path.resolve(file)));
  writeFileAtomic(file, reportPage(folder));
  console.log(file);
  return 0;
}
