/**
 * What a run leaves to others: the generator as a Hugging Face model folder, a synthetic data set as a Hugging Face data set folder.
 * The cards are written from the run folder alone: configuration, environment and result.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { saveCheckpoint, type Checkpoint, type SaveOptions } from '../model/hub/checkpoint';
import type { ModelConfig } from '../model/types';
import { makeFolder, writeFolderAtomic } from '../files/atomicFile';
import { fit } from '../files/json';
import { familyOf } from '../model/families';
import { readRun, readSummary } from './runFolder';
import { runPath, type RunOrName } from './runName';
import { latestCheckpoint } from './savedState';
import { checkpointValuesSchema } from './shapes';

const PAPER = '[Synthetic Data for any Differentiable Target](https://arxiv.org/abs/2604.08423)';

/** What a checkpoint says of the generator beside its weights, so that a run can be exported without its experiment. */
const generatorSchema = z.object({
  config: z.custom<ModelConfig>((value) => typeof value === 'object' && value !== null),
  beginOfText: z.int().optional(),
  endOfText: z.union([z.int(), z.array(z.int())]).optional(), // one of runs that were recorded with a single end token
});

/** The generator of a run's newest checkpoint, with its tokenizer's files. @throws Error if there is none */
export function trainedGenerator(run: string): Checkpoint & Pick<SaveOptions, 'beginOfText' | 'endOfText' | 'files'> & { step: number } {
  const { state, ignored } = latestCheckpoint(join(run, 'checkpoints'));
  if (!state?.step) throw new Error(`${run} has no checkpoint to export${ignored.map(({ reason }) => `; ${reason}`).join('')}`);
  const { values } = fit(`the checkpoint of step ${state.step}`, state.values, checkpointValuesSchema);
  const model = fit(`the checkpoint of step ${state.step}`, values.model, generatorSchema);
  return { ...model, params: state.trees.generator, files: state.files, step: state.step };
}

/**
 * Writes what a run made into `folder`: `NAME-generator`, from its newest checkpoint, and with `examples` `NAME-data`; NAME is the
 * experiment's.
 * @param examples - the data set: what the trained generator wrote, e.g. `examples` of a validation
 * @returns the folders written
 * @throws Error if there is no run or no checkpoint, or as {@link saveCheckpoint}
 */
export async function exportRun(
  run: RunOrName,
  folder: string,
  { examples }: { examples?: readonly object[] } = {},
): Promise<string[]> {
  const source = runPath(run);
  const { config, purpose = `Φ of the experiment ${config.experiment} rises in a model fine-tuned on it` } = readRun(source);
  const { config: model, params, step: _, ...options } = trainedGenerator(source);
  const place = (what: string): string => join(folder, `${config.experiment}-${what}`);
  makeFolder(folder);
  await exportGenerator(place('generator'), { config: model, params }, { run: source, purpose, ...options });
  if (!examples) return [place('generator')];
  await exportDataset(place('data'), examples, { run: source, purpose });
  return [place('generator'), place('data')];
}

/** What both exports take. */
export interface ExportSource {
  /** Path of the run folder. */
  readonly run: string;
  /** What a model fine-tuned on the generated data should do or become, as a clause: "…, so that <purpose>". */
  readonly purpose: string;
}

/**
 * Writes the generator as a Hugging Face folder: `model.safetensors config.json README.md` and `files`, e.g. `tokenizer.json`.
 *
 * @throws Error as {@link saveCheckpoint}, and if the source is no run folder
 */
export async function exportGenerator(
  folder: string,
  checkpoint: Checkpoint,
  { run, purpose, files, ...options }: ExportSource & SaveOptions,
): Promise<void> {
  const { n_layer, n_embd, n_positions, vocab_size } = checkpoint.config;
  const card = [
    '---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- dataset-policy-gradient\n- synthetic-data\n---',
    `# ${basename(resolve(folder))}`,
    `A ${familyOf(checkpoint.config).title} (${n_layer} ${n_layer === 1 ? 'layer' : 'layers'}, width ${n_embd}, ` +
      `${n_positions} positions, vocabulary ${vocab_size}) trained to write synthetic data, ` +
      `so that ${purpose}. It was trained with Dataset Policy Gradient: ${PAPER}.`,
    'The LM head is not tied to the embedding.',
    describeRun(run),
  ];
  await saveCheckpoint(folder, checkpoint, { ...options, files: { ...files, 'README.md': card.join('\n\n') + '\n' } });
}

/**
 * Writes a synthetic data set as `data/train.jsonl` (one JSON object a row) with a card.
 *
 * @throws Error naming the path and the cause; if there are no rows or the source is no run folder
 */
export async function exportDataset(
  folder: string,
  rows: readonly object[],
  { run, purpose }: ExportSource,
): Promise<void> {
  if (rows.length === 0) throw new Error(`nothing to export to ${folder}: the data set has no rows`);
  const card = [
    '---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train.jsonl\ntags:\n' +
      '- dataset-policy-gradient\n- synthetic-data\n---',
    `# ${basename(resolve(folder))}`,
    `${rows.length} synthetic examples (columns: ${Object.keys(rows[0]).join(', ')}), written by a generator that was trained so that ` +
      `${purpose}. Method: Dataset Policy Gradient, ${PAPER}.`,
    describeRun(run),
  ];
  await writeFolderAtomic(folder, (temporary) => {
    mkdirSync(join(temporary, 'data'));
    writeFileSync(join(temporary, 'data/train.jsonl'), rows.map((row) => JSON.stringify(row) + '\n').join(''));
    writeFileSync(join(temporary, 'README.md'), card.join('\n\n') + '\n');
  });
}

/** Result, seed, configuration and environment of a run as markdown. */
function describeRun(run: string): string {
  const { config, environment } = readRun(run);
  const summary = readSummary(run);
  return [
    `## Result\n\n${summary ? jsonBlock(summary) : 'The run had not ended when this was exported: it has no summary.'}`,
    `## Training\n\nSeed ${config.seed}; the configuration:\n\n${jsonBlock(config)}`,
    `## Environment\n\n${jsonBlock(environment)}`,
  ].join('\n\n');
}

const jsonBlock = (value: object): string => '```json\n' + JSON.stringify(value, null, 2) + '\n```';
