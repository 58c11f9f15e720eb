import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { runInNewContext } from 'node:vm';
import { DataFrame, Series } from 'danfojs-node';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { lineChart } from '../../src/notebook/charts';
import { figureBundle, liveFigure, markdown, output, showFigure } from '../../src/notebook/display';
import { heatmap } from '../../src/notebook/images';
import { PLOTLY } from '../../src/notebook/plotlyScript';
import type { PlotlyFigure } from '../../src/notebook/plotlyFigure';
import { saveFigure } from '../../src/notebook/saveFigure';
import { show } from '../../src/notebook/show';
import { table } from '../../src/notebook/table';
import { workFolder } from '../cli/dpg';
import { sent } from './channel';
import { HOSTILE } from './hostile';

const figure = (text: string) => heatmap({ z: [[1, -1]], title: text, caption: text });
const tags = (html: string) => html.match(/<[^>]*>/g);

describe('a figure', () => {
  test('has a picture, a script that holds the figure, and text', () => {
    const bundle = figureBundle(figure('Φ')) as Record<string, string>;
    expect(Object.keys(bundle)).toEqual(['application/vnd.plotly.v1+json', 'text/html', 'image/svg+xml', 'text/plain']);
    const [, picture] = /src="data:image\/svg\+xml;base64,([^"]*)"/.exec(bundle['text/html']) ?? [];
    expect(Buffer.from(picture, 'base64').toString()).toBe(bundle['image/svg+xml']);
    expect(bundle['text/plain']).toBe('[figure: Φ]');
    expect(figureBundle(figure('Φ'))).toEqual(bundle); // the same file at every run
  });

  test.each(HOSTILE)('cannot be left by %j', (text) => {
    const html = String(figureBundle(figure(text))['text/html']);
    const [before, script, ...after] = html.split(/<script>|<\/script>/);
    expect(after).toEqual(['']);
    expect(script).not.toMatch(/<!--|<script/i);
    expect(tags(before)).toHaveLength(3); // <div> <img> </div>
    const drawn: unknown[] = [];
    const window = { Plotly: { newPlot: (_: unknown, data: unknown, layout: unknown) => drawn.push({ data, layout }) } };
    const place = { firstChild: { tagName: 'IMG', remove: () => {} }, appendChild: () => ({}) };
    runInNewContext(script, {
      document: { getElementsByClassName: () => [place], createElement: () => ({}) },
      window,
      location: {},
    });
    expect(JSON.parse(JSON.stringify(drawn))).toEqual([figure(text)]);
  });

  test.each([
    ['/lab/tree/my-experiment/my-experiment.ipynb', ['/files/my-experiment/', '/files/']],
    ['/user/ada/lab/workspaces/auto-w/tree/a/notebooks/x.ipynb', ['a/notebooks/', 'a/', ''].map((at) => `/user/ada/files/${at}`)],
    ['/notebooks/notebooks/x.ipynb', ['/files/notebooks/', '/files/']],
    ['/tree/x.ipynb', ['/files/']],
    ['/elsewhere.html', []],
  ])('looks for plotly.js beside the notebook first, then in the folders above: %s', async (pathname, places) => {
    const html = String(figureBundle(figure('Φ'))['text/html']);
    const asked: string[] = [];
    const appendChild = (script: { src: string; onerror: (event: object) => void }) => {
      asked.push(script.src);
      script.onerror({ type: 'error' });
    };
    runInNewContext(/<script>(.*)<\/script>/s.exec(html)![1], {
      document: { getElementsByClassName: () => [], createElement: () => ({}), head: { appendChild } },
      window: {},
      location: { pathname },
    });
    await vi.waitFor(() => expect(asked.at(-1)).toBe(PLOTLY.url));
    expect(asked).toEqual([...places.map((place) => place + PLOTLY.file), PLOTLY.url]);
  });

  test('names the plotly.js that is installed', () => {
    const require = createRequire(__filename);
    const { version } = require('plotly.js-dist/package.json') as { version: string };
    expect(PLOTLY.url).toContain(`plotly.js-dist@${version}/`);
    const hash = createHash('sha384')
      .update(fs.readFileSync(require.resolve('plotly.js-dist')))
      .digest('base64');
    expect(PLOTLY.integrity).toBe(`sha384-${hash}`);
  });

  test('that is live is one output: static while it changes, whole at the end', () => {
    const live = liveFigure();
    live.draw(figure('1'));
    live.draw(figure('2'));
    live.finish(figure('3'));
    expect(sent.map(({ update }) => update)).toEqual([false, true, true]);
    expect(new Set(sent.map(({ transient }) => transient.display_id)).size).toBe(1);
    expect(sent.map(({ data }) => 'text/html' in data)).toEqual([false, false, true]);
  });

  test.each<[string, [string, RegExp][]]>([
    [
      'x',
      [
        ['x.svg', /^<svg .*<\/svg>$/s],
        ['x.png', /^.PNG/],
      ],
    ],
    [
      'rate-0.001',
      [
        ['rate-0.001.svg', /^<svg/],
        ['rate-0.001.png', /^.PNG/],
      ],
    ],
    ['x.png', [['x.png', /^.PNG/]]],
    ['x.svg', [['x.svg', /^<svg .*<\/svg>$/s]]],
    ['x.html', [['x.html', /^<!doctype html>.*<title>Φ<\/title><div.*<img .*<\/script>\n$/s]]],
    ['x.pdf', [['x.pdf', /^%PDF-1\.4\n.*%%EOF\n$/s]]],
  ])('is saved by the ending of %s', (name, written) => {
    const folder = workFolder();
    const files = saveFigure(figure('Φ'), path.join(folder, 'figures', name));
    expect(files.map((file) => path.basename(file))).toEqual(written.map(([file]) => file));
    expect(fs.readdirSync(path.join(folder, 'figures')).sort()).toEqual(written.map(([file]) => file).sort());
    for (const [i, [, content]] of written.entries())
      expect(fs.readFileSync(files[i], name.endsWith('html') || i === 0 ? 'utf8' : 'latin1')).toMatch(content);
    fs.rmSync(folder, { recursive: true });
  });

  test('is not saved as what it cannot be', () => {
    expect(() => saveFigure(figure('x'), 'x.jpg')).toThrow(
      new RangeError('figures are saved as .svg, .png, .pdf, .html (got x.jpg)'),
    );
    expect(fs.existsSync('x.jpg.svg')).toBe(false);
  });

  test('sends no data away, and a chart is as wide as the page', () => {
    const chart = lineChart({ title: 'c', xTitle: 'x', yTitle: 'y', series: [{ name: 'a', x: [1, 2], y: [1, 2] }] });
    const sentTo = (what: PlotlyFigure) =>
      JSON.parse(JSON.stringify(figureBundle(what)['application/vnd.plotly.v1+json'])) as { layout: object; config: object };
    expect(sentTo(chart).config).toMatchObject({ showSendToCloud: false, plotlyServerURL: '', responsive: true });
    expect(sentTo(chart).layout).toMatchObject({ autosize: true });
    expect(sentTo(chart).layout).not.toHaveProperty('width');
    expect(sentTo(figure('x')).layout).toHaveProperty('width'); // its pixels stay square
    expect(figureBundle(chart)['text/html']).toMatch(/<img width="\d+" style="max-width:100%"/);
  });

  test.each<[string, PlotlyFigure, RegExp]>([
    [
      'lines',
      { data: [{ y: [1, 3, 2], name: '<b>mine</b>' }], layout: { title: { text: 'T' } } },
      /<path d="M[^"]*L[^"]*" fill="none"/,
    ],
    ['a matrix', { data: [{ type: 'heatmap', z: [[1, 2]] }], layout: { title: 'T' } }, /<image /],
    ['bars', { data: [{ type: 'bar', y: [1, 2] }], layout: { title: 'T' } }, /Drawn by plotly alone/],
    ['nothing', { data: [], layout: { title: 'T' } }, /Drawn by plotly alone/],
  ])('of plotly that is not ours is handed on as it is, with a picture of what can be drawn: %s', (_, foreign, drawn) => {
    show(foreign);
    const { data } = sent[0] as unknown as { data: Record<string, string> & { 'application/vnd.plotly.v1+json': PlotlyFigure } };
    expect(data['application/vnd.plotly.v1+json'].data).toEqual(foreign.data);
    expect(data['application/vnd.plotly.v1+json'].layout).toMatchObject(foreign.layout!);
    expect(data['image/svg+xml']).toMatch(drawn);
    expect(data['text/plain']).toBe('[figure: T]');
  });
});

