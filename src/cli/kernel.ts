/** `dpg kernel`: registers the project's tslab with Jupyter, without Python or a global npm package. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { makeFolder, writeFileAtomic } from '../files/atomicFile';
import { UsageError } from './command';

export const summary = 'register the TypeScript kernel with Jupyter: install | uninstall | where';
export const help = `dpg kernel install [--force] | uninstall [--force] | where

  install    registers this project's tslab as the Jupyter kernel "tslab" of the current user
  uninstall  removes that registration
  where      prints the folder of the registration, and whose it is

A kernel of that name that is not ours is left alone unless --force is given.
No registration is needed for: JUPYTER_PATH=$PWD/.jupyter jupyter notebook
Exit code: 0 done, 1 refused, 2 wrong usage.`;

/** Runs the command; see `help` for the exit code. */
export async function run(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args: argv, options: { force: { type: 'boolean' } }, allowPositionals: true });
  const actions: Record<string, (folder: string, force: boolean) => number> = { install, uninstall, where };
  const [verb, ...rest] = positionals;
  const action = Object.hasOwn(actions, verb ?? '') ? actions[verb] : undefined;
  if (!action || rest.length)
    throw new UsageError(`dpg kernel takes install, uninstall or where (got "${positionals.join(' ')}")`);
  return action(kernelFolder(), values.force ?? false);
}

/** Folder of the user's kernel "tslab": JUPYTER_DATA_DIR, or Jupyter's default for the platform. */
export function kernelFolder(env: NodeJS.ProcessEnv = process.env, platform: NodeJS.Platform = process.platform): string {
  const home = os.homedir();
  const defaults: Partial<Record<NodeJS.Platform, string>> = {
    win32: path.join(env.APPDATA ?? path.join(home, 'AppData/Roaming'), 'jupyter'),
    darwin: path.join(home, 'Library/Jupyter'),
  };
  const other = path.join(env.XDG_DATA_HOME || path.join(home, '.local/share'), 'jupyter');
  return path.join(env.JUPYTER_DATA_DIR || (defaults[platform] ?? other), 'kernels/tslab');
}

/** The kernel.json of this project's tslab. */
function kernelSpec(): object {
  return {
    argv: [
      process.execPath,
      path.resolve(__dirname, '../../dist/notebook/startTslab.js'),
      'kernel',
      '--config-path',
      '{connection_file}',
    ],
    display_name: 'TypeScript',
    language: 'typescript',
    interrupt_mode: 'signal',
    env: { NODE_OPTIONS: '--enable-source-maps' },
    metadata: { installed_by: 'dataset-policy-gradient' },
  };
}

interface Registration {
  readonly argv?: readonly string[];
  readonly metadata?: { readonly installed_by?: string };
}

/** What is registered now: null for nothing, an empty object for something unreadable. */
function registered(folder: string): Registration | null {
  const file = path.join(folder, 'kernel.json');
  if (!fs.existsSync(file)) return null;
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8')) as Registration;
  } catch {
    return {};
  }
}

const isOurs = (spec: Registration): boolean => spec.metadata?.installed_by === 'dataset-policy-gradient';

function refuse(folder: string, spec: Registration): number {
  console.error(`${folder} holds another kernel (${spec.argv?.join(' ') ?? 'unreadable'}); --force replaces or removes it`);
  return 1;
}

function install(folder: string, force: boolean): number {
  const before = registered(folder);
  if (before && !isOurs(before) && !force) return refuse(folder, before);
  makeFolder(folder);
  writeFileAtomic(path.join(folder, 'kernel.json'), JSON.stringify(kernelSpec(), null, 2) + '\n');
  console.log(`registered the kernel "tslab" in ${folder}`);
  return 0;
}

function uninstall(folder: string, force: boolean): number {
  const before = registered(folder);
  if (!before) return (console.log(`nothing is registered in ${folder}`), 0);
  if (!isOurs(before) && !force) return refuse(folder, before);
  fs.rmSync(path.join(folder, 'kernel.json'));
  if (!fs.readdirSync(folder).length) fs.rmdirSync(folder);
  console.log(`removed the kernel "tslab" from ${folder}`);
  return 0;
}

function where(folder: string): number {
  const spec = registered(folder);
  const state = !spec ? 'not registered' : isOurs(spec) ? `ours: ${spec.argv?.join(' ')}` : `not ours: ${spec.argv?.join(' ')}`;
  console.log(`${folder}\n${state}`);
  return 0;
}
