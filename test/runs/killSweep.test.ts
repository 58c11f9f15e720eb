import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { latestCheckpoint } from '../../src/runs/savedState';
import { childEnvironment, compile } from '../fixtures/compile';

/** `DPG_KILL_SWEEP=all` kills at every call, which takes minutes; otherwise at some that are spread over the run. */
const SAMPLE = process.env.DPG_KILL_SWEEP === 'all' ? Infinity : 20;
const LAST_STEP = 7;

let place: string;
let script: string;
beforeAll(() => {
  place = fs.mkdtempSync(join(tmpdir(), 'sweep-'));
  script = compile('test/fixtures/endlessRun.ts', join(place, 'compiled'));
});
afterAll(() => fs.rmSync(place, { recursive: true, force: true }));

/** Runs to the end or to the call at which it is killed; returns the number of calls of a run that was not. */
async function run(folder: string, at = 0, torn = ''): Promise<number> {
  const env = { ...childEnvironment, DPG_KILL_AT: String(at), DPG_KILL_FOLDER: folder, DPG_KILL_TORN: torn };
  const preload = join(__dirname, '../fixtures/killAtCall.cjs');
  const child = spawn(process.execPath, ['--require', preload, script, folder, String(LAST_STEP)], { env });
  let [output, errors] = ['', ''];
  child.stdout.on('data', (text) => (output += text));
  child.stderr.on('data', (text) => (errors += text));
  const ending = await once(child, 'close');
  expect({ ending, errors }).toEqual({ ending: at ? [null, 'SIGKILL'] : [0, null], errors: '' });
  return Number(/calls (\d+)/.exec(output)?.[1]);
}

/** All that a run left: rows, summary, names of files, the newest checkpoint. */
function left(folder: string) {
  const text = (name: string): string => fs.readFileSync(join(folder, name), 'utf8');
  return {
    files: (fs.readdirSync(folder, { recursive: true }) as string[]).sort(),
    rows: ['metrics.jsonl', 'examples.jsonl', 'config.json', 'summary.json'].map(text),
    checkpoint: latestCheckpoint(join(folder, 'checkpoints')),
  };
}

it('a run that is killed at any file-system call and started again leaves what one that was not does', { timeout: 3_600_000 }, async () => {
  const whole = join(place, 'whole');
  const calls = await run(whole);
  expect(calls).toBeGreaterThan(200);
  const expected = left(whole);
  const points = Math.min(SAMPLE, calls);
  const chosen = Array.from({ length: points }, (_, i) => 1 + Math.floor((i * (calls - 1)) / Math.max(1, points - 1)));
  for (const at of chosen) {
    for (const torn of SAMPLE === Infinity ? ['', 'torn'] : [at % 2 ? 'torn' : '']) {
      const folder = join(place, `killed-${at}${torn}`);
      await run(folder, at, torn);
      await run(folder);
      expect(left(folder), `killed at call ${at} of ${calls} ${torn}`).toEqual(expected);
      fs.rmSync(folder, { recursive: true });
    }
  }
  console.log(`killed at ${chosen.length} of ${calls} file-system calls`);
});
