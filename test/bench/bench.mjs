// Speed and memory of the engines, on CPUs and on a GPU, beside PyTorch and JAX on the same weights where a python3 has them. Every
// contestant is a process of its own that does one piece of work a line; results are compared first; then every contestant takes one turn
// a round, so that a busy machine slows all alike. A row is printed as soon as it has been measured: median milliseconds, with the middle
// half of the rounds in brackets.
//
// usage: npm run bench -- [--only small,mid,gpt2,smollm2,llama-1b] [--gpu] [--profile] [--rounds 9] [--steps 8] [--python PROGRAM] [--cpu]
//   --gpu      the GPU alone, with its bare products and the cost of a call; a software GPU too. Without it the GPU is a column, if there is one
//   --profile  what every kernel takes on the GPU, by its own time stamps
//   --steps    T of the whole metagradient of the small shapes; that of the large ones is of one step
//   --cpu      CPU time of all threads instead of wall-clock time, for machines that are busy with other things
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gpuHere, onCpus, onGpu, pythonWith } from './contestants.mjs';
import { layoutOf, shapes, writeProblem } from './shapes.mjs';

const require = createRequire(import.meta.url);
const { metagradientTrees } = require('../../dist/dpg/memory.js');

const options = {
  only: { type: 'string', default: Object.keys(shapes).join() },
  gpu: { type: 'boolean', default: false },
  profile: { type: 'boolean', default: false },
  rounds: { type: 'string', default: '9' },
  steps: { type: 'string', default: '8' },
  python: { type: 'string' },
  cpu: { type: 'boolean', default: false },
};
const args = parseArgs({ options }).values;
const clock = args.cpu ? 'cpu' : 'seconds';
const names = args.only.split(',');
const unknown = names.find((name) => !Object.hasOwn(shapes, name));
if (unknown !== undefined) {
  console.error(`--only takes some of ${Object.keys(shapes).join(', ')}, with commas between them (got "${unknown}")`);
  process.exit(2);
}

/** What is measured, with the number of trees (arrays as large as all parameters) that it holds at once. */
const work = (steps) => [
  { command: 'gradient', what: 'gradient', trees: 3 },
  { command: 'hvp', what: 'Hessian-vector product and all τ (PyTorch: reverse over reverse)', trees: 4 },
  { command: 'jvp', what: 'the same, forward over reverse (torch.func, jax)', trees: 4 },
  { command: 'tangents', what: 'all τ alone', trees: 3 },
  {
    command: 'metagradient',
    what: `whole metagradient, T = ${steps}`,
    trees: 2 + metagradientTrees({ innerOptimizer: 'adamw', innerMomentum: 0, innerSteps: steps, reward: 'metagradient' }),
  },
  { command: 'sample', what: 'sampling, tokens/s', trees: 2 },
];
const grpo = { command: 'grpo', what: 'one GRPO step of "67"', trees: 0 };

function relativeError(actual, expected) {
  let [difference, square] = [0, 0];
  expected.forEach((x, i) => ((difference += (actual[i] - x) ** 2), (square += x * x)));
  return Math.sqrt(difference / square);
}

/** All must find the same gradient, Hessian-vector product and token tangents. */
async function compare(all) {
  const first = all[0];
  for (const command of ['gradient', 'hvp']) for (const each of all) await each.ask(command);
  for (const other of all.slice(1)) {
    const kinds = ['gradient', 'hvp', 'tangents'];
    const errors = kinds.map((kind) => relativeError(other.result(kind), first.result(kind)));
    if (!errors.every((error) => error < 1e-4)) throw new Error(`${other.name} differs from ${first.name}: ${errors.join(', ')}`);
    console.log(
      `${other.name}: gradient, product and τ differ by ${Math.max(...errors).toExponential(1)} at most from ${first.name}`,
    );
  }
}

const quantile = (values, q) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(q * values.length))];

/** One row: every contestant's times for one command, in turn; '' for those that do not know it. */
async function measure({ command, what }, all) {
  const [known, times] = [[], all.map(() => [])];
  let [slowest, tokens] = [0, 0];
  for (const [i, each] of all.entries()) {
    for (let warmUp = 0; warmUp < 2; warmUp++) {
      const answer = await each.ask(command);
      known[i] = answer.seconds !== undefined;
      if (known[i]) [slowest, tokens] = [Math.max(slowest, answer.seconds), answer.tokens];
      if (!known[i] || answer.seconds > 2) break;
    }
  }
  const rounds = Math.min(Number(args.rounds), slowest > 30 ? 1 : slowest > 2 ? 3 : Infinity);
  for (let round = 0; round < rounds; round++)
    for (const [i, each] of all.entries()) if (known[i]) times[i].push((await each.ask(command))[clock]);
  const shown = (seconds) => (tokens ? Math.round(tokens / seconds) : Number((1000 * seconds).toPrecision(3)));
  const range = (own) => (own.length > 1 ? ` (${shown(quantile(own, 0.25))}–${shown(quantile(own, 0.75))})` : '');
  return [what, ...times.map((own) => (own.length ? `${shown(quantile(own, 0.5))}${range(own)}` : ''))];
}

