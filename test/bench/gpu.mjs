// The GPU that WebGPU finds, by itself: bare products and the overhead of a call; `npm run bench -- --gpu` begins with it.
//
// usage: node test/bench/gpu.mjs [--rounds 5]
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

const require = createRequire(import.meta.url);
const { startBackend } = require('../../dist/tensor/backend.js');
const { gpuTensors } = require('../../dist/tensor/gpuTensors.js');
const { gpuKernels } = require('../../dist/tensor/kernels/webgpu/kernels.js');
const { runningGpu } = require('../../dist/tensor/webgpu.js');

const { values: args } = parseArgs({ options: { rounds: { type: 'string', default: '5' } } });

process.env.DPG_BACKEND = 'webgpu';
await startBackend();
const { recorder } = gpuTensors();
console.log(`${runningGpu().name}${runningGpu().software ? ', in software' : ''}`);

const quantile = (values, q) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(q * values.length))];

/** Milliseconds of every round after one to warm up. */
async function times(run) {
  const all = [];
  for (let round = 0; round <= Number(args.rounds); round++) {
    const from = performance.now();
    await run();
    all.push(performance.now() - from);
  }
  return { first: all[0], rest: all.slice(1) };
}

async function row(what, run, note = () => '') {
  const before = { ...recorder.counts };
  const { first, rest } = await times(run);
  const calls = (recorder.counts.dispatches - before.dispatches) / (1 + rest.length);
  const range = `${quantile(rest, 0.5).toFixed(2)} ms (${quantile(rest, 0.25).toFixed(2)}–${quantile(rest, 0.75).toFixed(2)})`;
  console.log(`${what}: ${range}, the first ${first.toFixed(0)}; ${Math.round(calls)} dispatches${note(quantile(rest, 0.5))}`);
}

/** Reads one number, so that all before it is done. */
async function settled(record, at) {
  record();
  recorder.memory.read(at, 1, () => undefined);
  await recorder.finish();
}

/** Rows, columns, depth, and whether an operand is transposed: those of GPT-2's layers and head, and one that fills the GPU. */
const PRODUCTS = [
  [4096, 4096, 4096, false, false],
  [1024, 2304, 768, false, false],
  [1024, 768, 768, false, false],
  [1024, 768, 3072, false, true],
  [768, 3072, 1024, true, false],
  [256, 50257, 768, false, true],
  [256, 768, 50257, false, false],
  [50257, 768, 256, true, false],
];

async function products() {
  const k = gpuKernels(recorder);
  for (const [m, n, depth, aT, bT] of PRODUCTS) {
    const mark = recorder.memory.arena.mark();
    const [a, b, c] = [m * depth, depth * n, m * n].map((count) => recorder.memory.arena.floats(count));
    const repeats = Math.max(1, Math.round(1e11 / (2 * m * n * depth)));
    const product = () => k.gemm(m, n, depth, a, aT ? 1 : depth, aT ? m : 1, b, bT ? 1 : n, bT ? depth : 1, c, n, 0, false);
    const all = () => settled(() => Array.from({ length: repeats }, product), c);
    const name = `product ${m} × ${n}, depth ${depth}, ${aT ? 't' : 'n'}${bT ? 't' : 'n'}, ${repeats} times`;
    await row(name, all, (ms) => `, ${((2e-9 * m * n * depth * repeats) / ms).toFixed(2)} TFLOP/s`);
    recorder.memory.arena.release(mark);
  }
  const x = recorder.memory.arena.floats(256);
  await row('1,000 calls of nearly nothing', () => settled(() => Array.from({ length: 1000 }, () => k.zero(256, x)), x));
}

if (runningGpu().software) console.log('its products would take minutes each and say nothing of a GPU: left out');
else await products();
process.exit(0); // Dawn would wait for its device
