/** `dpg export`: what a run made, as Hugging Face folders. */
import { parseArgs } from 'node:util';
import { toTensors } from '../dpg/actor';
import { makeExperiment, type Definition } from '../experiments/definition';
import { EXPERIMENTS } from '../experiments/experiments';
import { loadDefinition } from '../experiments/ownTarget';
import { shown } from '../files/printable';
import { exportRun, trainedGenerator } from '../runs/export';
import { modelFolders, requireSame } from '../runs/record';
import { readRun } from '../runs/runFolder';
import { runPath } from '../runs/runName';
import type { WrittenExample } from '../dpg/experiment';
import { validate } from '../dpg/validate';
import { disposeParams } from '../tensor/params';
import { asUsage, UsageError } from './command';

export const summary = "a run's generator and its synthetic data, as Hugging Face folders";
export const help = `dpg export RUN --out DIR

RUN is a run folder, or the name of one in runs/. From its newest checkpoint this writes

  DIR/EXPERIMENT-generator   the trained generator: model.safetensors, config.json, tokenizer, model card
  DIR/EXPERIMENT-data        what it writes for the held-out prompts: data/train.jsonl (prompt, response) with a card

A run of an experiment of your own, recorded in a notebook, is exported likewise, but for the data: dpg.exportRun writes it there.

Exit code: 0 done, 1 an error, 2 wrong usage or no such run.`;

/** What the generator writes for the held-out prompts of its experiment. @throws Error if that cannot be made again as it was */
async function heldOutExamples(run: string, definition: Definition): Promise<readonly WrittenExample[]> {
  const { experiment: _, ...input } = readRun(run).config;
  const experiment = await makeExperiment(definition, input, modelFolders(readRun(run)));
  requireSame(experiment, run);
  const { step, params: stored } = trainedGenerator(run);
  const params = toTensors(stored);
  const { examples, tuned } = await validate(experiment, { step, training: { params } });
  disposeParams(params, tuned);
  for (const { model } of [experiment.generator, experiment.target]) model.dispose();
  return examples;
}

/** Runs the command; see `help` for the exit code. */
export async function run(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args: argv, options: { out: { type: 'string' } }, allowPositionals: true });
  if (positionals.length !== 1 || !values.out) throw new UsageError('dpg export takes one RUN and --out DIR');
  const folder = runPath(positionals[0]);
  const { module, config } = asUsage('dpg export', () => readRun(folder));
  const { experiment } = config;
  const isKnown = module !== undefined || Object.hasOwn(EXPERIMENTS, experiment);
  const definition = isKnown ? await loadDefinition(module ?? experiment) : undefined;
  const written = await exportRun(folder, values.out, { examples: definition && (await heldOutExamples(folder, definition)) });
  console.log(written.join('\n'));
  if (!isKnown)
    console.error(
      `no data set: dpg does not know the experiment ${shown(experiment)}; where it is defined, dpg.exportRun writes one`,
    );
  return 0;
}
