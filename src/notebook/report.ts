/**
 * A run in one look, from its folder alone: result, curves, pictures, texts with what each token was paid, configuration. No script,
 * nothing from elsewhere: it opens without a network and reads well untrusted.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { defaultsOf, type Keys } from '../dpg/keys';
import { EXPERIMENTS } from '../experiments/experiments';
import { promptedKeys } from '../experiments/weightSpace';
import { readReport, type RunReport } from '../runs/runReport';
import { readMetrics, readSummary } from '../runs/runFolder';
import { runPath, type RunOrName } from '../runs/runName';
import { altText } from './altText';
import { lineChart } from './charts';
import { creditHtml } from './creditText';
import { NO_TEX, output } from './display';
import { escapeHtml } from './escape';
import type { Figure } from './figure';
import { formatMeasure, measureName, measuresOf, measureUnit } from './measures';
import { duration } from './progress';
import { gradientCurve, healthCurves, metricSeries, perplexityCurve, wordCurves } from './runFigures';
import { toSvg } from './svg';

/** Texts shown. */
const TEXTS = 10;

/** A line of examples.jsonl: a text of a step; with its tokens and their τ where the reward has them. */
interface ExampleRow {
  readonly step: number;
  readonly prompt: string;
  readonly response: string;
  readonly reward: number;
  readonly tokens?: readonly string[];
  readonly token_rewards?: readonly (number | null)[];
}

/** Shows the report of a run, or of its folder. @throws Error if the folder holds no run, or naming the file that is damaged */
export function report(run: RunOrName): void {
  const folder = runPath(run);
  output().show({ 'text/html': reportHtml(folder), 'text/plain': headline(readReport(folder)) });
}

/** The report as a page of its own. @throws as {@link report} */
export function reportPage(folder: string): string {
  const style =
    'body{max-width:62rem;margin:1rem auto;padding:0 1rem;font:15px/1.5 system-ui,sans-serif;color:#2f2f3a;background:#fff}';
  const title = `<title>${escapeHtml(path.basename(folder))}</title>`;
  const head = `<meta charset="utf-8"><meta name="viewport" content="width=device-width">${title}`;
  return `<!doctype html><html lang="en"><head>${head}<style>${style}</style></head><body>${reportHtml(folder)}</body></html>\n`;
}

function headline({ name, experiment, seed, steps, seconds, state, heldOut }: RunReport): string {
  const result = Object.entries(heldOut ?? {}).map(
    ([key, value]) => `${key === 'phi' ? 'Φ' : measureName(key)} ${formatMeasure(key, value)}`,
  );
  return (
    `${name}: ${experiment}, seed ${seed}, ${steps} steps in ${duration(seconds)}, ${state}` +
    (result.length ? `; held-out prompts: ${result.join(', ')}` : '')
  );
}

function reportHtml(folder: string): string {
  const run = readReport(path.resolve(folder));
  const [title, result = ''] = headline(run).split('; ');
  const read = Object.entries((readSummary(folder)?.read ?? {}) as Record<string, string | null>);
  const decoded = read.map(([reader, text]) => `<p>${escapeHtml(reader)} reads: <b>${escapeHtml(text ?? 'nothing')}</b></p>`);
  return [
    `<div class="${NO_TEX}"><h3>${escapeHtml(title)}</h3><p><b>${escapeHtml(result)}</b></p>`,
    ...decoded,
    section('Curves', curves(folder)),
    section('Pictures', pictures(folder)),
    section('Held-out prompts: what the untrained generator writes, and the trained one', heldOutTexts(folder)),
    section('What was written, and what each token was paid', texts(folder)),
    section('Configuration', configuration(run.config)),
    section('Environment', listOf(Object.entries(run.environment).map(([key, value]) => [key, String(value)]))),
    '</div>',
  ].join('');
}

const section = (title: string, html: string): string => (html ? `<h4>${title}</h4>${html}` : '');

const picture = (svg: string, alt: string): string => {
  const source = `data:image/svg+xml;base64,${Buffer.from(svg).toString('base64')}`;
  return `<img style="max-width:100%" alt="${escapeHtml(alt)}" src="${source}"> `;
};

/**
 * Φ, the experiment's measures, what the text becomes, the size of the updates; runs recorded before text was measured have no curves of
 * it.
 */
function curves(folder: string): string {
  const steps = readMetrics(folder).map((row) => ({ row }));
  if (!steps.length) return '';
  const curve = (key: string, name = measureName(key)): Figure =>
    lineChart({
      series: [metricSeries(steps, key, name)],
      title: name,
      xTitle: 'GRPO step',
      yTitle: key === 'phi' ? 'Φ' : measureUnit(key),
    });
  const fluency = 'words' in steps[0].row ? [wordCurves(steps), perplexityCurve(steps)] : [];
  const figures = [
    curve('phi', 'Φ'),
    ...measuresOf(steps[0].row).map((key) => curve(key)),
    healthCurves(steps),
    ...fluency,
    gradientCurve(steps),
  ];
  return figures.map((figure) => picture(toSvg(figure), altText(figure))).join('');
}

