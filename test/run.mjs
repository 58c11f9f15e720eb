/** `npm test`: type check, lint, then all tests; ends with a line `N passed, N failed`. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';

const REPORT = 'runs/test-report.json';
const node = (...args) => spawnSync(process.execPath, args, { stdio: 'inherit' }).status === 0;

mkdirSync('runs', { recursive: true });
rmSync(REPORT, { force: true });
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
node('node_modules/vitest/vitest.mjs', 'run', '--reporter=default', '--reporter=json', `--outputFile=${REPORT}`);
let skipped = 0;
try {
  const report = JSON.parse(readFileSync(REPORT, 'utf8'));
  passed += report.numPassedTests;
  failed += report.numFailedTests + report.numFailedTestSuites * (report.numFailedTests === 0 ? 1 : 0);
  skipped = report.numPendingTests;
} catch {
  failed++; // the runner itself broke
}
console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed ? 1 : 0;
