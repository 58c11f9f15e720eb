/** The committed notebooks in their quick setting, as a user has them: in Jupyter Notebook in a browser, and under nbconvert. */
import fs from 'node:fs';
import path from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasTag, readNotebook, writeNotebook, type Notebook, type Output } from '../../src/cli/notebook/document';
import { build, ROOT, workFolder } from '../cli/dpg';
import {
  executeInPlace,
  leaveNotebook,
  missing,
  newPage,
  openNotebook,
  outputsOf,
  PATIENCE,
  restart,
  runAll,
  runCells,
  screenshot,
  screenshotOfCells,
  startBrowser,
  startServer,
  toHtml,
  trust,
  type Server,
} from './jupyter';

const reason = missing();
if (reason) console.log(`tests of the committed notebooks in Jupyter are skipped: ${reason}`);

const FOLDER = path.join(ROOT, 'notebooks');
const NOTEBOOKS = fs.readdirSync(FOLDER).filter((name) => name.endsWith('.ipynb'));
const TIMEOUT = 3 * PATIENCE;

/** A figure's static picture; those of a report stay pictures. */
const PICTURE = '[class^="dpg-"] img';

/** Code cells that the README shows, by the file name of the picture. */
const PICTURES: Readonly<Record<string, Readonly<Record<string, readonly [number, number]>>>> = {
  '02-sixty-seven.ipynb': { 'notebook-training': [4, 5], 'notebook-methods': [10, 10] },
};

const codeCells = ({ cells }: Notebook) => cells.filter((cell) => cell.cell_type === 'code');

/** What no output may be: an error, or anything on stderr. */
const isComplaint = (output: Output): boolean =>
  output.output_type === 'stream' ? output.name === 'stderr' : output.output_type !== 'display_data';

const isFigure = (output: Output): boolean => output.output_type === 'display_data' && 'image/svg+xml' in output.data;

/** Writes the notebook without outputs, set to be quick and to keep its runs beside itself, every run in a folder of its own. */
function writeQuick(notebook: Notebook, file: string): string {
  const cells = notebook.cells.map((cell) => {
    if (cell.cell_type !== 'code') return cell;
    const out = `let out = \`${file}-\${Date.now()}\`;`;
    const quick = cell.source.replace(/^let quick = false;/m, 'let quick = true;').replace(/^let out = '';/m, () => out);
    return { ...cell, source: hasTag(cell, 'parameters') ? quick : cell.source, outputs: [], execution_count: null };
  });
  writeNotebook(file, { ...notebook, cells });
  return file;
}

describe.skipIf(reason)('in Jupyter Notebook', { timeout: TIMEOUT }, () => {
  let server: Server;
  let browser: Browser;
  let page: Page;
  beforeAll(async () => {
    build();
    [server, browser] = await Promise.all([startServer(workFolder()), startBrowser()]);
    page = await newPage(browser, { viewport: { width: 1280, height: 1000 } });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    if (server) fs.rmSync(server.folder, { recursive: true });
  });

  /** No output is a complaint, and every figure among them is one that plotly has drawn. */
  const areWhole = async (outputs: readonly Output[]) => {
    expect(outputs.filter(isComplaint)).toEqual([]);
    const figures = outputs.filter(isFigure).length;
    expect(figures).toBeGreaterThan(0);
    await page.waitForFunction(`document.querySelectorAll('.output .js-plotly-plot .infolayer .gtitle').length >= ${figures}`);
    expect(await page.locator('.output .js-plotly-plot').count()).toBe(figures);
    expect(await page.locator(`.output ${PICTURE}`).count()).toBe(0);
  };

  describe.each(NOTEBOOKS)('%s', (name) => {
    const notebook = readNotebook(path.join(FOLDER, name));
    const stem = path.basename(name, '.ipynb');

    const committed = codeCells(notebook).flatMap((cell) => cell.outputs ?? []);
    test.skipIf(committed.length === 0)('as committed, once it is trusted', async () => {
      const file = path.join(server.folder, 'notebooks', `committed-${name}`);
      fs.copyFileSync(path.join(FOLDER, name), file);
      await openNotebook(page, server, path.basename(file));
      await trust(page);
      await areWhole((await outputsOf(page)).flat());
      for (const [picture, [first, last]] of Object.entries(PICTURES[name] ?? {}))
        await screenshotOfCells(page, picture, first, last);
      await screenshot(page, `${stem}-committed`);
      await leaveNotebook(page);
    });

    test('run all, stopped in mid-training: the cells below show what there is, and training goes on', async () => {
      writeQuick(notebook, path.join(server.folder, 'notebooks', name));
      await openNotebook(page, server, name);
      const training = codeCells(notebook).findIndex(({ source }) => source.includes('dpg.follow('));
      const progress = page.locator('.code_cell').nth(training).locator('.output');
      /** Presses stop as soon as `running` is past a step, also if it went past several at once; returns the last step. */
      const stopAfter = async (step: number, running: Promise<void>): Promise<number> => {
        const isPast = `+/step (\\d+)\\//.exec($('.code_cell').eq(${training}).find('.output').text())?.[1] > ${step}`;
        const press = () => page.evaluate('Jupyter.notebook.kernel.interrupt()');
        await Promise.all([running, page.waitForFunction(isPast, null, { timeout: PATIENCE }).then(press)]);
        return Number(/step (\d+)\/.*stopped; run the cell again/.exec((await progress.textContent()) ?? '')?.[1]);
      };
      const reached = await stopAfter(1, runAll(page));
      await areWhole((await outputsOf(page)).flat());
      await screenshot(page, `${stem}-stopped`);
      expect(await stopAfter(reached, runCells(page, training))).toBeGreaterThan(reached);
      await areWhole((await outputsOf(page)).flat());
    });

    test('restart and run all', async () => {
      await restart(page);
      await runAll(page);
      await areWhole((await outputsOf(page)).flat());
      await screenshot(page, stem);
      await leaveNotebook(page);
    });

    test('nbconvert executes it, and its pictures are there with scripts off', async () => {
      const file = writeQuick(notebook, path.join(server.folder, 'notebooks', `converted-${name}`));
      expect(executeInPlace(file, server)).toBe('');
      const outputs = codeCells(readNotebook(file)).flatMap((cell) => cell.outputs ?? []);
      expect(outputs.filter(isComplaint)).toEqual([]);
      const reader = await newPage(browser, { javaScriptEnabled: false, offline: true });
      await reader.goto(`file://${toHtml(file, server)}`);
      const pictures = reader.locator(`.jp-OutputArea ${PICTURE}`);
      expect(await pictures.count()).toBe(outputs.filter(isFigure).length);
      for (const picture of await pictures.all()) expect((await picture.boundingBox())?.width).toBeGreaterThan(200);
      await screenshot(reader, `${stem}-no-scripts`);
      await reader.context().close();
    });
  });
});
