import type { Data, LayoutAxis } from 'plotly.js-dist';
import { describe, expect, test } from 'vitest';
import { altText } from '../../src/notebook/altText';
import { lineChart } from '../../src/notebook/charts';
import { colorAt, COLOR_SCALES, methodColor, seriesColors } from '../../src/notebook/color';
import type { Figure, HeatmapTrace } from '../../src/notebook/figure';
import { grid, heatmap, imageStrip } from '../../src/notebook/images';
import { toPng } from '../../src/notebook/saveFigure';
import { toSvg } from '../../src/notebook/svg';
import { HOSTILE } from './hostile';

const checkerboard = (size: number) =>
  Array.from({ length: size }, (_, i) => Array.from({ length: size }, (_, j) => (i + j) % 2));
const steps = [0, 1, 2, 3];
const chart = (text: string) =>
  lineChart({
    title: `Title ${text}`,
    xTitle: `step ${text}`,
    yTitle: `loss (nats) ${text}`,
    caption: text,
    series: [
      { name: `a ${text}`, x: steps, y: [1, 2, 3, 4], band: { lower: [0, 1, 2, 3], upper: [2, 3, 4, 5] } },
      { name: 'naive', x: steps, y: [1, NaN, 1, 2] },
    ],
  });
const matrix = (text: string) =>
  heatmap({
    z: [
      [-1, 2],
      [0.5, NaN],
    ],
    title: text,
    xTitle: text,
    yTitle: text,
    caption: text,
    annotations: [
      [text, ''],
      ['', text],
    ],
  });
const strip = (text: string) =>
  imageStrip({ title: text, scale: 'ink', images: [0, 1].map((i) => ({ z: checkerboard(3), label: text + i })) });

describe('static SVG', () => {
  test.each([
    ['chart', chart('')],
    [
      'log-chart',
      lineChart({
        title: 'Norm',
        xTitle: 'step',
        yTitle: 'l2 norm',
        log: true,
        series: [{ name: 'sgd', x: steps, y: [1000, 10, 0.1, 0] }],
      }),
    ],
    ['heatmap', matrix('')],
    ['strip', strip('step ')],
  ])('%s looks as it did', async (name, figure) => {
    const picture = toSvg(figure).replace(/base64,[\w+/=]+/g, 'base64,…'); // compressed bytes depend on the zlib version
    await expect(picture.replaceAll('><', '>\n<')).toMatchFileSnapshot(`snapshots/${name}.svg.txt`);
  });

  test.each(HOSTILE)('is well-formed and has no element of %j', (text) => {
    for (const build of [chart, matrix, strip]) {
      const svg = toSvg(build(text));
      const tags = new Set(svg.match(/<\/?[^\s>]+/g));
      expect([...tags].every((tag) => /^<\/?(svg|rect|path|text|image)$/.test(tag))).toBe(true);
      expect(svg).not.toMatch(/<[^>]* on\w+=/i);
      expect(toPng(svg)?.length).toBeGreaterThan(1000); // an XML parser has read it
    }
  });

  test('puts a point where its axes say', () => {
    const { layout } = lineChart({
      title: 't',
      xTitle: 'x',
      yTitle: 'y',
      yRange: [0, 10],
      series: [{ name: 'a', x: [0, 4], y: [0, 5] }],
    });
    const svg = toSvg(
      lineChart({ title: 't', xTitle: 'x', yTitle: 'y', yRange: [0, 10], series: [{ name: 'a', x: [0, 4], y: [0, 5] }] }),
    );
    const { width, height, margin } = layout;
    const [bottom, middle] = [height - margin.b, margin.t + (height - margin.t - margin.b) / 2];
    expect(svg).toContain(`M${margin.l} ${bottom}L${width - margin.r} ${middle}"`);
  });

  test('gaps interrupt a line, and long series are thinned without losing their peak', () => {
    const y = Float64Array.from({ length: 100_000 }, (_, i) => (i === 77_777 ? 9 : Math.sin(i)));
    const svg = toSvg(
      lineChart({ title: '', xTitle: '', yTitle: '', yRange: [-1, 9], series: [{ name: 'a', x: y.map((_, i) => i), y }] }),
    );
    const [, path] = /fill="none" stroke="#0072b2"/.test(svg) ? (/<path d="(M[^"]+)" fill="none"/.exec(svg) ?? []) : [];
    expect(path.length).toBeLessThan(60_000);
    expect(path).toMatch(/L\d+(\.\d+)? 16L/); // the top of the plot area
    expect(toSvg(chart('')).match(/<path d="M[^"]*M[^"]*" fill="none"/)).not.toBeNull();
  });
});

test('a margin of cells surrounds each picture, whose own cells keep their coordinates', () => {
  const framed = imageStrip({ title: '', scale: 'ink', margin: 1, images: [{ z: checkerboard(3), label: 'x' }] });
  const trace = framed.data[0] as HeatmapTrace;
  expect([trace.x0, trace.y0, framed.layout.xaxis.range, framed.layout.yaxis.range]).toEqual([-1, -1, [-1.5, 3.5], [3.5, -1.5]]);
  expect(trace.z.map((row) => row.map((cell) => cell ?? '.').join(''))).toEqual(['.....', '.010.', '.101.', '.010.', '.....']);
});

