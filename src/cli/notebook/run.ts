/**
 * Runs a notebook, cell after cell, in a tslab kernel of its own.
 */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  hasTag,
  injectParameters,
  plainText,
  readNotebook,
  writeNotebook,
  type Cell,
  type Notebook,
  type Output,
} from './document';
import { saveFigures } from './figureFiles';
import { startKernel, type Kernel } from './kernel';
import type { Terminal } from './terminal';
import type { Message } from './wire';

/** What to run, and where its outputs go. */
export interface RunOptions {
  readonly file: string;
  readonly parameters: ReadonlyMap<string, unknown>;
  readonly terminal: Terminal;
  /** The executed notebook: written before the first cell and again after each. */
  readonly output?: string;
  /** Folder that gets the displayed figures as files. */
  readonly figures?: string;
  /** For the notebook as a whole. */
  readonly timeoutSeconds?: number;
}

/** Exit codes; where `timeout` and the shell have one, theirs. */
export const EXIT = { ok: 0, failed: 1, usage: 2, timedOut: 124, interrupted: 130 } as const;

/** The folder that holds src/, dist/ and node_modules/. */
const PROJECT = path.resolve(__dirname, '../../..');

/** Milliseconds for which tslab, after an error, cancels whatever it is asked (200), and some more. */
const AFTER_ERROR = 300;
/** Milliseconds that an interrupted cell gets to end by itself: then it is interrupted again, or killed where the time is up. */
const GRACE = 3000;

/**
 * Runs the notebook and returns the exit code. Ctrl-C interrupts the running cell, a second one kills the kernel.
 *
 * @throws {UsageError} before anything runs
 */
export async function runNotebook(options: RunOptions): Promise<number> {
  const notebook = readNotebook(options.file);
  injectParameters(notebook, options.parameters);
  const kernel = await startKernel({ cwd: path.dirname(path.resolve(options.file)) });
  notebook.metadata.kernelspec = { display_name: 'TypeScript', language: 'typescript', name: 'tslab' };
  notebook.metadata.language_info = kernel.languageInfo;
  const stop = watchForStop(kernel, options);
  try {
    const ok = await runCells(kernel, notebook, options, () => stop.code !== undefined);
    return stop.code ?? (ok ? EXIT.ok : EXIT.failed);
  } finally {
    stop.release();
    await kernel.close();
  }
}

/** Interrupts the kernel on Ctrl-C and when the time is up; `code` is then the exit code. */
function watchForStop(kernel: Kernel, { terminal, timeoutSeconds }: RunOptions): { code?: number; readonly release: () => void } {
  const stop: ReturnType<typeof watchForStop> = { release };
  const timers: NodeJS.Timeout[] = [];
  function interrupt(code: number, message: string) {
    stop.code ??= code;
    terminal.note(message);
    kernel.interrupt();
  }
  function onSigint() {
    if (stop.code !== undefined) kernel.kill();
    else interrupt(EXIT.interrupted, 'interrupting the cell (Ctrl-C again kills the kernel)');
    timers.push(setInterval(kernel.interrupt, GRACE)); // a cell of several loops goes on with the next one
  }
  function onTimeout() {
    interrupt(EXIT.timedOut, `time is up (--timeout ${timeoutSeconds})`);
    timers.push(setTimeout(kernel.kill, GRACE));
  }
  function release() {
    timers.forEach(clearTimeout);
    process.off('SIGINT', onSigint);
  }
  process.on('SIGINT', onSigint);
  if (timeoutSeconds) timers.push(setTimeout(onTimeout, timeoutSeconds * 1000));
  return stop;
}

/** Runs all code cells up to the first that fails; true when none did. */
async function runCells(kernel: Kernel, notebook: Notebook, options: RunOptions, stopped: () => boolean): Promise<boolean> {
  const cells = notebook.cells.filter((cell) => cell.cell_type === 'code');
  for (const cell of cells) Object.assign(cell, { outputs: [], execution_count: null });
  const saved = new Map<string, string>();
  const save = () => {
    if (options.output) writeNotebook(options.output, notebook);
    if (options.figures) saveFigures(options.figures, cells, saved);
  };
  const displays = new Map<string, Display[]>();
  save();
  for (const [i, cell] of cells.entries()) {
    if (!cell.source.trim()) continue;
    options.terminal.note(`[${i + 1}/${cells.length}] ${firstLine(cell)}`);
    const reply = await kernel.execute(cell.source, (message) => receive(message, cell, displays, options.terminal));
    if (!reply?.ok) await sleep(AFTER_ERROR); // late outputs of the cell still come
    cell.execution_count = reply?.executionCount ?? i + 1;
    options.terminal.flush();
    save();
    if (!reply) options.terminal.write('stderr', `the kernel ended (${await kernel.exited}) in cell ${i + 1}\n`);
    if (!reply || stopped() || (!reply.ok && !hasTag(cell, 'raises-exception'))) return false;
  }
  return true;
}

type Display = Extract<Output, { output_type: 'display_data' }>;

/** Adds one message of the kernel to the outputs of `cell`, or to those of the display that it updates. */
function receive({ type, content }: Message, cell: Cell, displays: Map<string, Display[]>, terminal: Terminal): void {
  const outputs = cell.outputs ?? [];
  if (type === 'stream') {
    const { name, text } = content as { name: 'stdout' | 'stderr'; text: string };
    const last = outputs.at(-1);
    const saved = text.replaceAll(PROJECT, '.'); // error messages name files; notebooks are shared
    if (last?.output_type === 'stream' && last.name === name) last.text += saved;
    else outputs.push({ output_type: 'stream', name, text: saved });
    return terminal.write(name, text);
  }
  if (type !== 'display_data' && type !== 'update_display_data') return;
  const { data, metadata = {}, transient } = content as unknown as Display & { transient?: { display_id?: string } };
  const id = transient?.display_id;
  const shown = displays.get(id ?? '') ?? [];
  if (type === 'display_data') {
    const output: Display = { output_type: 'display_data', data, metadata };
    outputs.push(output);
    if (id) displays.set(id, [...shown, output]);
  } else for (const output of shown) Object.assign(output, { data, metadata });
  terminal.display(id, plainText(data));
}

const firstLine = (cell: Cell): string => cell.source.trim().split('\n')[0];
