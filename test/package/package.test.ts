/**
 * What `npm pack` makes, installed in an empty folder from the registry alone: commands and notebooks there leave the installation alone.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ROOT, writeCells } from '../cli/dpg';

const online = spawnSync('npm', ['ping'], { encoding: 'utf8', timeout: 60_000 }).status === 0;
if (!online) console.log('skipped: the npm registry cannot be reached');

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'dpg-package-'));
const installed = path.join(folder, 'node_modules/dataset-policy-gradient');

function run(command: string, args: string[], cwd = folder): { status: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  return { status, text: stdout + stderr };
}
const dpg = (...args: string[]) => run('npx', ['--no-install', 'dpg', ...args]);
const filesOf = (place: string) => fs.readdirSync(place, { recursive: true, encoding: 'utf8' }).sort();

let before: string[];
beforeAll(() => {
  if (!online) return;
  expect(run('npm', ['pack', '--pack-destination', folder], ROOT).status).toBe(0);
  const [tarball] = fs.readdirSync(folder).filter((file) => file.endsWith('.tgz'));
  const { status, text } = run('npm', ['install', '--loglevel=notice', '--omit=optional', `./${tarball}`]);
  expect(text.replace(/^npm warn.*\n/gm, '')).toMatch(/added \d+ packages/);
  expect(status).toBe(0);
  before = filesOf(installed);
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

test.skipIf(!online)('later installs beside it need nothing from elsewhere', () => {
  expect(run('npm', ['install', '--package-lock-only', '--omit=optional', 'is-odd@3.0.1']).status).toBe(0);
  expect(run('npm', ['ls', '--package-lock-only']).text).not.toMatch(/invalid|missing/i);
});

test.skipIf(!online)('dpg train', () => {
  const { status, text } = dpg('train', 'l2-norm', '--steps', '1', '--out', 'runs/one');
  expect(text).toContain('step 1/1');
  expect(status).toBe(0);
  expect(fs.existsSync(path.join(folder, 'runs/one/summary.json'))).toBe(true);
});

test.skipIf(!online)('dpg start runs a packaged notebook into runs/ of the folder one is in', () => {
  const { status, text } = dpg('start', '-p', 'steps=1');
  expect(status, text).toBe(0);
  expect(fs.readdirSync(path.join(folder, 'runs')).filter((name) => name.startsWith('sixty-seven-seed0'))).toHaveLength(1);
});

test.skipIf(!online)('a notebook of one’s own, with danfojs', () => {
  const notebook = writeCells(folder, [
    "import * as dpg from 'dataset-policy-gradient';\nimport * as dfd from 'dataset-policy-gradient/danfojs';",
    "console.log((await dpg.startBackend()).name, new dfd.DataFrame([[1], [4]], { columns: ['a'] })['a'].mean());",
    'console.log((await new dfd.Series([1, 2, 3]).sample(2, { seed: 1 })).shape);',
  ]);
  const { status, text } = dpg('notebook', notebook);
  expect(text).toContain('wasm 2.5');
  expect(status, text).toBe(0);
});

test.skipIf(!online)('the installation is as it was', () => {
  expect(filesOf(installed)).toEqual(before);
});
