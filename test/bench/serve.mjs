// Small data sets at 200 requests a second: whether `dpg serve` queues them without loss, and how long they take. Needs `npm run build`.
// Usage: node test/bench/serve.mjs [SECONDS]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const RATE = 200;
const seconds = Number(process.argv[2] ?? 5);
const total = RATE * seconds;
const main = path.resolve(import.meta.dirname, '../../dist/cli/main.js');
const sizes = ['--prompts=2', '--group-size=2', '--max-new-tokens=8', `--steps=${total}`, '--workers=1'];
const server = spawn(process.execPath, [main, 'serve', 'l2-norm', '--port=0', ...sizes], {
  stdio: ['ignore', 'pipe', 'inherit'],
});
const [line] = await once(server.stdout, 'data');
const [url] = /http:\S+/.exec(line);

const body = JSON.stringify({ rank: 0, count: 1, texts: ['a river', 'the old town', 'of stone', 'in the north'] });
const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body };
const started = performance.now();
const send = async (step) => {
  await sleep((step * 1000) / RATE);
  const sent = performance.now();
  const answer = await fetch(`${url}/v1/datasets/${step}/examples`, init);
  const { tau, error } = await answer.json();
  return { ok: answer.status === 200 && tau.length === 4, error, waited: performance.now() - sent };
};
const answers = await Promise.all(Array.from({ length: total }, (_, step) => send(step)));
const took = (performance.now() - started) / 1000;
const waited = answers.map((answer) => answer.waited).sort((a, b) => a - b);
const lost = answers.filter(({ ok }) => !ok);
const memory = (await (await fetch(`${url}/metrics`)).text()).match(/^process_resident_memory_bytes (\d+)/m)[1];
console.log(
  `${total} data sets of 4 examples at ${RATE}/s: ${total - lost.length} paid, ${lost.length} lost${lost.length ? ` (${lost[0].error})` : ''}; ` +
    `${(total / took).toFixed(0)}/s; waited ${waited[total >> 1].toFixed(0)} ms (median), ${waited.at(-1).toFixed(0)} ms (longest); ` +
    `${(Number(memory) / 2 ** 20).toFixed(0)} MiB`,
);
server.kill();
