// The paper's experiments on many GPUs, on paper: a table, and notebooks/images/scale.svg. Nothing is measured; what is assumed of a GPU is
// printed.
//
// usage: node test/bench/scale.mjs [--tflops 10] [--gigabits 100] [--dollars 2.5]
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const require = createRequire(import.meta.url);
const { parseConfig } = require('../../dist/dpg/config.js');
const { stepOnPaper } = require('../../dist/dpg/scale.js');
const { EXPERIMENTS } = require('../../dist/experiments/experiments.js');
const { lineChart } = require('../../dist/notebook/charts.js');
const { saveFigure } = require('../../dist/notebook/saveFigure.js');

const options = {
  tflops: { type: 'string', default: '10' },
  gigabits: { type: 'string', default: '100' },
  dollars: { type: 'string', default: '2.5' },
};
const { tflops, gigabits, dollars } = Object.fromEntries(
  Object.entries(parseArgs({ options }).values).map(([name, value]) => [name, Number(value)]),
);
const cluster = (gpus) => ({
  gpus,
  ...{ flops: tflops * 1e12, bandwidth: 2e12, network: (gigabits * 1e9) / 8, latency: 2e-5 },
});

const GPT2 = { vocab_size: 50257, n_positions: 1024, n_embd: 768, n_layer: 12, n_head: 12, layer_norm_epsilon: 1e-5 };
const LLAMA = {
  ...{ model_type: 'llama', vocab_size: 128256, n_positions: 131072, n_embd: 2048, n_layer: 16, n_head: 32 },
  ...{
    num_key_value_heads: 8,
    head_dim: 64,
    intermediate_size: 8192,
    rms_norm_eps: 1e-5,
    rope_theta: 500000,
    rope_scaling: null,
  },
};
const models = { 'openai-community/gpt2': GPT2, 'meta-llama/Llama-3.2-1B-Instruct': LLAMA };
const SIZES = [1, 8, 64, 512];
const hours = (seconds) => (seconds / 3600 < 10 ? (seconds / 3600).toPrecision(2) : (seconds / 3600).toFixed(0));

const rows = Object.values(EXPERIMENTS).map((definition) => {
  const preset = definition.presets.paper('adamw');
  const config = parseConfig(definition, preset.input);
  const pair = { generator: models[preset.models.generator], target: models[preset.models.target] };
  return { name: definition.name, config, at: (gpus) => stepOnPaper(pair, config, cluster(gpus)) };
});

console.log(
  `assumed of a GPU: ${tflops} TFLOP/s, 2 TB/s of memory, ${gigabits} Gbit/s to its neighbours, 20 µs a message, $${dollars} an hour\n`,
);
const line = (cells) => console.log(`| ${cells.join(' | ')} |`);
line(['experiment', 'steps', 'inner steps', 's a step, 1 GPU', ...SIZES.map((gpus) => `hours ($), ${gpus}`)]);
line(['---', '---', '---', '---', ...SIZES.map(() => '---')]);
for (const { name, config, at } of rows) {
  const whole = SIZES.map((gpus) => {
    const seconds = config.steps * at(gpus).total;
    return `${hours(seconds)} (${Math.round((seconds / 3600) * gpus * dollars)})`;
  });
  line([name, config.steps, config.innerSteps, at(1).total.toFixed(0), ...whole]);
}
console.log();
line(['s a step', 'GPUs', 'rollouts', 'metagradient', 'policy', 'sums', 'of the ideal speed']);
line(['---', '---', '---', '---', '---', '---', '---']);
for (const { name, at } of rows.filter((row) => ['qr-code', 'sixty-seven', 'uuid'].includes(row.name)))
  for (const gpus of SIZES) {
    const { rollouts, metagradient, policy, sums, total } = at(gpus);
    const share = `${Math.round((100 * at(1).total) / total / gpus)} %`;
    line([name, gpus, ...[rollouts, metagradient, policy, sums].map((x) => Number(x.toPrecision(2))), share]);
  }

const x = Array.from({ length: 10 }, (_, i) => 2 ** i);
const shown = rows.find(({ name }) => name === 'qr-code');
const parts = ['rollouts', 'metagradient', 'policy', 'sums'];
const figure = lineChart({
  title: "A step of the paper's QR code on many GPUs, on paper",
  xTitle: 'GPUs',
  yTitle: 'seconds a step',
  ...{ log: true, logX: true },
  series: parts.map((name) => ({ name, x, y: x.map((gpus) => shown.at(gpus)[name]) })),
});
saveFigure(figure, path.join(path.dirname(fileURLToPath(import.meta.url)), '../../notebooks/images/scale.svg'));
