import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { kernelFolder, run } from '../../src/cli/kernel';
import { ROOT } from './dpg';

let folder: string;
let file: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'dpg-kernel-test-'));
  vi.stubEnv('JUPYTER_DATA_DIR', folder);
  file = path.join(folder, 'kernels/tslab/kernel.json');
  vi.spyOn(console, 'log').mockImplementation(() => {});
  vi.spyOn(console, 'error').mockImplementation(() => {});
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  fs.rmSync(folder, { recursive: true });
});

const argv = () => (JSON.parse(fs.readFileSync(file, 'utf8')) as { argv: string[] }).argv;

test("install registers the project's tslab, again over its own registration, and uninstall removes it", async () => {
  expect(await run(['install'])).toBe(0);
  expect(argv().slice(1)).toEqual([
    path.join(ROOT, 'dist/notebook/startTslab.js'),
    'kernel',
    '--config-path',
    '{connection_file}',
  ]);
  expect(await run(['install'])).toBe(0);
  expect(await run(['uninstall'])).toBe(0);
  expect(fs.existsSync(path.dirname(file))).toBe(false);
  expect(await run(['uninstall'])).toBe(0);
});

test.each(['{"argv":["other"]}', 'not JSON'])("leaves someone else's kernel alone without --force: %s", async (content) => {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, content);
  expect(await run(['install'])).toBe(1);
  expect(await run(['uninstall'])).toBe(1);
  expect(fs.readFileSync(file, 'utf8')).toBe(content);
  expect(await run(['install', '--force'])).toBe(0);
  expect(argv()[2]).toBe('kernel');
});

test("follows Jupyter's data folders", () => {
  const home = os.homedir();
  const folderOf = (platform: NodeJS.Platform, env = {}) => path.relative(home, kernelFolder(env, platform));
  expect(folderOf('linux')).toBe(path.normalize('.local/share/jupyter/kernels/tslab'));
  expect(folderOf('darwin')).toBe(path.normalize('Library/Jupyter/kernels/tslab'));
  expect(kernelFolder({ XDG_DATA_HOME: '/x' }, 'linux')).toBe(path.normalize('/x/jupyter/kernels/tslab'));
  expect(kernelFolder({ APPDATA: '/a' }, 'win32')).toBe(path.normalize('/a/jupyter/kernels/tslab'));
  expect(kernelFolder({ JUPYTER_DATA_DIR: '/d', APPDATA: '/a' }, 'win32')).toBe(path.normalize('/d/kernels/tslab'));
});

test('the committed relocatable spec names files that exist', () => {
  const committed = path.join(ROOT, '.jupyter/kernels/tslab');
  const spec = JSON.parse(fs.readFileSync(path.join(committed, 'kernel.json'), 'utf8')) as { argv: string[] };
  expect(fs.existsSync(spec.argv[1].replace('{resource_dir}', committed))).toBe(true);
});
