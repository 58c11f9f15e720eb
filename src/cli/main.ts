#!/usr/bin/env node
/** `dpg`: dispatches to its commands. */
import { didYouMean, UsageError, type Command } from './command';
/** By name, in the order of the overview; a command does not wait for what the others are made of. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  start: () => import('./start.js'),
  new: () => import('./new.js'),
  train: () => import('./train.js'),
  sweep: () => import('./sweep.js'),
  serve: () => import('./serve.js'),
  notebook: () => import('./notebook/command.js'),
  notebooks: () => import('./notebooks.js'),
  runs: () => import('./runs.js'),
  report: () => import('./report.js'),
  export: () => import('./export.js'),
  figures: () => import('./figures.js'),
  metagradient: () => import('./metagradient.js'),
  config: () => import('./config.js'),
  pretrain: () => import('./pretrain.js'),
  kernel: () => import('./kernel.js'),
  doctor: () => import('./doctor.js'),
};

const overview = async (): Promise<string> => {
  const names = Object.keys(commands);
  const width = Math.max(...names.map((name) => name.length));
  const rows = await Promise.all(names.map(async (name) => `  ${name.padEnd(width)}  ${(await commands[name]()).summary}`));
  return (
    `dpg <command> [options]\n\n${rows.join('\n')}\n\n"dpg <command> --help" says more; --debug or DEBUG=1 shows ` +
    'where an error comes from.'
  );
};

/** Exit code of a program whose reader is gone: 128 and the number of SIGPIPE, as shells have it. */
const PIPE_CLOSED = 141;

/** A reader that leaves, as in `dpg config | head`, ends the program quietly, unless a command listens for that itself. */
function endWithReader(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', () => {
      if (stream.listenerCount('error') === 1) process.exit(PIPE_CLOSED);
    });
}

/** util.parseArgs tells an unknown option by its code; the command's help knows the others. */
function usageError(error: unknown, help = ''): UsageError | undefined {
  if (error instanceof UsageError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
    const [option] = /'(.*?)'/.exec(message)?.slice(1) ?? [message];
    return new UsageError(`unknown option ${option}${didYouMean(option, help.match(/--[a-z][a-z0-9-]+/g) ?? [])}`);
  }
  return code?.startsWith('ERR_PARSE_ARGS') ? new UsageError(message) : undefined;
}

async function main([name, ...argv]: string[]): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h') return print(await overview());
  const names = Object.keys(commands);
  if (!names.includes(name))
    throw new UsageError(`unknown command "${name}"${didYouMean(name, names)}; there are: ${names.join(', ')}`);
  const command = await commands[name]();
  const help = async (): Promise<string> => (await command.helpFor?.(argv)) ?? command.help;
  if (argv.includes('--help') || argv.includes('-h')) return print(await help());
  try {
    return await command.run(argv);
  } catch (error) {
    throw usageError(error, await help().catch(() => command.help)) ?? error;
  }
}

function print(text: string): number {
  console.log(text);
  return 0;
}

/** One sentence for the user; the stack only for who asks. */
function complain(error: unknown, debug: boolean): void {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  if (debug) console.error(error);
  else if (error instanceof UsageError) console.error(`dpg: ${message.split('\n')[0]}`);
  else if (DEFECTS.includes(name)) console.error(`dpg: ${name}: ${message} (a defect of dpg; --debug shows where)`);
  else console.error(`dpg: ${message || name}`);
}

/** Errors that JavaScript throws by itself. */
const DEFECTS = ['TypeError', 'ReferenceError', 'AssertionError'];

async function launch(): Promise<void> {
  const argv = process.argv.slice(2).filter((argument) => argument !== '--debug');
  const debug = argv.length < process.argv.length - 2 || Boolean(process.env.DEBUG);
  process.exitCode = 1; // of whatever never settles
  const onLostWait = (): void => console.error('dpg: ended before it was done: something it waited for never came');
  process.once('beforeExit', onLostWait);
  try {
    process.exitCode = await main(argv);
  } catch (error) {
    complain(error, debug);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
  process.off('beforeExit', onLostWait);
}

endWithReader();
void launch();
