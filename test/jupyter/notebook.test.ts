import fs from 'node:fs';
import path from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { scriptJson } from '../../src/notebook/escape';
import { build, dpg, workFolder, writeCells } from '../cli/dpg';
import { HOSTILE } from '../notebook/hostile';
import {
  missing,
  newPage,
  openNotebook,
  outputsOf,
  restart,
  runAll,
  screenshot,
  startBrowser,
  startServer,
  toHtml,
  type Server,
} from './jupyter';

const reason = missing();
if (reason) console.log(`tests with Jupyter are skipped: ${reason}`);

const IMPORTS = `import { lineChart } from '../dist/notebook/charts';
import { grid, heatmap, imageStrip } from '../dist/notebook/images';
import { markdown } from '../dist/notebook/display';
import { show } from '../dist/notebook/show';
import { installNotebook } from '../dist/notebook/install';
import { table } from '../dist/notebook/table';
import { follow } from '../dist/notebook/watch';
installNotebook();`;

const FIGURES = `const noise = (i: number) => { const x = Math.sin(i * 12.9898) * 43758.5453; return x - Math.floor(x) - 0.5; };
const steps = Array.from({ length: 120 }, (_, i) => i);
const curve = (name: string, reach: number, seed: number) => {
  const y = steps.map((i) => 0.5 + reach * (1 - Math.exp(-i / 30)) + 0.03 * noise(i + seed));
  return { name: name, x: steps, y: y, band: { lower: y.map((v) => v - 0.04), upper: y.map((v) => v + 0.04) } };
};
show(lineChart({ title: 'Pixel accuracy of the decoded patch', xTitle: 'GRPO step', yTitle: 'pixel accuracy', series: [curve('adamw', 0.5, 0), curve('sgd', 0.45, 500), curve('naive', 0.05, 900)], caption: 'Share of the 49 pixels whose sign in the LM-head patch is right; the band is one standard deviation over three seeds.' }));
const patch = Array.from({ length: 21 }, (_, i) => Array.from({ length: 21 }, (_, j) => noise(i * 21 + j)));
show(heatmap({ title: 'Change of the LM head', z: patch, xTitle: 'token id', yTitle: 'embedding dimension', caption: 'Blue is positive, red is negative.' }));
const at = (share: number) => patch.map((row, i) => row.map((v, j) => (noise(i * 77 + j) + 0.5 < share ? +(v > 0) : +(noise(i + j * 5) > 0))));
show(imageStrip({ title: 'Decoded image along the run', scale: 'ink', images: [0, 10, 20, 40, 80, 160].map((step, i) => ({ z: at(i / 5), label: 'step ' + step })) }));
show(grid({ title: 'Patches of three seeds', columns: 3, images: [0, 1, 2].map((seed) => ({ z: patch.map((row) => row.map((v) => v * (seed + 1) / 3)), label: 'seed ' + seed })) }));
table([{ reward: 'metagradient', 'pixel accuracy': 1, steps: 41 }, { reward: 'naive', 'pixel accuracy': 0.5306122, steps: 200 }], { caption: 'After training' });
markdown\`**Φ** is \${0.123} for \${'<b>this</b> $x$'}.\`;`;

const HOSTILE_CELL = `for (const text of ${scriptJson(HOSTILE)}) {
  table([{ [text]: text }], { caption: text });
  markdown\`\${text}\`;
  show(lineChart({ title: text, xTitle: text, yTitle: text, caption: text, series: [{ name: text, x: [1, 2], y: [1, 2] }, { name: 'b', x: [1, 2], y: [2, 1] }] }));
  show(heatmap({ z: [[1, 2]], title: text, xTitle: text, yTitle: text, annotations: [[text, text]] }));
}`;

const TRAINING = `async function* training() { for (let i = history.length; ; i++) { await new Promise((r) => setTimeout(r, 50)); yield { phi: 1 - Math.exp(-i / 40) }; } }
await follow(training(), { total: 200, history: history, metrics: (s) => ({ Φ: s.phi }), figure: (h) => lineChart({ title: 'Φ while training', xTitle: 'step', yTitle: 'Φ', series: [{ name: 'adamw', x: h.map((_, i) => i), y: h.map((s) => s.phi) }] }) });`;

const kernelspec = { display_name: 'TypeScript', language: 'typescript', name: 'tslab' };

