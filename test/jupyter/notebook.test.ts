/** What notebooks of one's own show and do in each front end. */
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { scriptJson } from '../../src/notebook/escape';
import { writeCells } from '../cli/dpg';
import { HOSTILE } from '../notebook/hostile';
import {
  installed,
  ofCell,
  openDesk,
  openNotebook,
  outputArea,
  outputsOf,
  runAll,
  runCell,
  screenshot,
  unfold,
  type Desk,
} from './jupyter';

const { fronts } = installed();

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

/** A cell for each: JupyterLab shows 50 outputs of a cell. */
const HOSTILE_CELLS = HOSTILE.map(
  (text) => `const text = ${scriptJson(text)};
table([{ [text]: text }], { caption: text });
markdown\`\${text}\`;
show(lineChart({ title: text, xTitle: text, yTitle: text, caption: text, series: [{ name: text, x: [1, 2], y: [1, 2] }, { name: 'b', x: [1, 2], y: [2, 1] }] }));
show(heatmap({ z: [[1, 2]], title: text, xTitle: text, yTitle: text, annotations: [[text, text]] }));`,
);

const TRAINING = `async function* training() { for (let i = history.length; ; i++) { await new Promise((r) => setTimeout(r, 50)); yield { phi: 1 - Math.exp(-i / 40) }; } }
await follow(training(), { total: 200, history: history, metrics: (s) => ({ Φ: s.phi }), figure: (h) => lineChart({ title: 'Φ while training', xTitle: 'step', yTitle: 'Φ', series: [{ name: 'adamw', x: h.map((_, i) => i), y: h.map((s) => s.phi) }] }) });`;

const kernelspec = { display_name: 'TypeScript', language: 'typescript', name: 'tslab' };

