/** `dpg notebooks` (`npm run notebooks`): executes the committed notebooks again, in place, with their full settings. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { UsageError } from './command';
import { runNotebook } from './notebook/run';
import { terminal } from './notebook/terminal';

export const summary = 'execute the committed notebooks again, in place';
export const help = `dpg notebooks [NAME]…

Runs every notebook of notebooks/ (or those named, e.g. 02-sixty-seven) with the settings of its parameters cell and writes its outputs
into it.

Exit code: that of the first notebook that fails, as of "dpg notebook".`;

const FOLDER = path.join(__dirname, '..', '..', 'notebooks');

/** Runs the command. */
export async function run(argv: string[]): Promise<number> {
  const { positionals } = parseArgs({ args: argv, options: {}, allowPositionals: true });
  const all = readdirSync(FOLDER).filter((file) => file.endsWith('.ipynb'));
  const wanted = positionals.map((each) => `${path.basename(each, '.ipynb')}.ipynb`);
  const unknown = wanted.find((file) => !all.includes(file));
  if (unknown) throw new UsageError(`notebooks/ has no ${unknown}; there are ${all.join(', ')}`);
  for (const file of wanted.length ? wanted : all) {
    const notebook = path.join(FOLDER, file);
    console.log(`== ${file}`);
    const code = await runNotebook({
      file: notebook,
      parameters: new Map(),
      terminal: terminal({ out: process.stdout, err: process.stderr }),
      output: notebook,
    });
    if (code !== 0) return code;
  }
  return 0;
}
