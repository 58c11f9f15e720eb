/** The committed notebooks under nbconvert: as a page, printed, as Markdown, and executed by it; and one executed by papermill. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readNotebook, writeNotebook } from '../../src/cli/notebook/document';
import { build, ROOT, workFolder } from '../cli/dpg';
import { NOTEBOOKS, outputsOf } from '../notebook/committed';
import { found } from './frontEnds';
import { installed, nbconvert, newPage, PATIENCE, screenshot, SCREENSHOTS, startBrowser } from './jupyter';

const { hasNbconvert } = installed();
const papermill = found('papermill');
if (!papermill) console.log('a test with papermill is skipped: it is not installed');
/** Pictures instead of HTML with scripts: see notebooks/README.md. */
const PICTURES = '--NbConvertBase.display_data_priority=["image/svg+xml","text/markdown","text/html","text/plain"]';

describe.skipIf(!hasNbconvert)('nbconvert', { timeout: PATIENCE }, () => {
  let folder: string;
  let browser: Browser;
  beforeAll(async () => {
    build();
    folder = workFolder();
    fs.cpSync(path.join(ROOT, 'notebooks'), path.join(folder, 'notebooks'), { recursive: true });
    fs.symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'), 'junction');
    browser = await startBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    if (folder) fs.rmSync(folder, { recursive: true });
  });

  describe.each(NOTEBOOKS)('%s', (name) => {
    const stem = path.basename(name, '.ipynb');
    const at = (ending: string) => path.join(folder, 'notebooks', stem + ending);
    const outputs = outputsOf(name);
    const figures = outputs.filter((data) => 'image/svg+xml' in data).length;

    test('as a page without scripts and without a network, and printed', async () => {
      expect(nbconvert(at('.ipynb'), folder, '--to', 'html')).toBe('');
      const page = await newPage(browser, { javaScriptEnabled: false, offline: true, viewport: { width: 900, height: 1000 } });
      await page.goto(`file://${at('.html')}`);
      const pictures = page.locator('.jp-OutputArea [class^="dpg-"] img');
      expect(await pictures.count()).toBe(figures);
      for (const picture of await pictures.all()) expect((await picture.boundingBox())?.width).toBeGreaterThan(120);
      const shown = (await page.locator('.jp-OutputArea').allTextContents()).join('');
      expect(shown).not.toMatch(/\*\*|&#\d+;/);
      for (const data of outputs.filter((each) => 'text/markdown' in each))
        expect(shown.replace(/\s+/g, ' ')).toContain(data['text/plain'].replace(/\s+/g, ' '));
      await screenshot(page, `nbconvert-${stem}`, true);
      await page.pdf({ path: path.join(SCREENSHOTS, `nbconvert-${stem}.pdf`), format: 'A4', printBackground: true });
      await page.context().close();
    });

    test('as Markdown whose pictures are files', () => {
      expect(nbconvert(at('.ipynb'), folder, '--to', 'markdown', PICTURES)).toBe('');
      const markdown = fs.readFileSync(at('.md'), 'utf8');
      expect(markdown).not.toContain('<script');
      const files = [...markdown.matchAll(/!\[[^\]]*\]\(([^)]*\.svg)\)/g)].map(([, file]) =>
        path.join(folder, 'notebooks', file),
      );
      expect(files).toHaveLength(figures);
      for (const file of files) expect(fs.readFileSync(file, 'utf8')).toMatch(/^<svg /);
      for (const { source } of readNotebook(at('.ipynb')).cells) expect(markdown).toContain(source.trim());
    });
  });

  test('executes one, without a complaint', () => {
    const file = path.join(folder, 'notebooks', 'executed.ipynb');
    const notebook = readNotebook(path.join(folder, 'notebooks', '03-l2-norm.ipynb'));
    const cells = notebook.cells.map((cell) => ({
      ...cell,
      source: cell.source
        .replace('let quick = false;', 'let quick = true;')
        .replace("let out = '';", `let out = '${folder}/run';`),
      ...(cell.outputs && { outputs: [], execution_count: null }),
    }));
    writeNotebook(file, { ...notebook, cells });
    const seconds = `--ExecutePreprocessor.timeout=${PATIENCE / 1000}`;
    expect(nbconvert(file, folder, '--to', 'notebook', '--execute', '--inplace', seconds)).toBe('');
    const code = readNotebook(file).cells.filter(({ cell_type }) => cell_type === 'code');
    const kinds = (cells: typeof code) => cells.map(({ outputs = [] }) => outputs.map(({ output_type }) => output_type));
    const committed = notebook.cells.filter(({ cell_type }) => cell_type === 'code');
    expect(kinds(code).map(({ length }) => length > 0)).toEqual(kinds(committed).map(({ length }) => length > 0));
    const streams = code.flatMap(({ outputs = [] }) => outputs).filter((output) => output.output_type === 'stream');
    expect(streams.filter((output) => output.name === 'stderr')).toEqual([]);
  });

  test.skipIf(!papermill)('papermill executes one with parameters, and names those that there are not', () => {
    const executed = path.join(folder, 'papermill.ipynb');
    const script = path.join(ROOT, 'notebooks/python/papermill_typescript.py');
    const set = ['-p', 'quick', 'true', '-p', 'out', `${folder}/papermill`, '-p', 'klCoef', '0.5', '-p', 'stepz', '3'];
    const args = [script, path.join(folder, 'notebooks/03-l2-norm.ipynb'), executed, '--no-progress-bar', ...set];
    const python = path.join(path.dirname(papermill!), 'python3');
    const { stderr, status } = spawnSync(python, args, { encoding: 'utf8', timeout: PATIENCE });
    expect(status, stderr).toBe(0);
    expect(stderr.match(/unknown parameter.*/g)).toEqual(['unknown parameter: stepz']);
    const { cells } = readNotebook(executed);
    const injected = cells.find(({ metadata }) => metadata.tags?.includes('injected-parameters'))!;
    expect(injected.source.trim().split('\n')).toEqual([
      '// Parameters',
      'let quick = true;',
      `let out = "${folder}/papermill";`,
      'let klCoef = 0.5;',
      'let stepz = 3;',
    ]);
    const config = JSON.parse(fs.readFileSync(path.join(folder, 'papermill', 'seed0', 'config.json'), 'utf8')) as object;
    expect(config).toMatchObject({ config: { steps: 15, klCoef: 0.5 } });
  });
});
