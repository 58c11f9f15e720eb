// One run on two ranks of one core each against one rank alone, on "67" at the experiment's own size, and where a step's time goes. What
// two cores of this machine can do at most is measured, too, by two runs at once that share nothing: cores may be two threads of one.
// Rounds, since that changes on a machine that others use, too: the ratio counts where two runs at once are not in each other's way.
// Needs `npm run build`, two cores that do nothing else, and `pip install torch`. Usage: [PYTHON=…] node test/bench/ranks.mjs [ROUNDS] [STEPS]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const [rounds, steps] = [process.argv[2] ?? 3, process.argv[3] ?? 5].map(Number);
const root = path.resolve(import.meta.dirname, '../..');
const folder = mkdtempSync(path.join(tmpdir(), 'dpg-bench-'));
const parts = path.join(folder, 'parts');
const python = process.env.PYTHON ?? 'python3';
const alone = [process.execPath, path.join(root, 'dist/cli/main.js')];
const launch = ['-m', 'torch.distributed.run', '--nproc-per-node', '2', '--standalone'];
const together = [python, ...launch, path.join(root, 'notebooks/python/dpg_ranks.py')];

/** Seconds of a step, of the second and those after it; the first compiles. */
async function secondsOfStep([program, ...before], name, env = {}) {
  const out = path.join(folder, name);
  const argv = [...before, 'train', 'sixty-seven', `--steps=${steps + 1}`, '--workers=1', '--held-out-examples=16', '--out', out];
  const child = spawn(program, argv, { env: { ...process.env, DPG_BACKEND: 'wasm', ...env }, stdio: 'ignore' });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${[program, ...argv].join(' ')}: exit code ${code}`);
  const rows = readFileSync(path.join(out, 'metrics.jsonl'), 'utf8').trim().split('\n').slice(1);
  return rows.reduce((sum, row) => sum + JSON.parse(row).seconds, 0) / rows.length;
}

const preload = `--require=${path.join(import.meta.dirname, 'rankParts.cjs')}`;
for (let round = 0; round < rounds; round++) {
  const one = await secondsOfStep(alone, `one-${round}`);
  const twice = await Promise.all([0, 1].map((i) => secondsOfStep(alone, `at-once-${round}-${i}`)));
  const two = await secondsOfStep(together, `two-${round}`, { NODE_OPTIONS: preload, RANK_PARTS: parts });
  const most = (2 * one) / ((twice[0] + twice[1]) / 2);
  console.log(
    `"67", seconds of a step: one rank ${one.toFixed(2)}, two ranks ${two.toFixed(2)}: ${(one / two).toFixed(2)} times as fast; ` +
      `two runs at once ${twice.map((seconds) => seconds.toFixed(2)).join(' and ')}: ${most.toFixed(2)} times as much`,
  );
}
for (const rank of [0, 1]) {
  const { parts: measured, bytes } = JSON.parse(readFileSync(`${parts}-${rank}`, 'utf8'));
  const texts = Object.entries(measured).map(([part, { calls, seconds }]) => `${part} ${seconds.toFixed(2)} (${calls})`);
  console.log(
    `rank ${rank}, seconds and calls of all ${steps + 1} steps: ${texts.join(', ')}; ${(bytes / 1e6).toFixed(0)} MB summed`,
  );
}
rmSync(folder, { recursive: true });