const line = (cells) => console.log(`| ${cells.join(' | ')} |`);

async function memory(all) {
  const answers = [];
  for (const each of all) answers.push(await each.ask('memory'));
  const row = (what, key) => [what, ...answers.map((answer) => (answer[key] ? String(Math.round(answer[key] / 1e6)) : ''))];
  if (answers.some(({ heap }) => heap)) line(row('WebAssembly heaps, MB', 'heap'));
  if (answers.some(({ gpu }) => gpu)) line(row('memory of the GPU at its peak, MB', 'gpu'));
  line(row('resident set at its peak, MB', 'rss'));
}

const treeBytes = ({ config }) => 4 * layoutOf(config).length;

/** Why a shape is too large for the CPU contestants, who run side by side, if it is. */
function tooLarge(shape) {
  const bytes = treeBytes(shape);
  if (3 * bytes > 2 ** 32) return "three trees of its size do not fit into a worker's heap of 4.3 GB";
  const need = 12 * bytes;
  return shape.large && need > os.freemem()
    ? `it needs about ${(need / 1e9).toFixed(0)} GB, and ${(os.freemem() / 1e9).toFixed(0)} are free`
    : '';
}

/** The GPU's time by kernel, of every piece of work. */
async function profile(gpu, pieces) {
  for (const { command, what } of pieces) {
    const { kernels } = await gpu.ask(`profile ${command}`);
    if (!kernels?.length) continue;
    console.log(`\n${what}, by kernel: ${kernels.reduce((sum, { calls }) => sum + calls, 0)} calls`);
    for (const { name, calls, seconds, flops, bytes } of kernels) {
      const rate = flops ? `  ${(flops / seconds / 1e9).toFixed(0).padStart(6)} GFLOP/s` : '';
      const flow = bytes ? `  ${(bytes / seconds / 1e9).toFixed(1).padStart(7)} GB/s` : '';
      console.log(
        `  ${name.padEnd(40)} ${String(calls).padStart(5)} × ${(1e3 * seconds).toFixed(3).padStart(9)} ms${rate}${flow}`,
      );
    }
  }
}

async function bench(name, here) {
  const shape = shapes[name];
  const why = args.gpu ? '' : tooLarge(shape);
  if (why) console.log(`\n${name} is left out on the CPU: ${why}`);
  if (!here.gpu && why) return;
  const folder = mkdtempSync(path.join(os.tmpdir(), 'dpg-bench-'));
  const steps = shape.large ? 1 : Number(args.steps);
  const all = [];
  try {
    writeProblem(folder, shape, steps);
    if (!args.gpu && !why)
      all.push(...onCpus(folder, { large: shape.large, cores: os.availableParallelism(), ...here.cpuPeers }));
    if (here.gpu) all.push(...onGpu(folder, here.gpuPeers));
    const { size, length, config } = shape;
    const parameters = `${(treeBytes(shape) / 4e6).toPrecision(3)} M parameters`;
    console.log(
      `\n${name}: d = ${config.n_embd}, ${config.n_layer} layers, ${parameters}; batch ${size} × ${length}, vocabulary ${config.vocab_size}`,
    );
    await compare(all);
    line([`**${name}**, ${args.cpu ? 'CPU' : 'wall-clock'} ms`, ...all.map((each) => each.name)]);
    line(['---', ...all.map(() => '---')]);
    const pieces = [...work(steps), ...(name === 'small' && !args.gpu ? [grpo] : [])];
    for (const piece of pieces) {
      const need = piece.trees * treeBytes(shape);
      if (!args.gpu && shape.large && need > os.freemem())
        line([piece.what, `needs ${(need / 1e9).toFixed(0)} GB`, ...all.slice(1).map(() => '')]);
      else line(await measure(piece, all));
    }
    await memory(all);
    const gpu = all.find((each) => each.name === 'fused on the GPU');
    if (args.profile && gpu) await profile(gpu, pieces);
  } finally {
    all.forEach((each) => each.close());
    rmSync(folder, { recursive: true });
  }
}

const pythons = args.python ? [args.python] : ['python3', '/usr/bin/python3'];
const here = {
  gpu: gpuHere(args.gpu),
  cpuPeers: { torch: pythonWith(pythons, 'import torch'), jax: pythonWith(pythons, 'import jax') },
  gpuPeers: {
    torch: pythonWith(pythons, 'import torch; assert torch.cuda.is_available()'),
    jax: pythonWith(pythons, "import jax; assert jax.default_backend() == 'gpu'"),
  },
};
const peers = here[args.gpu ? 'gpuPeers' : 'cpuPeers'];
for (const [peer, title] of Object.entries({ torch: 'PyTorch', jax: 'JAX' }))
  if (!peers[peer]) console.log(`no python3 with ${title}${args.gpu ? ' for the GPU' : ''} here`);
if (args.gpu && !here.gpu) {
  console.error('WebGPU finds no GPU here: npx dpg doctor says what is missing');
  process.exit(1);
}
if (args.gpu)
  spawnSync(process.execPath, [path.join(path.dirname(fileURLToPath(import.meta.url)), 'gpu.mjs')], { stdio: 'inherit' });
for (const name of names) await bench(name, here);
