import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { configTable, reference, run } from '../../src/cli/config';
import { EXPERIMENTS } from '../../src/experiments/experiments';
import { ROOT } from './dpg';

afterEach(() => void vi.restoreAllMocks());

const between = (text: string): string | undefined => /<!-- config -->\n\n([^]*?)\n\n<!-- \/config -->/.exec(text)?.[1];

test.each(Object.values(EXPERIMENTS))(
  'the table of $name has a row a key, with unit, range, its own default and the paper’s value',
  (definition) => {
    const [, , ...rows] = configTable(definition)
    .split('\n')
    .map((line) => line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim().replaceAll('\\|', '|'))); // prettier-ignore
    expect(rows).toEqual(
      Object.entries(definition.keys).map(([name, { description, unit = '', range, default: value, paper = '', sameAs }]) => {
        const own = (definition.defaults as Record<string, string>)[name] ?? value ?? `= ${sameAs}`;
        return [`\`${name}\``, description, unit, range, String(own), paper];
      }),
    );
  },
);

test('the reference names every key of every experiment', () => {
  const names = Object.values(EXPERIMENTS).flatMap(({ keys }) => Object.keys(keys));
  for (const name of new Set(names)) expect(reference()).toContain(`| \`${name}\``);
});

test('the reference page is current', () => {
  const shown = between(fs.readFileSync(join(ROOT, 'src/experiments/README.md'), 'utf8'));
  expect(shown, 'README.md is stale: node dist/cli/main.js config --update src/experiments/README.md').toBe(reference());
});

test('--schema prints what a configuration file may hold; an unknown experiment is named', async () => {
  const printed: string[] = [];
  vi.spyOn(console, 'log').mockImplementation((line: string) => void printed.push(line));
  expect(await run(['uuid', '--schema'])).toBe(0);
  const { title, properties } = JSON.parse(printed[0]) as { title: string; properties: Record<string, object> };
  expect([title, properties.uuid, properties.strength]).toEqual(['uuid', expect.objectContaining({ type: 'string' }), undefined]);
  await expect(run(['nothing'])).rejects.toThrow(/no experiment "nothing": take one of qr-code, .*a module of your own/);
});

test('--update replaces what is between the markers and nothing else', async () => {
  const folder = fs.mkdtempSync(join(tmpdir(), 'dpg-config-test-'));
  const file = join(folder, 'README.md');
  for (const stale of ['', 'stale\n', `\n${reference()}\n\n`]) {
    fs.writeFileSync(file, `before $&\n<!-- config -->\n${stale}<!-- /config -->\nafter\n`);
    expect(await run(['--update', file])).toBe(0);
    expect(fs.readFileSync(file, 'utf8')).toBe(`before $&\n<!-- config -->\n\n${reference()}\n\n<!-- /config -->\nafter\n`);
  }
  fs.writeFileSync(file, 'no markers');
  await expect(run(['--update', file])).rejects.toThrow(/has no lines <!-- config -->/);
  fs.rmSync(folder, { recursive: true });
});