/** Those that plotly's extension does not draw for. */
describe.each(fronts.filter(({ drawsJson }) => !drawsJson))('in $name', (front) => {
  let desk: Desk;
  beforeAll(async () => {
    desk = await openDesk(front);
  });
  afterAll(() => desk?.close());

  /** Writes a notebook for the server, which asks for the kernel by name, and opens it. */
  const open = async (name: string, cells: string[]): Promise<void> => {
    const file = writeCells(path.join(desk.folder, 'notebooks'), cells, name);
    fs.writeFileSync(
      file,
      JSON.stringify({ ...(JSON.parse(fs.readFileSync(file, 'utf8')) as object), metadata: { kernelspec } }),
    );
    await openNotebook(desk, name);
  };
  const picture = async (name: string) => {
    await unfold(desk);
    await screenshot(desk.page, `${front.name}-${name}`);
  };
  const drawn = (count: number) =>
    desk.page.waitForFunction(`document.querySelectorAll('.js-plotly-plot .gtitle').length >= ${count}`);

  test('figures are drawn by plotly, which the server delivers', async () => {
    const requested: string[] = [];
    const note = (request: { url(): string }) => requested.push(request.url());
    desk.page.on('request', note);
    await open('figures.ipynb', [IMPORTS, FIGURES]);
    await runAll(desk);
    await drawn(4);
    expect(await desk.page.locator(`${front.css.output} img`).count()).toBe(0);
    const places = ['notebooks/', '']; // beside the notebook there is none
    expect(requested.filter((url) => /plotly\.js/.test(url))).toEqual(
      places.map((place) => `${desk.url}/files/${place}node_modules/plotly.js-dist/plotly.js`),
    );
    desk.page.off('request', note);
    await picture('figures');
  });

  test('the stop button ends training at its next step; what was reached stays, and the cell goes on', async () => {
    await open('training.ipynb', [
      IMPORTS,
      'const history: { phi: number }[] = [];',
      TRAINING,
      "console.log('steps', history.length);",
    ]);
    const steps = async () => {
      await runCell(desk, 3);
      await outputArea(desk, 3)
        .getByText(/steps \d+/)
        .waitFor();
      return Number(/steps (\d+)/.exec((await outputArea(desk, 3).textContent()) ?? '')?.[1]);
    };
    await runCell(desk, 0);
    await runCell(desk, 1);
    const reached: number[] = [];
    for (let press = 1; press <= 3; press++) {
      const running = runCell(desk, 2);
      const text = `JSON.stringify(((cell) => ${front.outputs})(${front.cells}[2]))`;
      await desk.page.waitForFunction(`+/.*step (\\d+)\\//.exec(${text})?.[1] >= ${20 * press}`);
      if (press === 1) await screenshot(desk.page, `${front.name}-while-training`);
      await desk.page.evaluate(front.interrupt);
      await running;
      await outputArea(desk, 2)
        .getByText(/stopped; run the cell again/)
        .waitFor();
      await outputArea(desk, 2).locator('.js-plotly-plot').waitFor();
      reached.push(await steps());
    }
    expect(reached[0]).toBeGreaterThanOrEqual(20);
    expect(reached[1]).toBeGreaterThan(reached[0]);
    expect(reached[2]).toBeGreaterThan(reached[1]);
    await desk.page.waitForTimeout(500);
    expect(await steps()).toBe(reached[2]);
    await picture('stopped');
  });

  test('keeps every one of 10,000 lines of one cell', async () => {
    await open('lines.ipynb', [IMPORTS, "show;\nfor (let i = 0; i < 10_000; i++) console.log('line ' + i);"]);
    await runAll(desk);
    await desk.page.waitForTimeout(2000); // what the server holds back comes later
    const text = (await outputsOf(desk))[1].map((each) => (each.output_type === 'stream' ? each.text : '')).join('');
    expect(text).toBe(Array.from({ length: 10_000 }, (_, i) => `line ${i}\n`).join(''));
  });

  test('restart and run all gives the same outputs again', async () => {
    await open('again.ipynb', [IMPORTS, "console.log('once');", "show(heatmap({ z: [[1, -1]], title: 'again' }));"]);
    const outputs = async () => {
      await runAll(desk);
      await drawn(1);
      return [await outputArea(desk, 1).textContent(), await outputArea(desk, 2).locator('.gtitle').textContent()];
    };
    const before = await outputs();
    await desk.page.evaluate(front.restart);
    expect(await outputs()).toEqual(before);
    expect(before[0]).toContain('once');
  });

  test('completes names of the module, and shows the type and the words of one', async () => {
    await open('names.ipynb', ["import * as charts from '../dist/notebook/charts';", 'charts.line']);
    await runCell(desk, 0);
    await ofCell(desk, 1, front.edit);
    await desk.page.keyboard.press('Tab');
    const chosen = async () => {
      if (await desk.page.locator(front.css.completion).first().isVisible()) await desk.page.keyboard.press('Enter');
      return ofCell(desk, 1, front.source);
    };
    await expect.poll(chosen, { timeout: 30_000, interval: 500 }).toContain('charts.lineChart');
    await desk.page.keyboard.press('Shift+Tab');
    const tooltip = desk.page.locator(front.css.tooltip);
    await expect
      .poll(() => tooltip.textContent(), { timeout: 20_000 })
      .toMatch(/LineChartOptions\): Figure[^]*Lines over a common x/);
    await screenshot(desk.page, `${front.name}-hover`);
    await desk.page.keyboard.press('Escape');
  });

  test('hostile strings are shown and do nothing', async () => {
    await open('hostile.ipynb', [IMPORTS, ...HOSTILE_CELLS]);
    await runAll(desk);
    await unfold(desk);
    await drawn(HOSTILE.length); // at least: a long title makes a matrix wider than the page, which stays a picture
    await desk.page.waitForTimeout(2000); // MathJax and images that fail take their time
    expect(await desk.page.evaluate('window.hacked')).toBeUndefined();
    const parts =
      'script[src], iframe, svg a, td a, .rendered_markdown a, .jp-RenderedMarkdown p a, .MathJax, mjx-container, [onerror], [onload]';
    const active = desk.page.locator(`${front.css.output} :is(${parts})`);
    expect(await active.evaluateAll((elements) => elements.map(({ outerHTML }) => outerHTML.slice(0, 200)))).toEqual([]);
    const titles = () => desk.page.locator('.js-plotly-plot .gtitle').allTextContents();
    const asWritten = ['<script>window.hacked = 1</script>', '$\\href{javascript:window.hacked=10}{x}$ and \\(x\\)'];
    await expect
      .poll(titles, { timeout: 60_000 })
      .toEqual(expect.arrayContaining([...asWritten, '%{customdata} %{y} <extra></extra>']));
    const cells = await desk.page.locator(`${front.css.output} td`).allTextContents();
    expect(cells).toContain('&lt;script&gt;window.hacked = 7&lt;/script&gt;');
    await picture('hostile');
  });
});