describe('a table', () => {
  test('aligns numbers at the point and rounds them', () => {
    table(
      [
        { name: 'a', value: 1 / 3, n: 10 },
        { name: 'bb', value: -2, n: null },
      ],
      { caption: 'Rows' },
    );
    expect(sent[0].data['text/plain']).toBe('Rows\nname    value   n\na      0.3333  10\nbb    −2');
    expect(sent[0].data['text/html'].match(/<td style="text-align:right/g)).toHaveLength(4);
  });

  test('takes a danfojs data frame, with its index where it has one', () => {
    const frame = { columns: ['x'], index: ['first', 'second'], values: [[1], [2]] };
    table(frame);
    table({ ...frame, index: [0, 1] });
    expect(sent[0].data['text/plain']).toBe('        x\nfirst   1\nsecond  2');
    expect(sent[1].data['text/plain']).toBe('x\n1\n2');
  });

  test('shows a danfojs frame or series whole: gaps, truth values, several kinds of columns', () => {
    show(new DataFrame({ a: [1, 2], b: ['x', 'y'], c: [true, false], d: [NaN, 1.5] }));
    show(new Series([1, 2.5]));
    const cells = sent.map(({ data }) => data['text/plain'].split('\n').map((line) => line.trim().split(/\s+/)));
    expect(cells[0]).toEqual([
      ['a', 'b', 'c', 'd'],
      ['1', 'x', 'true', 'NaN'],
      ['2', 'y', 'false', '1.5'],
    ]);
    expect(cells[1]).toEqual([['0'], ['1'], ['2.5']]);
  });

  test('stands as it should without styles too', () => {
    table([{ name: 'a', value: 1 }]);
    const bare = sent[0].data['text/html'].replace(/ style="[^"]*"/g, '');
    expect(bare).toContain('<td><div align="left">a</div></td><td><div align="right">1</div></td>');
  });

  test.each(HOSTILE)('has no markup of %j, in any place', (text) => {
    table([{ [text]: text, n: 1 }], { caption: text });
    const plain = text.replace(/\S/gu, 'a');
    table([{ [plain]: plain, n: 1 }], { caption: plain });
    expect(tags(sent[0].data['text/html'])).toEqual(tags(sent[1].data['text/html']));
    // eslint-disable-next-line no-control-regex
    expect(sent[0].data['text/plain']).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(sent[0].data['text/plain'].split('\n').slice(-2)).toHaveLength(2);
  });
});

test.each(HOSTILE)('Markdown shows %j letter by letter', (text) => {
  void markdown`**Φ** of ${text}`;
  const [, inside] =
    /^\*\*Φ\*\* of <span class="tex2jax_ignore mathjax_ignore">(.*)<\/span>$/s.exec(sent[0].data['text/markdown']) ?? [];
  expect(inside.replace(/&#\d+;/g, '')).not.toMatch(/[^\p{L}\p{N}\s\ufffd]/u);
});

test('Markdown reads well as plain text', () => {
  void markdown`**${42} of 42 pixels** are right (\`klCoef\` ${'**b**'}).`;
  expect(sent[0].data['text/plain']).toBe('42 of 42 pixels are right (klCoef **b**).');
});

describe('outside a notebook', () => {
  beforeEach(() => vi.unstubAllGlobals());

  test('everything is plain text, each line once', () => {
    const log = vi.spyOn(console, 'log').mockImplementation(() => {});
    showFigure(figure('Φ'));
    const { show: update } = output();
    for (const text of ['a', 'a', 'b']) update({ 'text/plain': text });
    expect(log.mock.calls.flat()).toEqual(['[figure: Φ]', 'a', 'b']);
  });
});
