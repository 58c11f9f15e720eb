/** The committed notebooks as a user has them: looked at, and run in their quick setting. */
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasTag, readNotebook, writeNotebook, type Notebook, type Output } from '../../src/cli/notebook/document';
import { ROOT } from '../cli/dpg';
import {
  fold,
  installed,
  isTrusted,
  leaveNotebook,
  openDesk,
  openNotebook,
  outputArea,
  outputsOf,
  PATIENCE,
  runAll,
  runCell,
  screenshot,
  screenshotOfCells,
  trust,
  unfold,
  type Desk,
} from './jupyter';

const { fronts } = installed();
const FOLDER = path.join(ROOT, 'notebooks');
const NOTEBOOKS = fs.readdirSync(FOLDER).filter((name) => name.endsWith('.ipynb'));

/** Code cells that the README shows, by the file name of the picture. */
const PICTURES: Readonly<Record<string, Readonly<Record<string, readonly [number, number]>>>> = {
  '02-sixty-seven.ipynb': { 'notebook-training': [4, 5], 'notebook-methods': [10, 10] },
};

const codeCells = ({ cells }: Notebook) => cells.filter((cell) => cell.cell_type === 'code');
const isFigure = (output: Output): boolean => output.output_type === 'display_data' && 'image/svg+xml' in output.data;

/** What no output may be: an error, or anything on stderr. */
const isComplaint = (output: Output): boolean =>
  output.output_type === 'stream' ? output.name === 'stderr' : output.output_type !== 'display_data';

/** Writes the notebook without outputs, set to be quick and to keep its runs beside itself, every run in a folder of its own. */
function writeQuick(notebook: Notebook, file: string): void {
  const cells = notebook.cells.map((cell) => {
    if (cell.cell_type !== 'code') return cell;
    const out = `let out = \`${file}-\${Date.now()}\`;`;
    const quick = cell.source.replace(/^let quick = false;/m, 'let quick = true;').replace(/^let out = '';/m, () => out);
    return { ...cell, source: hasTag(cell, 'parameters') ? quick : cell.source, outputs: [], execution_count: null };
  });
  writeNotebook(file, { ...notebook, cells });
}

