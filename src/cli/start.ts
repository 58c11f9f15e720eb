/** `dpg start` (`npm start`): the "67" notebook, run headless into a run folder. */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { UsageError, wholeNumber } from './command';
import { parseParameter } from './notebook/command';
import { runNotebook } from './notebook/run';
import { terminal } from './notebook/terminal';

export const summary = 'run the "67" notebook into runs/';
export const help = `dpg start [--seed N] [-p NAME=VALUE]…

Trains a generator until the target's LM head shows a 67: runs notebooks/02-sixty-seven.ipynb and writes the executed notebook, its figures,
metrics and summary into a new folder under runs/.

      --seed N            seed of everything random; default 0
  -p, --param NAME=VALUE  sets another variable of the parameters cell

Exit code: as of "dpg notebook".`;

const OPTIONS = {
  seed: { type: 'string', default: '0' },
  param: { type: 'string', short: 'p', multiple: true, default: [] as string[] },
} as const;
const ROOT = path.join(__dirname, '..', '..');
const NOTEBOOK = '02-sixty-seven.ipynb';

/** Runs the command. */
export async function run(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args: argv, options: OPTIONS, allowPositionals: true });
  if (positionals.length) throw new UsageError(`dpg start takes no "${positionals[0]}"; see dpg start --help`);
  const seed = wholeNumber('--seed', values.seed, [0, 2 ** 31 - 1]);
  const folder = path.resolve('runs', `sixty-seven-seed${seed}-${new Date().toISOString().slice(0, 19).replace(/:/g, '')}`);
  const code = await runNotebook({
    file: path.join(ROOT, 'notebooks', NOTEBOOK),
    parameters: new Map<string, unknown>([['seed', seed], ['out', folder], ...values.param.map(parseParameter)]),
    terminal: terminal({ out: process.stdout, err: process.stderr }),
    output: path.join(folder, NOTEBOOK),
    figures: path.join(folder, 'figures'),
  });
  console.log(`run folder: ${path.relative('.', folder)}`);
  return code;
}
