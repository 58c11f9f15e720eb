/** `npm test`: type check, lint, then all tests; ends with a line `N passed, N failed`. Arguments go to vitest. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { runVitest } from './vitestRun.mjs';

const node = (...args) => spawnSync(process.execPath, args, { stdio: 'inherit' }).status === 0;

mkdirSync('runs', { recursive: true });
const checks = [
  ['type check', () => node('node_modules/typescript/bin/tsc', '--noEmit')],
  ['lint', () => node('node_modules/eslint/bin/eslint.js', '.')],
  ['format', () => node('node_modules/prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '.')],
];
let [passed, failed] = [0, 0];
for (const [name, check] of checks) {
  const ok = check();
  console.log(`${name}: ${ok ? 'ok' : 'FAILED'}`);
  if (ok) passed++;
  else failed++;
}
const tests = runVitest('runs/test-report.json', process.argv.slice(2));
[passed, failed] = [passed + tests.passed, failed + tests.failed];
console.log(`${passed} passed, ${failed} failed${tests.skipped ? `, ${tests.skipped} skipped` : ''}`);
process.exitCode = failed ? 1 : 0;
