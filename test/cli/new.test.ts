/** A folder made by `dpg new`: its target and its notebook run as they are, wherever it lies. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { PLOTLY } from '../../src/notebook/plotlyScript';
import { readNotebook } from '../../src/cli/notebook/document';
import { build, dpg, ROOT } from './dpg';

let place: string;
let folder: string;
beforeAll(async () => {
  build();
  place = fs.mkdtempSync(path.join(os.tmpdir(), 'dpg-new-'));
  vi.stubEnv('JUPYTER_DATA_DIR', path.join(place, 'jupyter'));
  folder = path.join(place, 'my-experiment');
  const made = dpg('new', folder);
  expect([await made.exit, made.stderr()]).toEqual([0, '']);
}, 120_000);
afterAll(() => {
  vi.unstubAllEnvs();
  fs.rmSync(place, { recursive: true });
});

test('it has plotly where the figures of a notebook look for it, and the kernel is registered', () => {
  const plotly = fs.realpathSync(path.join(folder, PLOTLY.file));
  expect(path.relative(fs.realpathSync(folder), plotly)).toBe(path.normalize(PLOTLY.file)); // Jupyter delivers no link out of its folder
  const installed = fs.readFileSync(path.join(ROOT, PLOTLY.file));
  expect(fs.readFileSync(plotly).equals(installed)).toBe(true);
  expect(fs.existsSync(path.join(place, 'jupyter/kernels/tslab/kernel.json'))).toBe(true);
  expect(fs.readdirSync(folder).sort()).toEqual(['my-experiment.ipynb', 'node_modules', 'target.mjs']);
});

test('the notebook runs', { timeout: 120_000 }, async () => {
  const [executed, out] = [path.join(place, 'executed.ipynb'), path.join(place, 'run')];
  const options = ['--quiet', '-o', executed, '-p', 'quick=true', '-p', `out=${out}`];
  const run = dpg('notebook', path.join(folder, 'my-experiment.ipynb'), ...options);
  expect([await run.exit, run.stderr()]).toEqual([0, '']);
  const outputs = readNotebook(executed).cells.flatMap((cell) => cell.outputs ?? []);
  const shown = outputs.map((output) => JSON.stringify(output));
  expect(shown.filter((each) => each.includes('application/vnd.plotly.v1+json'))).toHaveLength(1);
  expect(shown.at(-1)).toContain('my-experiment');
  expect(fs.existsSync(path.join(out, 'summary.json'))).toBe(true);
});

test('the target is trained by dpg', { timeout: 120_000 }, async () => {
  const small = ['--steps', '1', '--prompts', '2', '--held-out-examples', '4'];
  const run = dpg('train', path.join(folder, 'target.mjs'), '--out', path.join(place, 'trained'), ...small, '--json');
  expect(await run.exit).toBe(0);
  const [step] = run.stdout().split('\n');
  const { phi, norm } = JSON.parse(step) as { phi: number; norm: number };
  expect(norm).toBeGreaterThan(0);
  expect(phi).toBeCloseTo(-norm, 4);
});

test('nothing is overwritten, and a name that is none is told', async () => {
  const again = dpg('new', folder);
  expect(await again.exit).toBe(2);
  expect(again.stderr()).toContain('is there already: take another name');
  const odd = dpg('new', path.join(place, 'a b'));
  expect(await odd.exit).toBe(2);
  expect(odd.stderr()).toContain('(got "a b")');
});