/** What lies in the run's `figures/` beside the curves. */
function pictures(folder: string): string {
  const place = path.join(folder, 'figures');
  const columns = new Set(Object.keys(readMetrics(folder)[0] ?? {}));
  const files = existsSync(place) ? readdirSync(place).filter((file) => file.endsWith('.svg')) : [];
  const own = files.filter((file) => !columns.has(path.basename(file, '.svg'))).sort();
  return own
    .map((file) => picture(readFileSync(path.join(place, file), 'utf8'), `${path.basename(file, '.svg')}, from the run's folder`))
    .join('');
}

function readExamples(folder: string): ExampleRow[] {
  const file = path.join(folder, 'examples.jsonl');
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
  return lines.map((line) => JSON.parse(line) as ExampleRow);
}

/** The texts of the summary, before and after training. */
function heldOutTexts(folder: string): string {
  const examples = readSummary(folder)?.examples ?? [];
  const rows = examples.map(({ prompt, untrained = '', response }) => [prompt, untrained, response]);
  return rows.length ? rowsOf([['prompt', 'before', 'after'], ...rows]) : '';
}

/** The last texts; colours are relative to the largest |τ| of a token of the same step. */
function texts(folder: string): string {
  const rows = readExamples(folder).slice(-TEXTS);
  const largest = (step: number): number =>
    Math.max(
      ...rows.filter((row) => row.step === step).flatMap((row) => (row.token_rewards ?? []).map((tau) => Math.abs(tau ?? 0))),
      0,
    );
  const written = ({ step, response, tokens, token_rewards }: ExampleRow): string =>
    tokens && token_rewards ? creditHtml(tokens, token_rewards, largest(step)) : escapeHtml(response);
  const cell = (html: string, wrap = 'white-space:pre-wrap;overflow-wrap:anywhere'): string =>
    `<td style="text-align:left;vertical-align:top;${wrap};padding:2px 8px"><div align="left">${html}</div></td>`;
  const body = rows.map((row) => {
    const reward = Number(row.reward.toPrecision(3)).toString().replace('-', '−');
    return `<tr>${cell(String(row.step))}${cell(escapeHtml(row.prompt))}${cell(written(row))}${cell(reward, 'white-space:nowrap')}</tr>`;
  });
  const head = ['step', 'prompt', 'response', 'τ']
    .map((name) => `<th style="text-align:left;padding:2px 8px">${name}</th>`)
    .join('');
  const note = '<p>Blue tokens were paid, red ones cost; the strongest colour is the largest |τ| of a token in that step.</p>';
  return rows.length ? `${note}<table><thead><tr>${head}</tr></thead><tbody>${body.join('')}</tbody></table>` : '';
}

const rowsOf = (rows: readonly (readonly string[])[]): string => {
  const cell = (text: string) => `<td style="text-align:left;padding:0 8px"><div align="left">${escapeHtml(text)}</div></td>`;
  return `<table><tbody>${rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`).join('')}</tbody></table>`;
};

/** Names and values, one a line. */
function listOf(rows: readonly (readonly string[])[]): string {
  if (!rows.length) return '';
  const width = Math.max(0, ...rows.map(([name]) => name.length));
  return `<pre>${escapeHtml(rows.map(([name, ...rest]) => [name.padEnd(width), ...rest].join('  ').trimEnd()).join('\n'))}</pre>`;
}

/** Keys that differ from the experiment's defaults first, with these. */
function configuration(config: Readonly<Record<string, unknown>>): string {
  const own = EXPERIMENTS[String(config.experiment)] ?? { keys: promptedKeys, defaults: {} };
  const keys: Keys = own.keys;
  const values = defaultsOf(keys, own.defaults);
  const defaults = new Map(Object.keys(config).map((key) => [key, values[key] ?? config[keys[key]?.sameAs ?? '']]));
  const rows = Object.entries(config).filter(([key]) => key !== 'experiment');
  const isChanged = ([key, value]: [string, unknown]): boolean => JSON.stringify(defaults.get(key)) !== JSON.stringify(value);
  const usual = (key: string): string => (defaults.get(key) === undefined ? '' : `(default ${String(defaults.get(key))})`);
  const changed = rows.filter(isChanged).map(([key, value]) => [key, String(value), usual(key)]);
  const same = rows.filter((row) => !isChanged(row)).map(([key, value]) => [key, String(value)]);
  return `${listOf(changed)}<details><summary>${same.length} keys at their defaults</summary>${listOf(same)}</details>`;
}
