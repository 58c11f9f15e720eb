// The shapes that are measured, and one problem of a shape as files that all contestants read.
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(import.meta.url);
const { parameterShapes } = require('../../dist/model/families/index.js');
const { parameterLayout } = require('../../dist/model/fused/layout.js');

const gpt2 = (sizes) => ({ model_type: 'gpt2', layer_norm_epsilon: 1e-5, ...sizes });
const llama = (sizes) => ({ model_type: 'llama', rms_norm_eps: 1e-5, rope_scaling: null, ...sizes });

/** Models by name, with the examples of a step: `size` of `length` positions. GPT-2's and SmolLM2's are untied, as everywhere here. */
export const shapes = {
  small: {
    ...{ size: 128, length: 32 },
    config: gpt2({ vocab_size: 512, n_positions: 32, n_embd: 64, n_layer: 2, n_head: 4 }),
  },
  mid: {
    ...{ size: 128, length: 32 },
    config: gpt2({ vocab_size: 512, n_positions: 32, n_embd: 128, n_layer: 4, n_head: 4 }),
  },
  gpt2: {
    ...{ size: 8, length: 128, large: true },
    config: gpt2({ vocab_size: 50257, n_positions: 1024, n_embd: 768, n_layer: 12, n_head: 12 }),
  },
  smollm2: {
    ...{ size: 8, length: 128, large: true },
    config: llama({
      ...{ vocab_size: 49152, n_positions: 2048, n_embd: 576, n_layer: 30, n_head: 9, num_key_value_heads: 3 },
      ...{ head_dim: 64, intermediate_size: 1536, rope_theta: 100000 },
    }),
  },
  'llama-1b': {
    ...{ size: 2, length: 128, large: true },
    config: llama({
      ...{ vocab_size: 128256, n_positions: 2048, n_embd: 2048, n_layer: 16, n_head: 32, num_key_value_heads: 8 },
      ...{ head_dim: 64, intermediate_size: 8192, rope_theta: 500000 },
    }),
  },
};

export const layoutOf = (config) => parameterLayout(parameterShapes(config));

/** Numbers that repeat after a prime number of them, so that no two rows of a matrix are alike. */
const REPEAT = 4194301;

function noise() {
  let seed = 1;
  const uniform = () => (seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff) / 2 ** 31; // random enough for a benchmark
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, normal };
}

/** A tree in the layout's order; the weights of norms lie around `center`. */
function writeTree(file, layout, random, scale, center) {
  const values = Float32Array.from({ length: Math.min(REPEAT, layout.length) }, () => scale * random.normal());
  const out = openSync(file, 'w');
  for (const { name, offset, size } of layout.slots) {
    const middle = /(ln_\w+|norm|layernorm)\.weight$/.test(name) ? center : 0;
    for (let from = 0; from < size; from += REPEAT) {
      const piece = Float32Array.from(
        { length: Math.min(REPEAT, size - from) },
        (_, i) => values[(offset + from + i) % values.length],
      );
      writeSync(out, middle ? piece.map((x) => x + middle) : piece, 0, 4 * piece.length, 4 * (offset + from));
    }
  }
  closeSync(out);
}

/** Random weights, a direction, and the examples of `steps` steps, as files in `folder`. */
export function writeProblem(folder, { config, size, length, large }, steps) {
  const random = noise();
  const layout = layoutOf(config);
  const scale = large ? 0.02 : 0.08;
  writeTree(path.join(folder, 'params.f32'), layout, random, scale, 1);
  writeTree(path.join(folder, 'tangent.f32'), layout, random, scale, 0);
  const ids = Int32Array.from({ length: steps * size * (length + 1) }, () => Math.floor(random.uniform() * config.vocab_size));
  writeFileSync(path.join(folder, 'ids.i32'), ids);
  const stride = Math.ceil(layout.length / REPEAT); // of the numbers that are compared
  writeFileSync(
    path.join(folder, 'config.json'),
    JSON.stringify({ config, size, length, large, steps, stride, slots: layout.slots }),
  );
}
