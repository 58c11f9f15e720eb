// Speed and memory of both engines, beside PyTorch on the same weights where a python3 has it. Every contestant is a process of its own
// that does one piece of work a line; results are compared first; then every contestant takes one turn a round, so that a busy machine
// slows all alike. Prints one table: median milliseconds, with the middle half of the rounds in brackets.
//
// usage: node test/bench/bench.mjs [--rounds 9] [--size small|mid|all] [--steps 8] [--python /usr/bin/python3] [--cpu]
//   --steps   T of the whole metagradient
//   --cpu     CPU time of all threads instead of wall-clock time, for machines that are busy with other things
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const { parameterLayout } = require('../../dist/model/fused/layout.js');
const { gpt2Shapes } = require('../../dist/model/families/gpt2.js');

const options = {
  rounds: { type: 'string', default: '9' },
  size: { type: 'string', default: 'all' },
  steps: { type: 'string', default: '8' },
  python: { type: 'string' },
  cpu: { type: 'boolean', default: false },
};
const args = parseArgs({ options }).values;
const clock = args.cpu ? 'cpu' : 'seconds';

const batch = { size: 128, length: 32 };
const common = { vocab_size: 512, n_positions: 32, n_head: 4, layer_norm_epsilon: 1e-5 };
const configs = { small: { ...common, n_embd: 64, n_layer: 2 }, mid: { ...common, n_embd: 128, n_layer: 4 } };

const work = [
  { command: 'gradient', what: '(a) forward + backward' },
  { command: 'hvp', what: '(b) Hessian-vector product and all τ' },
  { command: 'tangents', what: 'all τ alone' },
  { command: 'metagradient', what: `(c) whole metagradient, T = ${args.steps}` },
  { command: 'sample', what: '(d) sampling, tokens/s' },
];
const grpo = { command: 'grpo', what: '(e) one GRPO step of "67"' };

/** Random weights, a direction, and the examples of all steps, as files for the contestants. */
function problem(config, folder) {
  let seed = 1;
  const uniform = () => (seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff) / 2 ** 31; // random enough for a benchmark
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  const layout = parameterLayout(gpt2Shapes(config));
  const values = (center) => {
    const flat = new Float32Array(layout.length);
    for (const { name, offset, size } of layout.slots) {
      const middle = /ln_\w+\.weight$/.test(name) ? center : 0;
      for (let i = 0; i < size; i++) flat[offset + i] = middle + 0.08 * normal();
    }
    return flat;
  };
  const steps = Number(args.steps);
  const ids = Int32Array.from({ length: steps * batch.size * (batch.length + 1) }, () =>
    Math.floor(uniform() * config.vocab_size),
  );
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify({ ...config, ...batch, steps, slots: layout.slots }));
  writeFileSync(path.join(folder, 'params.f32'), values(1));
  writeFileSync(path.join(folder, 'tangent.f32'), values(0));
  writeFileSync(path.join(folder, 'ids.i32'), ids);
}

