/** Notebooks made on the fly, and the compiled `dpg` to run them with. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export const ROOT = path.resolve(__dirname, '../..');
const MAIN = path.join(ROOT, 'dist/cli/main.js');

/** Compiles the sources unless dist/ is newer than all of them. */
export function build(): void {
  const source = path.join(ROOT, 'src');
  const newest = fs
    .readdirSync(source, { recursive: true, encoding: 'utf8' })
    .map((name) => fs.statSync(path.join(source, name)).mtimeMs);
  if (fs.existsSync(MAIN) && fs.statSync(MAIN).mtimeMs > Math.max(...newest)) return;
  const args = ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json', '--noEmitOnError', 'false'];
  spawnSync(process.execPath, args, { cwd: ROOT });
  spawnSync(process.execPath, ['src/experiments/documentKeys.mjs'], { cwd: ROOT });
  fs.utimesSync(MAIN, new Date(), new Date());
}

/** A folder in which notebooks can import `./dist/…`; remove it afterwards. */
export function workFolder(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'dpg-test-'));
  fs.symlinkSync(path.join(ROOT, 'dist'), path.join(folder, 'dist'), 'junction');
  return folder;
}

export interface CodeCell {
  readonly source: string;
  readonly tags?: string[];
}

/** Writes a notebook of code cells and returns its file name. */
export function writeCells(folder: string, cells: readonly (string | CodeCell)[], name = 'in.ipynb'): string {
  const file = path.join(folder, name);
  const full = cells
    .map((cell) => (typeof cell === 'string' ? { source: cell } : cell))
    .map(({ source, tags }, i) => ({
      cell_type: 'code',
      execution_count: null,
      id: `cell-${i}`,
      metadata: tags ? { tags } : {},
      outputs: [],
      source,
    }));
  fs.writeFileSync(file, JSON.stringify({ cells: full, metadata: {}, nbformat: 4, nbformat_minor: 5 }));
  return file;
}

interface ExecutedNotebook {
  readonly cells: {
    readonly execution_count: number;
    readonly metadata: { readonly tags?: string[] };
    readonly outputs: { readonly text?: string[]; readonly data?: Readonly<Record<string, unknown>> }[];
  }[];
  readonly metadata: { readonly kernelspec: { readonly name: string }; readonly dpg: { readonly source_hash: string } };
}

/** An executed notebook, with the text of each code cell's streams. */
export function readExecuted(file: string) {
  const notebook = JSON.parse(fs.readFileSync(file, 'utf8')) as ExecutedNotebook;
  const streams = notebook.cells.map((cell) => cell.outputs.flatMap(({ text }) => text ?? []).join(''));
  return { notebook, streams };
}

export interface Run {
  readonly process: ChildProcess;
  /** What it has written so far. */
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly exit: Promise<number | null>;
  /** Settles when stdout holds `text`. */
  prints(text: string): Promise<void>;
}

/** Starts `dpg` with `args`. */
export function dpg(...args: string[]): Run {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, err] = ['', ''];
  child.stdout.on('data', (data) => (out += data));
  child.stderr.on('data', (data) => (err += data));
  const prints = async (text: string) => {
    while (!out.includes(text))
      await Promise.race([once(child.stdout, 'data'), once(child, 'close').then(() => Promise.reject(new Error(err)))]);
  };
  return {
    process: child,
    stdout: () => out,
    stderr: () => err,
    exit: once(child, 'close').then(([code]) => code as number | null),
    prints,
  };
}
