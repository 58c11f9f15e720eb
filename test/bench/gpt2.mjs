// One whole metagradient step of GPT-2's true shape, random weights: time, peak memory beside the estimate, and τ against a finite
// difference along one random direction of the example weights. Takes minutes and about 20 GB; run it on a quiet machine.
// DPG_BACKEND=webgpu takes the GPU, with the tape engine.
//
// usage: node test/bench/gpt2.mjs [--workers 2] [--layers 12] [--vocab 50257] [--batch 8] [--length 128] [--seed 1]
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

const require = createRequire(import.meta.url);
const { estimateMemory, describeMemory, requireMemory } = require('../../dist/dpg/memory.js');
const { parameterCount } = require('../../dist/model/families');
const { parseConfig } = require('../../dist/dpg/config.js');
const { preset } = require('../../dist/experiments/presets.js');
const { innerOptimizer } = require('../../dist/dpg/train.js');
const { metagradient } = require('../../dist/learn/metagradient.js');
const { padExamples } = require('../../dist/model/batch.js');
const { gpt2 } = require('../../dist/model/engine.js');
const { initializeGpt2 } = require('../../dist/model/families/gpt2.js');
const { negativeNorm } = require('../../dist/objective/norm.js');
const { describeBackend, startBackend } = require('../../dist/tensor/backend.js');
const { disposeParams } = require('../../dist/tensor/params.js');
const { randomStream } = require('../../dist/tensor/random.js');

const defaults = { workers: '2', layers: '12', vocab: '50257', batch: '8', length: '128', seed: '1' };
const options = Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, { type: 'string', default: value }]));
const [workers, layers, vocab, batch, length, seed] = Object.values({ ...defaults, ...parseArgs({ options }).values }).map(
  Number,
);

const shape = { vocab_size: vocab, n_positions: 1024, n_embd: 768, n_layer: layers, n_head: 12, layer_norm_epsilon: 1e-5 };
const config = parseConfig({
  ...preset('paper', 'l2-norm').input,
  ...{ workers, prompts: batch / 2, rollouts: 2, maxNewTokens: length + 1, heldOutExamples: 2, innerLearningRate: 1e-3 },
});
const seconds = (from) => ((performance.now() - from) / 1000).toFixed(1);

process.env.DPG_BACKEND ??= 'cpu'; // its tensors are not bound to a heap of 4 GiB
const backend = await startBackend();
console.log(describeBackend(backend));
const tiny = { ...shape, vocab_size: 8, n_positions: 8, n_embd: 12, n_layer: 1 }; // there is no generator here
const estimate = estimateMemory({ generator: tiny, target: shape }, config, backend.name);
console.log(
  `GPT-2 with ${layers} layers: ${(parameterCount(shape) / 1e6).toFixed(0)} M parameters with the untied head; batch ${batch} × ${length}`,
);
console.log(describeMemory(estimate));
requireMemory(estimate, backend.name);

const random = randomStream(seed, 'bench');
const params = initializeGpt2(shape, random);
const examples = Array.from({ length: batch }, () => Array.from({ length: length + 1 }, () => random.integer(vocab)));
const model = gpt2(shape, { workers });
console.log(`${model.engine}; fine-tuning by ${config.innerOptimizer} ${config.innerLearningRate}, Φ = −‖W_head‖`);

let started = performance.now();
const optimizer = innerOptimizer(config);
const { phi, tau, trainLosses, finalParams } = await metagradient({
  ...{ model, params, examples, batchSize: batch, sequenceLength: length, optimizer, objective: negativeNorm },
});
console.log(`metagradient: ${seconds(started)} s, Φ ${phi.toFixed(5)}, loss ${trainLosses[0].toFixed(3)} nats per position`);
console.log(`peak memory: ${(process.resourceUsage().maxRSS / 1e6).toFixed(1)} GB resident`);
disposeParams(finalParams);

/** Φ in float64 after a step with example weights w; Φ reads the head alone. */
async function phiAt(weights) {
  const padded = padExamples(examples, length, vocab);
  const mask = padded.mask.map((m, cell) => m * weights[Math.floor(cell / length)]); // a mask scales the loss of its token
  const { gradient } = await model.gradient(params, { ...padded, mask });
  const head = (tree) => ({ 'lm_head.weight': tree['lm_head.weight'] });
  const state = optimizer.init(head(params));
  const after = optimizer.update(state, head(gradient));
  const square = after.params['lm_head.weight'].dataSync().reduce((sum, x) => sum + x * x, 0);
  disposeParams(gradient, after.params, ...Object.values(after.moments), state.params, ...Object.values(state.moments));
  return -Math.sqrt(square);
}

// Small steps: at the paper's eps_root, Adam's update bends within a few millionths of a gradient around 0.
const direction = Array.from({ length: batch }, () => random.normal());
const predicted = tau.reduce((sum, t, i) => sum + t * direction[i], 0);
for (const h of [1e-3, 2e-4]) {
  started = performance.now();
  const at = (sign) => phiAt(direction.map((u) => 1 + sign * h * u));
  const measured = ((await at(1)) - (await at(-1))) / (2 * h);
  const error = Math.abs(predicted - measured) / Math.abs(measured);
  console.log(
    `along a random direction, h = ${h}: ⟨τ, u⟩ ${predicted.toExponential(4)}, finite difference ${measured.toExponential(4)}, ` +
      `relative difference ${error.toExponential(1)} (${seconds(started)} s)`,
  );
}

started = performance.now();
const tangent = initializeGpt2(shape, random);
const { product } = await model.hessianVectorProduct(params, padExamples(examples, length, vocab), tangent);
console.log(
  `Hessian-vector product and all τ: ${seconds(started)} s with a new tangent; peak ${(process.resourceUsage().maxRSS / 1e6).toFixed(1)} GB`,
);
disposeParams(product, tangent, params);
model.dispose();
