/** The README's TypeScript, run as one program in a folder of its own: what people copy first has to work. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import ts from 'typescript';
import { beforeAll, expect, test } from 'vitest';
import { build, ROOT } from './cli/dpg';

beforeAll(build, 120_000);

/** The blocks of TypeScript in a Markdown file, in order. */
const blocksOf = (file: string): string[] =>
  [...fs.readFileSync(path.join(ROOT, file), 'utf8').matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code]) => code);

/** The code as a CommonJS program: imports are loaded from the project, and what is awaited at the top is awaited. */
function program(code: string): string {
  const body = code.replace(/^import \* as (\w+) from '([^']+)';$/gm, (_, name: string, from: string) => {
    const file = from.startsWith('.') ? path.join(ROOT, 'notebooks', from) : path.join(ROOT, 'node_modules', from);
    return `const ${name} = require(${JSON.stringify(file)});`;
  });
  return ts.transpile(`(async () => {\n${body}\n})();`, { target: ts.ScriptTarget.ES2022 });
}

test('runs to its end, trains the target that it shows, and leaves a run', () => {
  const blocks = blocksOf('README.md');
  expect(blocks.length).toBeGreaterThan(1);
  const cwd = fs.mkdtempSync(path.join(os.tmpdir(), 'dpg-readme-'));
  fs.writeFileSync(path.join(cwd, 'readme.cjs'), program(blocks.join('\n')));
  const { status, stdout, stderr } = spawnSync(process.execPath, ['readme.cjs'], { cwd, encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  const phis = stdout.split('\n').map(Number).filter((phi) => phi < -11 && phi > -13); // prettier-ignore
  expect(phis).toHaveLength(2); // minus the norm of the head, not the Φ of a built-in experiment
  const runs = path.join(ROOT, 'runs');
  const recorded = fs.readdirSync(runs).filter((name) => name.includes('small-head'));
  expect(recorded.length).toBeGreaterThan(0);
  for (const name of recorded) fs.rmSync(path.join(runs, name), { recursive: true });
  fs.rmSync(cwd, { recursive: true });
}, 120_000);

test('notebooks have their code in cells, where it is executed, none in their texts', () => {
  const folder = path.join(ROOT, 'notebooks');
  const notebooks = fs.readdirSync(folder).filter((name) => name.endsWith('.ipynb'));
  expect(notebooks.length).toBeGreaterThan(4);
  for (const name of notebooks) {
    const { cells } = JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8')) as {
      cells: { cell_type: string; source: string[] | string }[];
    };
    for (const { cell_type, source } of cells)
      if (cell_type === 'markdown') expect([source].flat().join(''), name).not.toContain('```');
  }
});
