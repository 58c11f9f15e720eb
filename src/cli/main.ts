#!/usr/bin/env node
/** `dpg`: dispatches to its commands. */
import { UsageError, type Command } from './command';
import * as config from './config';
import * as doctor from './doctor';
import * as exporting from './export';
import * as figures from './figures';
import * as kernel from './kernel';
import * as metagradient from './metagradient';
import * as notebook from './notebook/command';
import * as notebooks from './notebooks';
import * as pretrain from './pretrain';
import * as runs from './runs';
import * as start from './start';
import * as train from './train';

const commands: readonly Command[] = [
  start,
  train,
  notebook,
  notebooks,
  runs,
  exporting,
  figures,
  metagradient,
  config,
  pretrain,
  kernel,
  doctor,
];

const overview = (): string => {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const rows = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return `dpg <command> [options]\n\n${rows.join('\n')}\n\n"dpg <command> --help" says more.`;
};

/** Mistakes in the arguments: ours, and those that util.parseArgs finds. */
const isUsageError = (error: unknown): error is Error =>
  error instanceof UsageError ||
  (error instanceof Error && String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS'));

/** Errors with a message for the user; any other kind is a defect of ours, and its stack tells where. */
const speaksForItself = (error: unknown): error is Error =>
  error instanceof Error && ['Error', 'RangeError', 'SafetensorsError'].includes(error.name);

async function main([name, ...argv]: string[]): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h') return print(overview());
  const command = commands.find((candidate) => candidate.name === name);
  if (!command) throw new UsageError(`unknown command "${name}"; there are: ${commands.map((each) => each.name).join(', ')}`);
  if (argv.includes('--help') || argv.includes('-h')) return print(command.help);
  return command.run(argv);
}

function print(text: string): number {
  console.log(text);
  return 0;
}

main(process.argv.slice(2)).then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    if (isUsageError(error)) console.error(`dpg: ${error.message.split('\n')[0]}`);
    else console.error(speaksForItself(error) ? `dpg: ${error.message}` : error);
    process.exitCode = isUsageError(error) ? 2 : 1;
  },
);
