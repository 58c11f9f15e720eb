import { spawnSync } from 'node:child_process';
import { beforeAll, expect, test } from 'vitest';
import { build, ROOT } from '../cli/dpg';

beforeAll(build, 120_000);

/** Modules of mathjs in memory once danfojs-node is, and statistics of a column by it. */
function statistics(first: string): { modules: number; numbers: unknown } {
  const script = `${first}
const { Series } = require('danfojs-node');
const numbers = new Series([1, 2, 2, 7]);
const modules = Object.values(require.cache).filter(({ filename }) => filename.includes('node_modules/mathjs/')).length;
console.log(JSON.stringify({ modules, numbers: [numbers.std(), numbers.var(), numbers.median(), numbers.mode()] }));`;
  const { stdout } = spawnSync(process.execPath, ['-e', script], { cwd: ROOT, encoding: 'utf8' });
  return JSON.parse(stdout) as ReturnType<typeof statistics>;
}

test('danfojs-node takes mathjs as one file and its stand-in, with the same results', () => {
  const [many, one] = [statistics(''), statistics("require('./dist');")];
  expect(one).toEqual({ modules: 2, numbers: many.numbers });
  expect(many.modules).toBeGreaterThan(100);
});