/** A process that reads a command a line and answers each with a line of JSON; its results lie in `results`. */
function contestant(name, folder, program, ...own) {
  const results = path.join(folder, name.replace(/\W+/g, '-'));
  mkdirSync(results);
  const child = spawn(program, [...own.slice(0, 1), folder, results, ...own.slice(1)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    name,
    async ask(command) {
      child.stdin.write(`${command}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error(`${name} ended during ${command} (${child.signalCode ?? child.exitCode})`);
      return JSON.parse(value);
    },
    result: (kind) => new Float32Array(new Uint8Array(readFileSync(path.join(results, `${kind}.f32`))).buffer),
    close: () => child.stdin.end(),
  };
}

const withTorch = (args.python ? [args.python] : ['python3', '/usr/bin/python3']).find(
  (python) => spawnSync(python, ['-c', 'import torch']).status === 0,
);

function contestants(folder) {
  const engine = (name, ...own) => contestant(name, folder, process.execPath, path.join(here, 'engine_peer.mjs'), ...own);
  const torch = (name, threads) => contestant(name, folder, withTorch, path.join(here, 'torch_peer.py'), threads);
  return [
    engine('fused, 1 worker', 'fused', '1'),
    engine('fused, 2 workers', 'fused', '2'),
    engine('tape', 'tape', '1'),
    ...(withTorch ? [torch('PyTorch, 1 thread', '1'), torch('PyTorch, 2 threads', '2')] : []),
  ];
}

function relativeError(actual, expected) {
  const square = (values) => values.reduce((sum, x) => sum + x * x, 0);
  return Math.sqrt(square(expected.map((x, i) => actual[i] - x)) / square(expected));
}

/** All must find the same gradient, Hessian-vector product and token tangents. */
async function compare([first, ...others]) {
  for (const command of ['gradient', 'hvp']) for (const each of [first, ...others]) await each.ask(command);
  for (const other of others) {
    const errors = ['gradient', 'hvp', 'tangents'].map((kind) => relativeError(other.result(kind), first.result(kind)));
    if (!errors.every((error) => error < 1e-4)) throw new Error(`${other.name} differs from ${first.name}: ${errors.join(', ')}`);
    console.log(`${other.name}: gradient, product and τ differ by ${Math.max(...errors).toExponential(1)} at most`);
  }
}

const quantile = (values, q) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(q * values.length))];

/** One row of the table: every contestant's times for one command, in turn; '' for those that do not know it. */
async function measure({ command, what }, all) {
  const known = [];
  const times = all.map(() => []);
  let [slowest, tokens] = [0, 0];
  for (const [i, each] of all.entries()) {
    for (let warmUp = 0; warmUp < 2; warmUp++) {
      const answer = await each.ask(command);
      known[i] = answer.seconds !== undefined;
      if (known[i]) [slowest, tokens] = [Math.max(slowest, answer.seconds), answer.tokens];
      if (!known[i] || answer.seconds > 2) break;
    }
  }
  const rounds = slowest > 2 ? Math.min(3, Number(args.rounds)) : Number(args.rounds);
  for (let round = 0; round < rounds; round++)
    for (const [i, each] of all.entries()) if (known[i]) times[i].push((await each.ask(command))[clock]);
  const shown = (seconds) => (tokens ? Math.round(tokens / seconds) : (1000 * seconds).toPrecision(3));
  const cell = (own) =>
    own.length ? `${shown(quantile(own, 0.5))} (${shown(quantile(own, 0.25))}–${shown(quantile(own, 0.75))})` : '';
  return [what, ...times.map(cell)];
}

async function memory(all) {
  const answers = await Promise.all(all.map((each) => each.ask('memory')));
  const megabytes = (bytes) => (bytes ? String(Math.round(bytes / 1e6)) : '');
  return [
    ['WebAssembly heap, MB', ...answers.map(({ heap }) => megabytes(heap))],
    ['resident set at its peak, MB', ...answers.map(({ rss }) => megabytes(rss))],
  ];
}

async function bench(name) {
  const folder = mkdtempSync(path.join(tmpdir(), 'dpg-bench-'));
  problem(configs[name], folder);
  const all = contestants(folder);
  try {
    await compare(all);
    const rows = [];
    for (const each of name === 'small' ? [...work, grpo] : work) rows.push(await measure(each, all));
    const { n_embd, n_layer } = configs[name];
    const title = `**${name}**: d = ${n_embd}, ${n_layer} layers`;
    return { header: all.map((each) => each.name), rows: [[title, ...all.map(() => '')], ...rows, ...(await memory(all))] };
  } finally {
    all.forEach((each) => each.close());
    rmSync(folder, { recursive: true });
  }
}

if (!withTorch) console.log('no python3 with PyTorch here');
const tables = [];
for (const name of args.size === 'all' ? Object.keys(configs) : [args.size]) tables.push(await bench(name));
const line = (cells) => `| ${cells.join(' | ')} |`;
console.log(
  `\nbatch ${batch.size} × ${batch.length}, vocabulary ${common.vocab_size}; ${args.cpu ? 'CPU' : 'wall-clock'} milliseconds\n`,
);
console.log([line(['', ...tables[0].header]), line(['---', ...tables[0].header.map(() => '---')])].join('\n'));
for (const { rows } of tables) console.log(rows.map(line).join('\n'));
