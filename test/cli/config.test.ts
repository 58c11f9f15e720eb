import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { configTable, run } from '../../src/cli/config';
import { configKeys } from '../../src/dpg/config';
import { ROOT } from './dpg';

const between = (text: string): string | undefined => /<!-- config -->\n\n([^]*?)\n\n<!-- \/config -->/.exec(text)?.[1];

test('the table has a row a key, with its range, default and the value of the paper', () => {
  const [, , ...rows] = configTable()
    .split('\n')
    .map((line) => line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim().replaceAll('\\|', '|'))); // prettier-ignore
  expect(rows).toEqual(
    configKeys().map(({ key, description, range, default: value, paper = '' }) => [
      `\`${key}\``,
      description,
      range,
      String(value),
      paper,
    ]),
  );
});

test('the README shows the current table', () => {
  const shown = between(fs.readFileSync(join(ROOT, 'README.md'), 'utf8'));
  expect(shown, 'README.md is stale: node dist/cli/main.js config --update README.md').toBe(configTable());
});

test('--update replaces what is between the markers and nothing else', async () => {
  const folder = fs.mkdtempSync(join(tmpdir(), 'dpg-config-test-'));
  const file = join(folder, 'README.md');
  for (const stale of ['', 'stale\n', `\n${configTable()}\n\n`]) {
    fs.writeFileSync(file, `before $&\n<!-- config -->\n${stale}<!-- /config -->\nafter\n`);
    expect(await run(['--update', file])).toBe(0);
    expect(fs.readFileSync(file, 'utf8')).toBe(`before $&\n<!-- config -->\n\n${configTable()}\n\n<!-- /config -->\nafter\n`);
  }
  fs.writeFileSync(file, 'no markers');
  await expect(run(['--update', file])).rejects.toThrow(/has no lines <!-- config -->/);
  fs.rmSync(folder, { recursive: true });
});