describe.skipIf(reason)('Jupyter Notebook', () => {
  let server: Server;
  let browser: Browser;
  let page: Page;
  beforeAll(async () => {
    build();
    [server, browser] = await Promise.all([startServer(workFolder()), startBrowser()]);
    page = await newPage(browser);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    if (server) fs.rmSync(server.folder, { recursive: true });
  });

  /** Writes a notebook for the server; it asks for the kernel by name. */
  const write = (name: string, cells: string[]): string => {
    const file = writeCells(path.join(server.folder, 'notebooks'), cells, name);
    fs.writeFileSync(
      file,
      JSON.stringify({ ...(JSON.parse(fs.readFileSync(file, 'utf8')) as object), metadata: { kernelspec } }),
    );
    return file;
  };
  const output = (cell: number) => page.locator('.code_cell').nth(cell).locator('.output');

  test('figures are drawn by plotly, which the server delivers', async () => {
    write('figures.ipynb', [IMPORTS, FIGURES]);
    await openNotebook(page, server, 'figures.ipynb');
    const requested: string[] = [];
    page.on('request', (request) => requested.push(request.url()));
    await runAll(page);
    await page.waitForFunction(
      "document.querySelectorAll('.js-plotly-plot .main-svg .title, .js-plotly-plot .gtitle').length >= 4",
    );
    expect(await page.locator('.output img').count()).toBe(0);
    expect(requested.filter((url) => /plotly/.test(url))).toEqual([`${server.url}/files/node_modules/plotly.js-dist/plotly.js`]);
    await screenshot(page, 'figures');
  });

  test('the stop button ends training at its next step; what was reached stays, and the cell goes on', async () => {
    write('training.ipynb', [
      IMPORTS,
      'const history: { phi: number }[] = [];',
      TRAINING,
      "console.log('steps', history.length);",
    ]);
    await openNotebook(page, server, 'training.ipynb');
    const steps = async () => {
      await page.evaluate('Jupyter.notebook.get_cell(3).execute()');
      await output(3)
        .getByText(/steps \d+/)
        .waitFor();
      return Number(/steps (\d+)/.exec((await output(3).textContent()) ?? '')?.[1]);
    };
    const reached: number[] = [];
    for (let press = 0; press < 3; press++) {
      await page.evaluate(
        'for (const i of press ? [2] : [0, 1, 2]) Jupyter.notebook.get_cell(i).execute()'.replace('press', String(press)),
      );
      await output(2)
        .getByText(new RegExp(`step ${2 * (press + 1)}\\d/200`))
        .waitFor();
      if (press === 0) await screenshot(page, 'while-training');
      await page.evaluate('Jupyter.notebook.kernel.interrupt()');
      await output(2)
        .getByText(/stopped; run the cell again/)
        .waitFor();
      await output(2).locator('.js-plotly-plot').waitFor();
      await page.waitForTimeout(500);
      reached.push(await steps());
    }
    expect(reached[0]).toBeGreaterThanOrEqual(20);
    expect(reached[1]).toBeGreaterThan(reached[0]);
    expect(reached[2]).toBeGreaterThan(reached[1]);
    expect(await steps()).toBe(reached[2]);
    await screenshot(page, 'stopped');
  });

  test('keeps every one of 10,000 lines of one cell', async () => {
    write('lines.ipynb', [IMPORTS, "show;\nfor (let i = 0; i < 10_000; i++) console.log('line ' + i);"]);
    await openNotebook(page, server, 'lines.ipynb');
    await runAll(page);
    await page.waitForTimeout(2000); // what the server holds back comes later
    const text = (await outputsOf(page))[1].map((each) => (each.output_type === 'stream' ? each.text : '')).join('');
    expect(text).toBe(Array.from({ length: 10_000 }, (_, i) => `line ${i}\n`).join(''));
  });

  test('restart and run all gives the same outputs again', async () => {
    write('again.ipynb', [IMPORTS, "console.log('once');", "show(heatmap({ z: [[1, -1]], title: 'again' }));"]);
    await openNotebook(page, server, 'again.ipynb');
    const outputs = async () => {
      await runAll(page);
      await page.locator('.js-plotly-plot').waitFor();
      return page.locator('.code_cell .output').allTextContents();
    };
    const before = await outputs();
    await restart(page);
    expect(await outputs()).toEqual(before);
    expect(before[1]).toContain('once');
  });

  test('hostile strings are shown and do nothing', async () => {
    write('hostile.ipynb', [IMPORTS, HOSTILE_CELL]);
    await openNotebook(page, server, 'hostile.ipynb');
    await runAll(page);
    await page.waitForFunction(`document.querySelectorAll('.js-plotly-plot').length === ${2 * HOSTILE.length}`);
    await page.waitForTimeout(2000); // MathJax and images that fail take their time
    expect(await page.evaluate('window.hacked')).toBeUndefined();
    const active = page.locator(
      '.output :is(script[src], iframe, svg a, td a, .rendered_markdown a, .MathJax, [onerror], [onload])',
    );
    expect(await active.evaluateAll((elements) => elements.map(({ outerHTML }) => outerHTML.slice(0, 200)))).toEqual([]);
    const titles = await page.locator('.js-plotly-plot .gtitle').allTextContents();
    expect(titles).toContain('<script>window.hacked = 1</script>');
    expect(titles).toContain('$\\href{javascript:window.hacked=10}{x}$ and \\(x\\)');
    expect(titles).toContain('%{customdata} %{y} <extra></extra>');
    const cells = await page.locator('.output td').allTextContents();
    expect(cells).toContain('&lt;script&gt;window.hacked = 7&lt;/script&gt;');
    await screenshot(page, 'hostile');
  });

  test('without scripts, and without a network, the picture is there', async () => {
    const file = write('static.ipynb', [IMPORTS, FIGURES]);
    expect(await dpg('notebook', file, '-o', file, '--quiet').exit).toBe(0);
    const html = toHtml(file, server);
    for (const javaScriptEnabled of [false, true]) {
      const offline = await newPage(browser, { javaScriptEnabled, offline: true });
      await offline.goto(`file://${html}`);
      const pictures = offline.locator('.jp-OutputArea img');
      expect(await pictures.count()).toBe(4);
      for (const picture of await pictures.all()) expect((await picture.boundingBox())?.width).toBeGreaterThan(400);
      await screenshot(offline, `static-${javaScriptEnabled ? 'offline' : 'no-scripts'}`);
      await offline.context().close();
    }
  });

  test("someone else's executed notebook, not trusted yet, shows its pictures", async () => {
    await openNotebook(page, server, 'static.ipynb');
    expect(await page.evaluate('Jupyter.notebook.trusted')).toBe(false);
    await screenshot(page, 'untrusted');
    expect(await page.locator('.output :is(img, svg)').count()).toBeGreaterThanOrEqual(4);
  });
});