test('a logarithmic x axis leaves out what it cannot show', () => {
  const { data, layout } = lineChart({
    title: '',
    xTitle: '',
    yTitle: '',
    logX: true,
    series: [{ name: 'a', x: [0, 10, 1000], y: [1, 2, 3], band: { lower: [0, 1, 2], upper: [2, 3, 4] } }],
  });
  expect(data.map((trace) => trace.type === 'scatter' && trace.y)).toEqual([
    [1, 2],
    [3, 4],
    [2, 3],
  ]);
  expect(layout.xaxis).toMatchObject({ type: 'log', range: [1, 3] });
});

describe('figures', () => {
  test('are what plotly takes, by its own types', () => {
    const plotly = ({ data, layout }: Figure): { data: Data[]; x: Partial<Omit<LayoutAxis, 'anchor'>> } => ({
      data,
      x: layout.xaxis,
    });
    expect(plotly(chart('')).data).toHaveLength(4); // plotly's type of `anchor` lists thousands of names
  });

  test('hold plain JSON with few significant digits, and null for what is not finite', () => {
    const cells = (...row: number[]) => (heatmap({ z: [Float32Array.from(row)], title: '' }).data[0] as HeatmapTrace).z[0];
    expect(cells(1 / 3, Infinity, 1)).toEqual([0.33, null, 1]); // to a hundredth of the scale, which goes from −1 to 1
    expect(cells(-1e-7, 123456.7)).toEqual([0, 123457]);
    expect(cells(1 / 3, 3e-9, 1e-5).map(Number)).toEqual([0.333, 0, 0]);
    expect(cells(1.234e-9, 3e-9)).toEqual([1.23e-9, 3e-9]);
    for (const figure of [chart(''), matrix(''), strip('')]) expect(JSON.parse(JSON.stringify(figure))).toEqual(figure);
  });

  test.each([[[]], [[[]]], [[[NaN]]], [[[0]]], [[[5, 5]]]])('of the empty and the constant: %j', (z) => {
    for (const figure of [
      heatmap({ z, title: '' }),
      heatmap({ z, title: '', scale: 'sequential' }),
      grid({ images: [{ z, label: '' }], columns: 2, title: '' }),
    ]) {
      expect(toSvg(figure)).not.toContain('NaN');
    }
    for (const log of [false, true]) {
      const y = z[0] ?? [];
      expect(toSvg(lineChart({ title: '', xTitle: '', yTitle: '', log, series: [{ name: '', x: y, y }] }))).not.toMatch(
        /NaN|Infinity/,
      );
    }
  });

  test('pixels are square, and small pictures share one scale', () => {
    const wide = heatmap({ z: Array.from({ length: 3 }, () => new Float32Array(9)), title: '' }).layout;
    const [width, height] = [wide.width - wide.margin.l - wide.margin.r, wide.height - wide.margin.t - wide.margin.b];
    expect(width / height).toBeCloseTo(3, 5);
    const { data } = grid({ title: '', columns: 2, images: [1, -4].map((v) => ({ z: [[v]], label: '' })) });
    expect(data.map((trace) => [(trace as HeatmapTrace).zmin, (trace as HeatmapTrace).zmax])).toEqual([
      [-4, 4],
      [-4, 4],
    ]);
  });
});

describe('colours', () => {
  test('a method has one colour in every company', () => {
    const alone = seriesColors(['sgd'])[0];
    expect(seriesColors(['a', 'naive', 'b', 'SGD'])[3]).toBe(alone);
    expect(methodColor('edit distance')).toBe(methodColor('edit-distance'));
    expect(methodColor('constructor')).toBeUndefined();
  });

  test('up to eight series differ', () => {
    for (const names of [
      ['adamw', 'sgd', 'naive'],
      ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'],
      ['a', 'adamw', 'b', 'naive', 'c'],
    ]) {
      expect(new Set(seriesColors(names)).size).toBe(names.length);
    }
  });

  test('a scale passes through its colours and is clipped', () => {
    expect(colorAt(COLOR_SCALES.ink, 0.5)).toEqual([139, 139, 142]);
    expect(colorAt(COLOR_SCALES.diverging, 0.5)).toEqual([247, 247, 247]);
    expect(colorAt(COLOR_SCALES.diverging, -1)).toEqual([178, 24, 43]);
  });
});

describe('alternative texts', () => {
  test('say where lines begin and end', () => {
    expect(altText(chart('x'))).toBe('Title x. Lines of loss (nats) x by step x: a x from 1 to 4, naive from 1 to 2.');
    const many = Array.from({ length: 10 }, (_, i) => ({ name: `s${i}`, x: [0, 1], y: [i, 1e-7] }));
    expect(altText(lineChart({ title: 'T', xTitle: 'x', yTitle: 'y', series: many }))).toMatch(
      /s7 from 7 to 1e−7, and 2 more\.$/,
    );
  });

  test('name pictures and their sizes', () => {
    expect(altText(matrix('m'))).toBe('m. Matrix of 2 × 2 cells.');
    expect(altText(strip('step '))).toBe('step . Pictures of step 0, step 1: 3 × 3 cells.');
  });
});

test('ticks of a logarithmic axis far below 1 are written alike, few of them side by side', () => {
  const far = lineChart({
    title: '',
    xTitle: 'eps_root',
    yTitle: '',
    logX: true,
    series: [{ name: 'a', x: [1e-9, 1e-2], y: [1, 2] }],
  });
  expect(far.layout.xaxis).toMatchObject({ dtick: 2, tickformat: '~e', tickangle: 0 });
  expect(toSvg(far).match(/>1e−\d</g)).toEqual(['>1e−8<', '>1e−6<', '>1e−4<', '>1e−2<']);
});
