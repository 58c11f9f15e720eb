/** `npm test`: type check, lint, then all tests; ends with a line `N passed, N failed`. Arguments go to vitest. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { runVitest } from './vitestRun.mjs';

/** Runs a program of Node's with what it prints in one piece; true where it ends well. */
async function check(name, ...args) {
  const child = spawn(process.execPath, args);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
  const [code] = await once(child, 'close');
  console.log(`${output}${name}: ${code === 0 ? 'ok' : 'FAILED'}`);
  return code === 0;
}

mkdirSync('runs', { recursive: true });
const typesAndFormat = async () => [
  await check('type check', 'node_modules/typescript/bin/tsc', '--noEmit'),
  await check('format', 'node_modules/prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '.'),
];
const checks = (await Promise.all([typesAndFormat(), check('lint', 'node_modules/eslint/bin/eslint.js', '.')])).flat();
const tests = runVitest('runs/test-report.json', process.argv.slice(2));
const passed = checks.filter(Boolean).length + tests.passed;
const failed = checks.filter((ok) => !ok).length + tests.failed;
console.log(`${passed} passed, ${failed} failed${tests.skipped ? `, ${tests.skipped} skipped` : ''}`);
process.exitCode = failed ? 1 : 0;
