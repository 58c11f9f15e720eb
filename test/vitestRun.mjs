/** One run of vitest, counted. Its exit status counts too: errors outside of any test are in no test's result. */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';

const VITEST = 'node_modules/vitest/vitest.mjs';

/**
 * Runs vitest with further arguments.
 * @param report - where it leaves its results as JSON
 * @returns tests passed, failed and skipped; what failed without being a test's failure counts as one
 */
export function runVitest(report, args = [], stdio = 'inherit') {
  rmSync(report, { force: true });
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile=${report}`];
  const { status } = spawnSync(process.execPath, [VITEST, 'run', ...reporters, ...args], { stdio });
  const { passed, failed, skipped } = countTests(report);
  return { passed, failed: failed || (status === 0 ? 0 : 1), skipped };
}

function countTests(report) {
  try {
    const { numPassedTests, numFailedTests, numPendingTests, testResults } = JSON.parse(readFileSync(report, 'utf8'));
    const isFailed = ({ status }) => status === 'failed';
    const unloaded = testResults.filter((file) => isFailed(file) && !file.assertionResults.some(isFailed));
    return { passed: numPassedTests, failed: numFailedTests + unloaded.length, skipped: numPendingTests };
  } catch {
    return { passed: 0, failed: 1, skipped: 0 }; // vitest itself broke
  }
}
