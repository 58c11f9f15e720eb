// The fused engine on the GPU that WebGPU finds: the bare product, a call's overhead, and every operation at GPT-2's shape, each row
// printed as it is measured; `npm run bench -- --gpu` comes here.
//
// usage: node test/bench/gpu.mjs [--only small|gpt2] [--rounds 5] [--profile]
//   --profile  a table per kernel: calls, milliseconds, TFLOP/s of products, from the GPU's own time stamps
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

const require = createRequire(import.meta.url);
const { adamw } = require('../../dist/learn/optimizer.js');
const { gpuModel } = require('../../dist/model/fused/onGpu.js');
const { initializeGpt2 } = require('../../dist/model/families/gpt2.js');
const { startBackend } = require('../../dist/tensor/backend.js');
const { gpuTensors } = require('../../dist/tensor/gpuTensors.js');
const { gpuKernels } = require('../../dist/tensor/kernels/webgpu/kernels.js');
const { profiler } = require('../../dist/tensor/kernels/webgpu/profiler.js');
const { disposeParams, mapParams } = require('../../dist/tensor/params.js');
const { randomStream } = require('../../dist/tensor/random.js');
const { runningGpu } = require('../../dist/tensor/webgpu.js');

const { values: args } = parseArgs({
  options: {
    only: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    profile: { type: 'boolean', default: false },
    gpu: { type: 'boolean', default: false },
  },
});
const shapes = {
  small: { vocab_size: 512, n_positions: 64, n_embd: 64, n_layer: 2, n_head: 4, layer_norm_epsilon: 1e-5 },
  gpt2: { vocab_size: 50257, n_positions: 1024, n_embd: 768, n_layer: 12, n_head: 12, layer_norm_epsilon: 1e-5 },
};

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

async function products() {
  const k = gpuKernels(recorder);
  for (const [m, n, depth, aT, bT] of [
    ...[
      [4096, 4096, 4096, false, false],
      [1024, 2304, 768, false, false],
      [1024, 768, 768, false, false],
    ],
    ...[
      [1024, 768, 3072, false, true],
      [768, 3072, 1024, true, false],
      [256, 50257, 768, false, true],
    ],
    ...[
      [256, 768, 50257, false, false],
      [50257, 768, 256, true, false],
    ],
  ]) {
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

function batchOf(random, vocab, size, length) {
  const ids = Int32Array.from({ length: size * (length + 1) }, () => random.integer(vocab));
  return { ids, mask: new Float32Array(size * length).fill(1), size, length };
}

async function operations(name, size, length) {
  const shape = shapes[name];
  const random = randomStream(1, 'bench');
  const [params, tangent] = [initializeGpt2(shape, random), initializeGpt2(shape, random)];
  const model = gpuModel(shape);
  const batch = batchOf(random, shape.vocab_size, size, length);
  const optimizer = adamw({ learningRate: 1e-4, epsRoot: 1e-10 });
  const state = optimizer.init(params);
  const { gradient } = await model.gradient(params, batch);
  const what = (text) => `${name}, ${size} × ${length}, ${text}`;
  const first = (tree) => tree[Object.keys(tree)[0]].dataSync();
  const work = {
    'log-probabilities': () => model.logProbs(params, batch),
    gradient: async () => disposeParams((await model.gradient(params, batch)).gradient),
    'all τ alone': () => model.hessianVectorProduct(params, batch, tangent, { product: false }),
    'Hessian-vector product and all τ': async () =>
      disposeParams((await model.hessianVectorProduct(params, batch, tangent)).product),
    'adamw update': () => {
      const after = optimizer.update(state, gradient);
      first(after.moments.v);
      disposeParams(after.params, ...Object.values(after.moments));
    },
    'adamw adjoint': () => {
      const { gradient: bar, before } = optimizer.adjoint(state, { ...state, step: 1 }, gradient, state);
      first(bar);
      disposeParams(bar, before.params, ...Object.values(before.moments));
    },
    'gradient step': async () => {
      const { gradient: g } = await model.gradient(params, batch);
      const after = optimizer.update(state, g);
      disposeParams(g, after.params, ...Object.values(after.moments));
    },
  };
  const rows = 256;
  const prompts = { ids: Int32Array.from({ length: 8 * rows }, () => random.integer(shape.vocab_size)), size: rows, length: 8 };
  const uniforms = Float32Array.from({ length: 56 * rows }, () => random.uniform());
  const sampling = () => model.sample(params, prompts, { maxNewTokens: 56, temperature: 1, uniforms });
  for (const [text, run] of Object.entries(work)) await row(what(text), run);
  await row(`${name}, 56 tokens after 8 of ${rows} prompts sampled`, sampling);
  if (args.profile) for (const [text, run] of [...Object.entries(work), ['sampling', sampling]]) await profile(what(text), run);
  console.log(`buffers of the engine: ${(recorder.buffers.bytes.peak / 1e6).toFixed(0)} MB at their peak`);
  disposeParams(
    params,
    tangent,
    gradient,
    mapParams((_, x) => x, state.moments.m),
    state.moments.v,
  );
}

async function profile(what, run) {
  const clock = profiler(recorder.device);
  recorder.clock = clock;
  await run();
  recorder.clock = null;
  console.log(`\n${what}, by kernel`);
  for (const { name, calls, seconds, flops } of await clock.table()) {
    const rate = flops ? `  ${(flops / seconds / 1e12).toFixed(2)} TFLOP/s` : '';
    console.log(`  ${name.padEnd(40)} ${String(calls).padStart(5)} × ${(1e3 * seconds).toFixed(3).padStart(9)} ms${rate}`);
  }
}

if (!args.only) await products();
for (const [name, size, length] of [
  ['small', 128, 32],
  ['gpt2', 8, 128],
])
  if (!args.only || args.only === name) await operations(name, size, length);
process.exit(0); // Dawn would wait for its device
