/** `dpg export`: what a run made, as Hugging Face folders. */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { toTensors } from '../dpg/actor';
import { EXPERIMENTS } from '../experiments/experiments';
import { exportDataset, exportGenerator } from '../runs/export';
import { modelFolders, requireSame } from '../runs/record';
import { readRun } from '../runs/runFolder';
import { latestCheckpoint } from '../runs/savedState';
import type { Experiment } from '../dpg/experiment';
import { validate } from '../dpg/validate';
import type { StoredTensor } from '../model/hub/checkpoint';
import { makeFolder } from '../files/atomicFile';
import { disposeParams } from '../tensor/params';
import { tokenizerFiles } from '../text/tokenizer';
import { asUsage, UsageError } from './command';
import { runPath } from './runs';

export const name = 'export';
export const summary = "a run's generator and its synthetic data, as Hugging Face folders";
export const help = `dpg export RUN --out DIR

RUN is a run folder, or the name of one in runs/. From its newest checkpoint this writes

  DIR/EXPERIMENT-generator   the trained generator: model.safetensors, config.json, tokenizer, model card
  DIR/EXPERIMENT-data        what it writes for the held-out prompts: data/train.jsonl (prompt, response) with a card

Exit code: 0 done, 1 an error, 2 wrong usage or no such run.`;

/** The experiment that a run folder describes. @throws Error if it cannot be made again as it was */
async function experimentOf(run: string): Promise<Experiment> {
  const saved = readRun(run);
  const { experiment: name, ...input } = saved.config;
  const make = EXPERIMENTS[String(name)];
  if (!make) throw new Error(`${run} is of the experiment "${String(name)}", which dpg does not know`);
  const experiment = await make(input, modelFolders(saved));
  requireSame(experiment, run, saved);
  return experiment;
}

/** The generator of a run's newest checkpoint. @throws Error if there is none */
function trainedGenerator(run: string): Readonly<Record<string, StoredTensor>> {
  const { state, ignored } = latestCheckpoint(path.join(run, 'checkpoints'));
  if (!state) throw new Error(`${run} has no checkpoint to export${ignored.map(({ reason }) => `; ${reason}`).join('')}`);
  return state.trees.generator;
}

/** Runs the command; see `help` for the exit code. */
export async function run(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args: argv, options: { out: { type: 'string' } }, allowPositionals: true });
  if (positionals.length !== 1 || !values.out) throw new UsageError('dpg export takes one RUN and --out DIR');
  const folder = runPath(positionals[0]);
  asUsage('dpg export', () => readRun(folder));
  const stored = trainedGenerator(folder);
  const experiment = await experimentOf(folder);
  const { model, tokenizer } = experiment.generator;
  const source = {
    run: folder,
    purpose: experiment.purpose ?? `Φ of the experiment ${experiment.name} rises in a model fine-tuned on it`,
  };
  const place = (what: string): string => path.join(values.out!, `${experiment.name}-${what}`);
  makeFolder(values.out);
  const checkpoint = { config: model.config, params: stored };
  await exportGenerator(place('generator'), checkpoint, {
    ...source,
    beginOfText: tokenizer.bosId,
    endOfText: tokenizer.eosId,
    files: tokenizerFiles(tokenizer),
  });
  const params = toTensors(stored);
  const { examples, tuned } = await validate(experiment, params);
  await exportDataset(
    place('data'),
    examples.map(({ prompt, response }) => ({ prompt, response })),
    source,
  );
  disposeParams(params, tuned);
  for (const actor of [experiment.generator, experiment.target]) actor.model.dispose();
  console.log(`${place('generator')}\n${place('data')}`);
  return 0;
}
