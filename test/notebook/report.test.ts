import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { run as dpgReport } from '../../src/cli/report';
import { sixtySeven } from '../../src/experiments/sixtySeven';
import { creditHtml } from '../../src/notebook/creditText';
import { reportPage } from '../../src/notebook/report';
import { newRun, record } from '../../src/runs/record';
import { disposeTrainer } from '../../src/dpg/train';
import { saveTinyModels, TINY_CONFIG } from '../support/tinyModels';
import { HOSTILE } from './hostile';

let place: string;
let folder: string;
beforeAll(async () => {
  vi.stubEnv('DPG_BACKEND', 'wasm');
  place = fs.mkdtempSync(join(tmpdir(), 'report-'));
  folder = join(place, 'run');
  const experiment = await sixtySeven({ ...TINY_CONFIG, steps: 2, strength: 7 }, await saveTinyModels(place));
  const run = newRun(experiment, folder);
  for await (const { row } of record(experiment, run)) expect(row.step).toBeLessThan(3);
  run.folder.close();
  disposeTrainer(run.state);
}, 120_000);
afterAll(() => fs.rmSync(place, { recursive: true }));

interface Row {
  readonly response: string;
  readonly reward: number;
  readonly tokens: string[];
  readonly token_rewards: (number | null)[];
}
const examples = (): Row[] =>
  fs.readFileSync(join(folder, 'examples.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line) as Row); // prettier-ignore

test('a recorded text has its tokens, whose τ add up to that of the text', () => {
  expect(examples().length).toBeGreaterThan(0);
  for (const { response, reward, tokens, token_rewards: tau } of examples()) {
    expect(tokens.join('')).toBe(response);
    expect(tau).toHaveLength(tokens.length);
    expect(tau.some((each) => each)).toBe(true);
    const sum = tau.reduce<number>((total, each) => total + (each ?? 0), 0);
    expect(Math.abs(sum - reward)).toBeLessThan(1e-5 * tau.reduce<number>((total, each) => total + Math.abs(each ?? 0), 0));
  }
});

describe('a report', () => {
  test('of an own target knows the defaults of the keys that it shares with others, and claims none of its own', () => {
    const own = join(place, 'own');
    fs.cpSync(folder, own, { recursive: true });
    const file = join(own, 'config.json');
    const record = JSON.parse(fs.readFileSync(file, 'utf8')) as { config: Record<string, unknown> };
    const { strength: _, strengthEnd: __, patchTokens: ___, ...shared } = record.config;
    const config = { ...shared, experiment: 'mine', promptStyle: 'auto', promptsFile: '', klCoef: 0.7, width: 5 };
    fs.writeFileSync(file, JSON.stringify({ ...record, config }));
    const [changed, same] = reportPage(own).split('<details>');
    expect(changed).toMatch(/^klCoef +0\.7 {2}\(default 0\)$/m);
    expect(changed).toMatch(/^width +5(<|$)/m);
    expect(changed).not.toMatch(/undefined|^prompt(Style|sFile)/m);
    expect(same).toMatch(/^promptStyle +auto$/m);
  });

  test('is one file that asks nothing of a network, with every part of the run', async () => {
    const file = join(place, 'sub/report.html');
    vi.spyOn(console, 'log').mockImplementation(() => {});
    expect(await dpgReport([folder, '-o', file])).toBe(0);
    const html = fs.readFileSync(file, 'utf8');
    expect(html).not.toMatch(/<script|<link|https?:|url\(/);
    const [, ...sections] = html.split('<h4>').map((part) => part.split('</h4>')[0]);
    expect(sections).toEqual(['Curves', 'What was written, and what each token was paid', 'Configuration', 'Environment']);
    expect(html.match(/<img [^>]*alt="[^"]+" src="data:image\/svg\+xml;base64,[^"]+">/g)).toHaveLength(6);
    const [changed, same] = html.split('<details>');
    expect(changed).toMatch(/^strength +7 {2}\(default 6000\)/m);
    expect(same).not.toMatch(/^strength /m);
    expect(same).toMatch(/^strengthEnd +\d/m);
  });

  test('shows the held-out texts before and after training', () => {
    const copy = join(place, 'summarized');
    fs.cpSync(folder, copy, { recursive: true });
    const examples = [{ prompt: 'a prompt', untrained: 'early', response: 'late' }];
    const summary = { experiment: 'sixty-seven', seed: 0, steps: 2, seconds: 1, held_out: { phi: -1 }, examples };
    fs.writeFileSync(join(copy, 'summary.json'), JSON.stringify(summary));
    expect(reportPage(copy)).toMatch(/before<.*after<.*a prompt<.*early<.*late</);
  });

  test.each(HOSTILE)('has no markup of %j', (text) => {
    const copy = join(place, 'hostile');
    fs.cpSync(folder, copy, { recursive: true });
    const write = (prompt: string, tokens: string[]) => {
      const row = { step: 1, prompt, response: tokens.join(''), reward: 1, tokens, token_rewards: tokens.map(() => 1) };
      fs.writeFileSync(join(copy, 'examples.jsonl'), `${JSON.stringify(row)}\n`);
      return reportPage(copy).match(/<[^>]*>/g);
    };
    expect(write(text, [text, text])).toEqual(write('plain', ['a', 'b']));
  });
});

test('tokens are blue where they were paid, red where they cost, by how much', () => {
  const html = creditHtml(['a', 'b', 'c', 'd', ''], [null, 2, -2, 0, 1], 2);
  expect(html).toMatch(/^<span[^>]*>a<span/);
  const colors = [...html.matchAll(/rgb\((\d+),(\d+),(\d+)\).*?title="τ ([^"]+)">([^<]*)</g)].map((match) => match.slice(1));
  const [paid, cost, none, half] = colors.map(([red, , blue]) => Number(blue) - Number(red));
  expect(colors.map(([, , , tau, token]) => `${token} ${tau}`)).toEqual(['b 2.00', 'c -2.00', 'd 0.00', '∎ 1.00']);
  expect(paid).toBeGreaterThan(half);
  expect(half).toBeGreaterThan(none);
  expect(none).toBe(0);
  expect(cost).toBeLessThan(-50);
});
