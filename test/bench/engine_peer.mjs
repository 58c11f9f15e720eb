// A contestant of the benchmark: one of our engines, driven line by line by bench.mjs.
//
// usage: engine_peer.mjs FOLDER RESULTS fused|tape|gpu WORKERS; then a command a line on stdin, each answered by a line of JSON. The first
// answer of a kind also leaves some of its result in RESULTS/{gradient,hvp,tangents}.f32.
import { existsSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { createInterface } from 'node:readline';

const require = createRequire(import.meta.url);
const [folder, results, kind, workers] = process.argv.slice(2);
const gpu = kind === 'gpu';
const engine = gpu ? 'auto' : kind;
const { config, size, length, large, steps, stride, slots } = JSON.parse(readFileSync(path.join(folder, 'config.json'), 'utf8'));
if (gpu) process.env.DPG_BACKEND = 'webgpu';
else if (large) process.env.DPG_BACKEND ??= 'cpu'; // its tensors are not bound to a heap of 4.3 GB

const tf = require('@tensorflow/tfjs-core');
const dpg = require('../../dist/index.js');
const { startBackend } = require('../../dist/tensor/backend.js');
const { adamw } = require('../../dist/learn/optimizer.js');
const { languageModel } = require('../../dist/model/engine.js');
await startBackend();

/** A tree from a file, tensor by tensor: no file of more than 2 GiB can be read at once. */
function readTree(name) {
  const from = openSync(path.join(folder, `${name}.f32`), 'r');
  const read = (values, offset) => (readSync(from, values, 0, values.byteLength, 4 * offset), values);
  return Object.fromEntries(
    slots.map(({ name, shape, offset, size }) => [name, tf.tensor(read(new Float32Array(size), offset), shape)]),
  );
}
const [params, tangent] = [readTree('params'), readTree('tangent')];
const ids = new Int32Array(new Uint8Array(readFileSync(path.join(folder, 'ids.i32'))).buffer);
const model = languageModel(config, { engine, workers: Number(workers) });

const width = length + 1;
const batch = { ids: ids.slice(0, size * width), mask: new Float32Array(size * length).fill(1), size, length };
const examples = Array.from({ length: steps * size }, (_, i) => ids.slice(i * width, (i + 1) * width));
const optimizer = adamw({ learningRate: 1e-3, epsRoot: 1e-3 });
const objective = (weights) => tf.neg(tf.norm(weights['lm_head.weight']));

const promptLength = 8;
const [sampled, maxNewTokens] = large ? [gpu ? 256 : 32, 56] : [size, length - promptLength];
const prompts = {
  ids: Int32Array.from({ length: sampled * promptLength }, (_, i) => ids[i % ids.length]),
  ...{ size: sampled, length: promptLength },
};
const uniforms = Float32Array.from({ length: sampled * maxNewTokens }, (_, i) => (i * 0.6180339887) % 1);

function save(what, values) {
  const to = path.join(results, `${what}.f32`);
  if (!existsSync(to)) writeFileSync(to, values());
}

/** Every `stride`-th number of a tree, in the layout's order. */
function someOf(tree) {
  const last = slots.at(-1);
  const chosen = new Float32Array(Math.floor((last.offset + last.size - 1) / stride) + 1);
  for (const { name, offset, size } of slots) {
    const values = tree[name].dataSync();
    for (let at = Math.ceil(offset / stride) * stride; at < offset + size; at += stride)
      chosen[at / stride] = values[at - offset];
  }
  return chosen;
}

let training;
/** The iterator of the "67" experiment: one GRPO step at a time. */
async function startTraining() {
  const experiment = await dpg.sixtySeven({ engine, workers: Number(workers), steps: 10000, stopAfterDone: 0 });
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

const disposed = (result) => tf.dispose([result?.gradient ?? [], result?.product ?? [], result?.finalParams ?? []]);

async function timed(command) {
  if (command === 'grpo') training ??= await startTraining();
  const [start, used] = [performance.now(), process.cpuUsage()];
  const result = await work[command]();
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(used);
  if (command === 'gradient') save('gradient', () => someOf(result.gradient));
  if (command === 'hvp') [save('hvp', () => someOf(result.product)), save('tangents', () => result.tokenTangents)];
  disposed(result);
  return { seconds, cpu: (user + system) / 1e6, ...(command === 'sample' ? { tokens: sampled * maxNewTokens } : {}) };
}

/** What every kernel takes on the GPU. */
async function profiled(command) {
  if (!work[command]) return {};
  const { recorder } = require('../../dist/tensor/gpuTensors.js').gpuTensors();
  const clock = require('../../dist/tensor/kernels/webgpu/profiler.js').profiler(recorder.device);
  recorder.clock = clock;
  disposed(await work[command]());
  recorder.clock = null;
  return { kernels: await clock.table() };
}

/** tfjs's heap, and those of the fused engine's workers: the memory of one, which a product in this thread shows, times their number. */
async function heap() {
  const { wasm } = tf.backend();
  const own = wasm ? wasm.asm.memory.buffer.byteLength : 0;
  if (engine === 'tape' || large) return own;
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

async function memory() {
  const rss = process.resourceUsage().maxRSS * 1024;
  if (!gpu) return { heap: await heap(), rss };
  const { recorder } = require('../../dist/tensor/gpuTensors.js').gpuTensors();
  return { gpu: recorder.buffers.bytes.peak + tf.memory().numBytesAllocatedInGPU, rss };
}

async function answer(line) {
  const [command, of] = line.split(' ');
  if (command === 'memory') return memory();
  if (command === 'profile') return profiled(of);
  return work[command] ? timed(command) : {};
}

for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(await answer(line)));
process.exit(0);
