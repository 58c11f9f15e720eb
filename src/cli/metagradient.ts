/** `dpg metagradient`: metagradients of a model and data of one's own, for data weighting, filtering and attribution. */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { toTensors } from '../dpg/actor';
import { metagradientExceedsWasmHeap } from '../dpg/memory';
import { parseSpec, runCase, type CaseResult, type MetagradientCase } from '../experiments/metagradientSpec';
import { loadCheckpoint } from '../model/hub/checkpoint';
import { parameterCount } from '../model/families';
import { languageModel, type EngineOptions } from '../model/engine';
import { makeFolder, writeFileAtomic } from '../files/atomicFile';
import { startBackend } from '../tensor/backend';
import { disposeParams } from '../tensor/params';
import { asUsage, readJson, UsageError, wholeNumber } from './command';

export const summary = 'metagradients of a model and data of your own';
export const help = `dpg metagradient --model DIR --spec CASES.json [--engine fused|tape] [--workers N] [--out FILE.json]

Fine-tunes a model on the batches of every case and differentiates its target Φ with respect to one weight per example.

      --model DIR     Hugging Face folder of a GPT-2 or Llama
      --spec FILE     the cases, a JSON array of
                        { "name": "a", "sequence_length": S, "optimizer": OPTIMIZER, "target": TARGET,
                          "batches": [[[token, …], …], …] }      one optimizer step a batch; 2 to S + 1 tokens an example
                      OPTIMIZER: { "type": "sgd", "learning_rate": x, "momentum": 0 }, or
                        { "type": "lion", "learning_rate": x, "b1": 0.9, "b2": 0.99, "eps_root": 1e-6, "weight_decay": 0 }, or
                        { "type": "adamw", "learning_rate": x, "b1": 0.9, "b2": 0.95, "eps": 1e-8, "eps_root": 1e-6, "weight_decay": 0 }
                      TARGET: { "type": "l2_norm" }, or { "type": "language_modeling", "examples": [[token, …], …] }, or
                        { "type": "pattern", "pattern": [[1, -1, …], …], "strength": x, "token_offset": 0, "dim_offset": 0 }
      --engine NAME   fused (SIMD kernels) or tape (tfjs ops); default: fused on CPUs, tape on GPUs
      --workers N     threads of the fused engine; default: one per core
      --out FILE      where the result goes; default: stdout

The result is a JSON array of { "name", "phi", "tau", "trainLosses" }; tau is shaped like the batches. Where float32 does not carry tau
there is a "warning", too, also on stderr.
Exit code: 0 done, 1 an error, 2 wrong usage or a spec that does not fit the model.`;

const OPTIONS = {
  model: { type: 'string' },
  spec: { type: 'string' },
  engine: { type: 'string', default: 'auto' },
  workers: { type: 'string', default: '0' },
  out: { type: 'string' },
} as const;

const ENGINES: readonly string[] = ['auto', 'fused', 'tape'];

interface Arguments {
  readonly model: string;
  readonly spec: string;
  readonly out?: string;
  readonly options: EngineOptions;
}

function parseArguments(argv: string[]): Arguments {
  const { values, positionals } = parseArgs({ args: argv, options: OPTIONS, allowPositionals: true });
  const { model, spec, engine, workers, out } = values;
  if (positionals.length) throw new UsageError(`dpg metagradient takes no "${positionals[0]}"; see dpg metagradient --help`);
  if (!model || !spec) throw new UsageError('dpg metagradient needs --model DIR and --spec CASES.json');
  if (!ENGINES.includes(engine)) throw new UsageError(`--engine must be fused or tape (got "${engine}")`);
  return {
    model,
    spec,
    out,
    options: { engine: engine as EngineOptions['engine'], workers: wholeNumber('--workers', workers, [0, 64]) },
  };
}

/** Whether a case needs more than the heap of the backend wasm. */
function exceedsWasm(parameters: number, optimizer: MetagradientCase['optimizer'], innerSteps: number): boolean {
  const innerMomentum = optimizer.type === 'sgd' ? optimizer.momentum : 0;
  return metagradientExceedsWasmHeap(parameters, {
    innerOptimizer: optimizer.type,
    innerMomentum,
    innerSteps,
    reward: 'metagradient',
  });
}

/** Runs the command; see `help` for the exit code. */
export async function run(argv: string[]): Promise<number> {
  const { model: folder, spec, out, options } = parseArguments(argv);
  const { config, params: stored } = asUsage('--model', () => loadCheckpoint(folder));
  const json = readJson('--spec', spec);
  const cases = asUsage(`--spec ${spec}`, () => parseSpec(json, config));
  if (out) makeFolder(path.dirname(path.resolve(out))); // an error now, not after the work
  const tooLarge = cases.some(({ optimizer, batches }) => exceedsWasm(parameterCount(config), optimizer, batches.length));
  await startBackend({
    parameters: parameterCount(config),
    objection: (backend) => (backend === 'wasm' && tooLarge ? 'its heap of 4.3 GB is too small for these cases' : undefined),
  });
  const model = languageModel(config, options);
  const params = toTensors(stored);
  const results: CaseResult[] = [];
  for (const each of cases) {
    const result = await runCase(each, model, params);
    if (result.warning) console.error(`dpg: case "${each.name}": ${result.warning}`);
    results.push(result);
  }
  const text = `[${results.map((result) => JSON.stringify(result)).join(',\n ')}]\n`;
  if (out) writeFileAtomic(out, text);
  else process.stdout.write(text);
  disposeParams(params);
  model.dispose();
  return 0;
}