describe.each(fronts)('in $name', { timeout: 3 * PATIENCE }, (front) => {
  let desk: Desk;
  beforeAll(async () => {
    desk = await openDesk(front);
  });
  afterAll(() => desk?.close());

  const PLOT = `${front.css.output} .js-plotly-plot`;
  /** Figures of which only the static picture is there. */
  const STILL = `${front.css.output} [class^="dpg-"] > img`;

  /** Every figure is one that plotly has drawn. */
  const areDrawn = async (figures: number) => {
    await unfold(desk);
    await desk.page.waitForFunction(`document.querySelectorAll('${PLOT} .infolayer .gtitle').length >= ${figures}`);
    expect(await desk.page.locator(PLOT).count()).toBe(figures);
    expect(await desk.page.locator(STILL).count()).toBe(0);
    await unfold(desk);
  };

  /** Elements of outputs that reach beyond the window and cannot be scrolled to. */
  const cutOff = (): Promise<string[]> =>
    desk.page.evaluate(`[...document.querySelectorAll('${front.css.output} *')].filter((element) => {
      if (element.getBoundingClientRect().right <= innerWidth + 1) return false;
      for (let around = element; around; around = around.parentElement)
        if (/auto|scroll/.test(getComputedStyle(around).overflowX)) return around.getBoundingClientRect().right > innerWidth + 1;
      return true;
    }).map(({ outerHTML }) => outerHTML.slice(0, 200))`);

  /** Texts of plotly's figures that cover each other, or are small. */
  const unreadable = (): Promise<string[]> =>
    desk.page.evaluate(`[...document.querySelectorAll('${PLOT}')].flatMap((plot) => {
      const texts = [...plot.querySelectorAll('svg text')].filter((text) => text.textContent.trim());
      const boxes = texts.map((text) => text.getBoundingClientRect()).map(({ left, right, top, bottom }) =>
        ({ left: left + 1, right: right - 1, top: top + 2, bottom: bottom - 2 })); // a line's box is higher than its letters
      const covers = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
      const small = texts.filter((text) => parseFloat(getComputedStyle(text).fontSize) < 10);
      return [...small.map((text) => 'small: ' + text.textContent), ...boxes.flatMap((a, i) => boxes.slice(i + 1).flatMap((b, k) =>
        covers(a, b) ? [texts[i].textContent + ' × ' + texts[i + 1 + k].textContent] : []))];
    })`);

  describe.each(NOTEBOOKS)('%s', (name) => {
    const notebook = readNotebook(path.join(FOLDER, name));
    const picture = (what: string) => screenshot(desk.page, `${front.name}-${path.basename(name, '.ipynb')}-${what}`);
    const figures = codeCells(notebook)
      .flatMap(({ outputs = [] }) => outputs)
      .filter(isFigure).length;

    test('as committed: whole before it is trusted, drawn by plotly once it is, also in the dark and in a narrow window', async () => {
      fs.copyFileSync(path.join(FOLDER, name), path.join(desk.folder, 'notebooks', `committed-${name}`));
      await openNotebook(desk, `committed-${name}`);
      expect(await isTrusted(desk)).toBe(false);
      await unfold(desk);
      if (front.drawsJson) await areDrawn(figures);
      const pictures = desk.page.locator(`${front.css.output} :is(img, svg:not(svg svg)):visible`);
      expect(await pictures.count()).toBeGreaterThanOrEqual(figures);
      await picture('untrusted');
      await fold(desk);

      await trust(desk, `committed-${name}`);
      expect(await isTrusted(desk)).toBe(true);
      await areDrawn(figures);
      for (const [file, [first, last]] of Object.entries(PICTURES[name] ?? {})) await screenshotOfCells(desk, file, first, last);
      await picture('trusted');
      await unfold(desk, 700);
      expect(await cutOff()).toEqual([]);
      expect(await unreadable()).toEqual([]);
      await picture('narrow');
      if (front.darken) await desk.page.evaluate(front.darken);
      await unfold(desk);
      await picture('dark');
      if (front.darken) await desk.page.evaluate(front.lighten!);
      await fold(desk);
      await leaveNotebook(desk);
    });

    const isWhole = async () => {
      const outputs = (await outputsOf(desk)).flat();
      expect(outputs.filter(isComplaint)).toEqual([]);
      expect(outputs.filter(isFigure).length).toBeGreaterThan(0);
      await areDrawn(outputs.filter(isFigure).length);
      await fold(desk);
    };
    const training = codeCells(notebook).findIndex(({ source }) => source.includes('dpg.follow('));

    /** Presses stop as soon as a loop is past `step`, also if it went past several at once; returns the last step of the stopped one. */
    const stopAfter = async (step: number, running: Promise<void>): Promise<number> => {
      const text = `JSON.stringify(((cell) => ${front.outputs})(${front.cells}[${training}]))`;
      const press = () => desk.page.evaluate(front.interrupt);
      const isPast = `+/.*step (\\d+)\\//.exec(${text})?.[1] > ${step}`;
      await Promise.all([running, desk.page.waitForFunction(isPast, null, { timeout: PATIENCE }).then(press)]);
      return Number(
        /step (\d+)\/[^"]*stopped; run the cell again/.exec((await outputArea(desk, training).textContent()) ?? '')?.[1],
      );
    };

    test.skipIf(front.looksOnly)(
      'run all, stopped in mid-training where it trains; what there is is shown, and training goes on',
      async () => {
        writeQuick(notebook, path.join(desk.folder, 'notebooks', name));
        await openNotebook(desk, name);
        if (training < 0) await runAll(desk);
        else {
          const reached = await stopAfter(1, runAll(desk));
          await isWhole();
          await picture('stopped');
          expect(await stopAfter(reached, runCell(desk, training))).toBeGreaterThan(reached);
        }
        await isWhole();
      },
    );

    test.skipIf(front.looksOnly)('restart and run all', async () => {
      await desk.page.evaluate(front.restart);
      await runAll(desk);
      await isWhole();
      await unfold(desk);
      await picture('run');
      await fold(desk);
      await leaveNotebook(desk);
    });
  });
});
