// Speed of the fused engine, beside PyTorch on the same weights where `python3 -c "import torch"` works: results are compared
// first, then
// every contestant takes one turn a round, so that a busy machine slows all alike. Prints medians with the middle half of the
// rounds.
//
// usage: node test/bench/bench.mjs [--rounds 15] [--size small|mid|all] [--python python3]
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const tf = require('@tensorflow/tfjs');
const { fusedGpt2 } = require('../../dist/model/fused/index.js');
const { parameterLayout } = require('../../dist/model/fused/layout.js');
const { readParams } = require('../../dist/model/fused/parameters.js');

const options = {
  rounds: { type: 'string', default: '15' },
  size: { type: 'string', default: 'all' },
  python: { type: 'string', default: 'python3' },
};
const { rounds, size: wanted, python } = parseArgs({ options }).values;

const batchSize = { size: 128, length: 32 };
const configs = {
  small: { vocab_size: 512, n_positions: 32, n_embd: 64, n_layer: 2, n_head: 4, layer_norm_epsilon: 1e-5 },
  mid: { vocab_size: 512, n_positions: 32, n_embd: 128, n_layer: 4, n_head: 4, layer_norm_epsilon: 1e-5 },
};

let seed = 1;
/** Uniform in [0, 1): a linear congruential generator is random enough for a benchmark. */
const uniform = () => (seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff) / 2 ** 31;
const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());

function problem(config) {
  const layout = parameterLayout(config);
  const values = (center) => {
    const flat = new Float32Array(layout.length);
    for (const { name, offset, size } of layout.slots) {
      const middle = /ln_\w+\.weight$/.test(name) ? center : 0;
      for (let i = 0; i < size; i++) flat[offset + i] = middle + 0.08 * normal();
    }
    return flat;
  };
  const { size, length } = batchSize;
  const ids = Int32Array.from({ length: size * (length + 1) }, () => Math.floor(uniform() * config.vocab_size));
  return {
    config,
    layout,
    params: values(1),
    tangent: values(0),
    batch: { ids, mask: new Float32Array(size * length).fill(1), size, length },
  };
}

/** The PyTorch process, or null where there is no PyTorch. */
function torchPeer({ config, layout, params, tangent, batch }) {
  if (spawnSync(python, ['-c', 'import torch']).status !== 0) return null;
  const folder = mkdtempSync(path.join(tmpdir(), 'dpg-bench-'));
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify({ ...config, ...batchSize, slots: layout.slots }));
  writeFileSync(path.join(folder, 'params.f32'), params);
  writeFileSync(path.join(folder, 'tangent.f32'), tangent);
  writeFileSync(path.join(folder, 'ids.i32'), batch.ids);
  const child = spawn(python, [path.join(here, 'torch_peer.py'), folder], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async seconds(what, threads) {
      child.stdin.write(`${what} ${threads}\n`);
      return Number((await lines.next()).value);
    },
    result: (name) => new Float32Array(new Uint8Array(readFileSync(path.join(folder, `${name}.f32`))).buffer),
    close() {
      child.stdin.end();
      rmSync(folder, { recursive: true });
    },
  };
}

function relativeError(actual, expected) {
  let [difference, norm] = [0, 0];
  expected.forEach((x, i) => {
    difference += (actual[i] - x) ** 2;
    norm += x ** 2;
  });
  return Math.sqrt(difference / norm);
}

/** All tensors of a tree in the layout's order, freed. */
function flattened(layout, tree) {
  const parts = layout.slots.map(({ name }) => tree[name].dataSync());
  tf.dispose(tree);
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

async function timed(call) {
  const start = performance.now();
  const result = await call();
  const seconds = (performance.now() - start) / 1000;
  tf.dispose([result.gradient ?? [], result.product ?? []]);
  return seconds;
}

function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

async function compare(torch, { layout, batch }, model, params, tangent) {
  await torch.seconds('gradient', 1);
  await torch.seconds('hvp', 1);
  const { gradient } = await model.gradient(params, batch);
  const { product, tokenTangents } = await model.hessianVectorProduct(params, batch, tangent);
  const errors = {
    gradient: relativeError(flattened(layout, gradient), torch.result('gradient')),
    hvp: relativeError(flattened(layout, product), torch.result('hvp')),
    tangents: relativeError(tokenTangents, torch.result('tangents')),
  };
  for (const [name, error] of Object.entries(errors)) {
    if (!(error < 1e-4)) throw new Error(`${name} differs from PyTorch's: relative error ${error}`);
  }
  const shown = Object.entries(errors).map(([name, error]) => `${name} ${error.toExponential(1)}`);
  console.log(`relative difference from PyTorch: ${shown.join(', ')}`);
}

async function bench(name) {
  const world = problem(configs[name]);
  const { config, layout, batch } = world;
  const [params, tangent] = [readParams(layout, world.params), readParams(layout, world.tangent)];
  const promptLength = 8;
  const maxNewTokens = batch.length - promptLength;
  const prompts = { ids: batch.ids.slice(0, batch.size * promptLength), size: batch.size, length: promptLength };
  const how = { maxNewTokens, temperature: 1, uniforms: Float32Array.from({ length: batch.size * maxNewTokens }, uniform) };
  const models = [1, 2].map((workers) => fusedGpt2(config, { workers }));
  const torch = torchPeer(world);
  const { n_embd, n_layer, vocab_size } = config;
  console.log(`\n${name}: d = ${n_embd}, ${n_layer} layers, vocabulary ${vocab_size}, batch ${batch.size} × ${batch.length}`);
  if (torch) await compare(torch, world, models[0], params, tangent);
  else console.log(`no PyTorch (${python} cannot import torch)`);

  const turns = models.flatMap((model) => [
    ['forward + backward', model.engine, () => timed(() => model.gradient(params, batch))],
    ['HVP + τ', model.engine, () => timed(() => model.hessianVectorProduct(params, batch, tangent))],
    ['τ alone', model.engine, () => timed(() => model.hessianVectorProduct(params, batch, tangent, { product: false }))],
    ['sampling', model.engine, () => timed(() => model.sample(params, prompts, how))],
  ]);
  for (const threads of torch ? [1, 2] : []) {
    turns.push([
      'forward + backward',
      `PyTorch, ${threads} thread${threads > 1 ? 's' : ''}`,
      () => torch.seconds('gradient', threads),
    ]);
    turns.push(['HVP + τ', `PyTorch, ${threads} thread${threads > 1 ? 's' : ''}`, () => torch.seconds('hvp', threads)]);
  }
  const seconds = turns.map(() => []);
  for (let round = -2; round < Number(rounds); round++) {
    for (const [i, [, , turn]] of turns.entries()) {
      const taken = await turn();
      if (round >= 0) seconds[i].push(taken); // the first two rounds warm up
    }
  }
  const row = ([what, who], times) => {
    const ms = (q) => (1000 * quantile(times, q)).toFixed(1);
    const rate = what === 'sampling' ? `${Math.round((batch.size * maxNewTokens) / quantile(times, 0.5))} tokens/s` : '';
    return { what, who, 'median ms': ms(0.5), 'middle half': `${ms(0.25)}–${ms(0.75)}`, best: ms(0), rate };
  };
  console.table(turns.map((turn, i) => row(turn, seconds[i])).sort((a, b) => (a.what < b.what ? -1 : a.what > b.what ? 1 : 0)));
  models.forEach((model) => model.dispose());
  torch?.close();
}

await tf.setBackend('cpu');
for (const name of wanted === 'all' ? Object.keys(configs) : [wanted]) await bench(name);
