// A contestant of the benchmark: one of our engines, driven line by line by bench.mjs.
//
// usage: engine_peer.mjs FOLDER RESULTS fused|tape WORKERS; then a command a line on stdin, each answered by a line of JSON. The first
// answer of a kind also leaves its result in RESULTS/{gradient,hvp,tangents}.f32.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { createInterface } from 'node:readline';

const require = createRequire(import.meta.url);
const tf = require('@tensorflow/tfjs-core');
const dpg = require('../../dist/index.js');
const { startBackend } = require('../../dist/tensor/backend.js');
const { adamw } = require('../../dist/learn/optimizer.js');
const { gpt2 } = require('../../dist/model/engine.js');
const { gpt2Shapes } = require('../../dist/model/families/gpt2.js');
const { parameterLayout } = require('../../dist/model/fused/layout.js');
const { readParams } = require('../../dist/model/fused/parameters.js');

const [folder, results, engine, workers] = process.argv.slice(2);
await startBackend();
const file = (name) => new Uint8Array(readFileSync(path.join(folder, name))).buffer;
const { size, length, steps, slots, ...config } = JSON.parse(readFileSync(path.join(folder, 'config.json'), 'utf8'));
const layout = parameterLayout(gpt2Shapes(config));
const [params, tangent] = ['params', 'tangent'].map((name) => readParams(layout, new Float32Array(file(`${name}.f32`))));
const ids = new Int32Array(file('ids.i32'));
const model = gpt2(config, { engine, workers: Number(workers) });

const width = length + 1;
const batch = { ids: ids.slice(0, size * width), mask: new Float32Array(size * length).fill(1), size, length };
const examples = Array.from({ length: steps * size }, (_, i) => ids.slice(i * width, (i + 1) * width));
const optimizer = adamw({ learningRate: 1e-3, epsRoot: 1e-3 });
const objective = (weights) => tf.neg(tf.norm(weights['lm_head.weight']));

const promptLength = 8;
const maxNewTokens = length - promptLength;
const prompts = { ids: ids.slice(0, size * promptLength), size, length: promptLength };
const uniforms = Float32Array.from({ length: size * maxNewTokens }, (_, i) => (i * 0.6180339887) % 1);

function save(kind, values) {
  const to = path.join(results, `${kind}.f32`);
  if (!existsSync(to)) writeFileSync(to, values);
}

/** All tensors of a tree in the layout's order. */
function flattened(tree) {
  const flat = new Float32Array(layout.length);
  for (const { name, offset } of slots) flat.set(tree[name].dataSync(), offset);
  return flat;
}

let training;
/** The iterator of the "67" experiment: one GRPO step at a time. */
async function startTraining() {
  const experiment = await dpg.sixtySeven({ engine, workers: Number(workers), steps: 10000, stopAfterPerfect: 0 });
  return dpg.train({ ...experiment, state: dpg.startTraining(experiment) });
}

const work = {
  gradient: () => model.gradient(params, batch),
  hvp: () => model.hessianVectorProduct(params, batch, tangent),
  tangents: () => model.hessianVectorProduct(params, batch, tangent, { product: false }),
  metagradient: () => dpg.metagradient({ model, params, examples, optimizer, batchSize: size, objective }),
  sample: () => model.sample(params, prompts, { maxNewTokens, temperature: 1, uniforms }),
  grpo: async () => void (await (training ??= await startTraining()).next()),
};

async function answer(command) {
  if (command === 'memory') return { heap: await heap(), rss: process.resourceUsage().maxRSS * 1024 };
  if (command === 'grpo') training ??= await startTraining();
  const [start, used] = [performance.now(), process.cpuUsage()];
  const result = await work[command]();
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(used);
  if (command === 'gradient') save('gradient', flattened(result.gradient));
  if (command === 'hvp') [save('hvp', flattened(result.product)), save('tangents', result.tokenTangents)];
  tf.dispose([result?.gradient ?? [], result?.product ?? [], result?.finalParams ?? []]);
  return { seconds, cpu: (user + system) / 1e6, ...(command === 'sample' ? { tokens: size * maxNewTokens } : {}) };
}

/** tfjs's heap, and those of the fused engine's workers: the memory of one, which a product in this thread shows, times their number. */
async function heap() {
  const { wasm } = tf.backend();
  const own = wasm ? wasm.asm.memory.buffer.byteLength : 0;
  if (engine === 'tape') return own;
  const Memory = WebAssembly.Memory;
  const made = [];
  WebAssembly.Memory = function (descriptor) {
    made.push(new Memory(descriptor));
    return made[made.length - 1];
  };
  const { fusedModel } = require('../../dist/model/fused/index.js');
  tf.dispose((await fusedModel(config, { workers: 0 }).hessianVectorProduct(params, batch, tangent)).product);
  return own + Number(workers) * made.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
}

for await (const command of createInterface({ input: process.stdin })) console.log(JSON.stringify(await answer(command)));
process.exit(0);
