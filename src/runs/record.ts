/**
 * A training run with its folder: every row is logged, checkpoints are taken, and a run that was stopped goes on bit by bit as if it had
 * not been.
 */
import { createHash } from 'node:crypto';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { responsesOf } from '../policy/rollouts';
import { isSameTokenizer } from '../text/transcription';
import type { Params } from '../tensor/params';
import { restoreStream } from '../tensor/random';
import { toStored, toTensors } from '../dpg/actor';
import { divergenceWatch } from '../dpg/divergence';
import { shown } from '../files/printable';
import { tokenizerFiles } from '../text/tokenizer';
import { exportRun } from './export';
import { describeEnvironment } from './environment';
import { createRun, readRun, readState, resumeRun, type RunFolder } from './runFolder';
import { newRunFolder, runPath, type RunOrName } from './runName';
import type { SavedState } from './savedState';
import type { RunRecord } from './records';
import { createEventFile } from './tensorboard';
import type { Experiment } from '../dpg/experiment';
import { startTraining, train, type TrainerState, type TrainStep } from '../dpg/train';
import type { ModelFolders } from '../dpg/models';

/** How a run is logged. */
export interface RecordOptions {
  /** A checkpoint is taken after so many steps or seconds, whichever is over first, and at the end. */
  readonly checkpointSteps?: number;
  readonly checkpointSeconds?: number;
  /** Steps between samples of prompts, outputs and rewards in examples.jsonl. */
  readonly examplesEvery?: number;
  readonly signal?: AbortSignal;
  /** Gets a sentence when the run begins to diverge; by default it goes to stderr. */
  readonly warn?: (sentence: string) => void;
}

/** A run folder and the state of its training; hand both to {@link record}, and close the folder at the end. */
export interface Run {
  readonly folder: RunFolder;
  readonly state: TrainerState;
  /** Writes the trained generator as a Hugging Face folder into this one, see {@link exportRun}; returns the folders written. */
  readonly export: (folder: string, options?: Parameters<typeof exportRun>[2]) => Promise<string[]>;
}

const asRun = (folder: RunFolder, state: TrainerState): Run => ({
  folder,
  state,
  export: (place, options) => exportRun(folder.path, place, options),
});

/** The state of a run as it is saved. */
function toSaved({ done, reached, training, streams }: TrainerState): Omit<SavedState, 'step'> {
  const moments = Object.entries(training.moments).map(([name, tree]) => [name, toStored(tree)] as const);
  const streamStates = Object.fromEntries(Object.entries(streams).map(([name, stream]) => [name, stream.state()]));
  return {
    trees: { generator: toStored(training.params), ...Object.fromEntries(moments) },
    values: { done, reached, optimizerStep: training.step, streams: streamStates },
  };
}

/** A state to go on from. */
function fromSaved({ step, trees, values }: SavedState): TrainerState {
  const { generator, ...moments } = trees;
  const { done, reached = 0, optimizerStep, streams } = values as {
    done: number;
    reached?: number;
    optimizerStep: number;
    streams: Record<string, number[]>;
  };
  const restored = Object.fromEntries(Object.entries(streams).map(([name, state]) => [name, restoreStream(state)]));
  return {
    step,
    done,
    reached,
    training: {
      params: toTensors(generator),
      moments: Object.fromEntries(Object.entries(moments).map(([name, tree]) => [name, toTensors(tree)])),
      step: optimizerStep,
    },
    streams: restored as TrainerState['streams'],
  };
}

/** Of a run that another process has opened and writes: where it goes on. */
export function stateOf(experiment: Experiment, folder: string): TrainerState {
  const saved = readState(folder);
  return saved?.step ? fromSaved(saved) : startTraining(experiment);
}

/** SHA-256 over names, shapes and numbers. */
export function fingerprint(params: Params): string {
  const hash = createHash('sha256');
  for (const name of Object.keys(params).sort()) hash.update(`${name} ${params[name].shape}\n`).update(params[name].dataSync());
  return hash.digest('hex');
}

/** The models of an experiment as `config.json` holds them. */
function modelsOf({ generator, target }: Experiment, folders: ModelFolders): RunRecord['models'] {
  const of = (params: Params, folder?: string) => ({
    ...(folder && { folder: path.resolve(folder) }),
    sha256: fingerprint(params),
  });
  return {
    generator: of(generator.params, folders.generator),
    target: of(target.params, folders.target),
    ...(folders.evaluator && { evaluator: path.resolve(folders.evaluator) }),
  };
}

/** The model folders that a run was given, to make its experiment again. */
export const modelFolders = ({ models }: RunRecord): ModelFolders => ({
  generator: models?.generator.folder,
  target: models?.target.folder,
  evaluator: models?.evaluator,
});

/**
 * A new run, by default in a folder of its own under `runs/`.
 * @param models - folders that the experiment was made with, unless they were its own
 * @throws Error if the folder holds anything
 */
export function newRun(experiment: Experiment, folder?: string, models: ModelFolders = {}): Run {
  const { name, module, config, generator, purpose } = experiment;
  const environment = describeEnvironment({ backend: tf.getBackend(), engine: generator.model.engine, seed: config.seed });
  const record = { config: { experiment: name, ...config }, purpose, module, environment, models: modelsOf(experiment, models) };
  const place = folder ?? newRunFolder(name, config.seed);
  return asRun(createRun(path.resolve(place), record), startTraining(experiment));
}

/** Keys in which an experiment differs from a run, with the experiment's values. */
function differences({ config }: Experiment, record: RunRecord): Record<string, unknown> {
  const made: Readonly<Record<string, unknown>> = record.config;
  const changed = Object.entries(config).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(made[key]));
  return Object.fromEntries(changed);
}

/**
 * @throws Error naming the first setting in which an experiment differs from the run that it shall go on with, but for the keys of `change`
 */
function requireSameConfig(experiment: Experiment, folder: string, record: RunRecord, change: readonly string[]): void {
  const { config } = record;
  if (config.experiment !== experiment.name)
    throw new Error(`${folder} holds a run of ${config.experiment}, not of ${experiment.name}`);
  const [other] = Object.entries(differences(experiment, record)).filter(([key]) => !change.includes(key));
  if (other)
    throw new Error(
      `${folder} was made with ${other[0]} ${shown(config[other[0]])}, not ${shown(other[1])}: ` +
        `resume it as it was configured, or name ${other[0]} as a change`,
    );
}

/** @throws Error if an experiment has other models than the run that it shall go on with began with */
function requireSameModels(experiment: Experiment, folder: string, { models }: RunRecord): void {
  for (const part of ['generator', 'target'] as const)
    if (models && models[part].sha256 !== fingerprint(experiment[part].params))
      throw new Error(
        `${folder} began with a ${part} of other weights (${models[part].folder ?? "the experiment's own"}): start a new run`,
      );
}

/** @throws Error naming the first difference between an experiment and the run in a folder, in settings or models */
export function requireSame(experiment: Experiment, folder: string, change: readonly string[] = []): void {
  const record = readRun(folder);
  requireSameConfig(experiment, folder, record, change);
  requireSameModels(experiment, folder, record);
}

/**
 * A run that was stopped, at its newest checkpoint; from the start if it had none.
 * @param change - configuration keys in which the experiment may differ from the run: they are recorded, and count from here on
 * @throws Error if the folder holds no run, or one of another experiment, configuration or model
 */
export function resumedRun(experiment: Experiment, run: RunOrName, change: readonly string[] = []): Run {
  const folder = path.resolve(runPath(run));
  requireSame(experiment, folder, change);
  const { run: opened, state } = resumeRun(folder, differences(experiment, readRun(folder)));
  return asRun(opened, state?.step ? fromSaved(state) : startTraining(experiment));
}

const EXAMPLES_PER_SAMPLE = 4;

/**
 * The pieces that a response's tokens add to its text, and τ of each; nothing where the target reads other tokens than the generator
 * writes.
 */
function creditOf({ generator, target }: Experiment, response: readonly number[], i: number, { rollouts, tokenRewards }: TrainStep) {
  if (!tokenRewards || !isSameTokenizer(generator.tokenizer, target.tokenizer)) return {};
  const upTo = (count: number): string => generator.tokenizer.decode(response.slice(0, count));
  const first = i * (rollouts.maxNewTokens - 1);
  return {
    tokens: response.map((_, k) => upTo(k + 1).slice(upTo(k).length)),
    token_rewards: response.map((_, k) => (k ? tokenRewards[first + k - 1] : null)), // nothing predicts the first
  };
}

/** The first responses of a step and what they were paid, as examples.jsonl holds them. */
export function sampleOf(experiment: Experiment, step: TrainStep) {
  const { row, rollouts, rewards, advantages } = step;
  const { tokenizer } = experiment.generator;
  const responses = responsesOf(rollouts).slice(0, EXAMPLES_PER_SAMPLE);
  return responses.map((response, i) => ({
    step: row.step,
    prompt: tokenizer.decode(rollouts.prompts[Math.floor(i / rollouts.group)]),
    response: tokenizer.decode(response),
    reward: rewards[i],
    advantage: advantages[i * rollouts.maxNewTokens],
    ...creditOf(experiment, response, i, step),
  }));
}

/** What an export of the generator needs beside its weights. */
function generatorFiles({ generator: { model, tokenizer } }: Experiment): Pick<SavedState, 'files'> & { model: object } {
  return {
    model: { config: model.config, beginOfText: tokenizer.bosId, endOfText: tokenizer.eosIds },
    files: tokenizerFiles(tokenizer),
  };
}

/** Takes the checkpoints of a run. */
function checkpointer(experiment: Experiment, { folder, state }: Run, { checkpointSteps = 50, checkpointSeconds = 60 }: RecordOptions) {
  const { model, files } = generatorFiles(experiment);
  let [saved, time] = [state.step, performance.now()];
  const save = async (): Promise<void> => {
    const { trees, values } = toSaved(state);
    await folder.saveCheckpoint(state.step, { trees: state.step ? trees : {}, values: { ...values, model }, files });
    [saved, time] = [state.step, performance.now()];
  };
  return {
    /** Of the start, which follows from the configuration: every run with rows has a checkpoint. */
    start: async () => void (state.step === 0 && (await save())),
    due: () => state.step - saved >= checkpointSteps || performance.now() - time >= 1000 * checkpointSeconds,
    save: async () => void (saved !== state.step && (await save())),
  };
}

/**
 * {@link train}, logged into the run's folder. Yields every step after its row is written.
 * @throws Error if the experiment has another configuration than the run; only its `steps` may be others, and are recorded
 */
export async function* record(
  experiment: Experiment,
  run: Run,
  options: RecordOptions = {},
): AsyncGenerator<TrainStep, void, undefined> {
  const { examplesEvery = 10, signal, warn = console.warn } = options;
  const { folder, state } = run;
  folder.reopen(); // a notebook closes it at its end, and may then be told to go on
  requireSameConfig(experiment, folder.path, folder.record, ['steps']);
  const change = differences(experiment, folder.record);
  if (Object.keys(change).length) folder.change(state.step, change);
  const events = createEventFile(folder.path, state.step + 1);
  const checkpoints = checkpointer(experiment, run, options);
  const diverging = divergenceWatch();
  let logged = state.step;
  try {
    await checkpoints.start();
    for await (const step of train({ ...experiment, state, signal })) {
      folder.appendMetrics(step.row);
      for (const warning of [step.warning, diverging(step.row)]) if (warning) warn(warning);
      events.write(step.row.step, step.row);
      if (step.row.step % examplesEvery === 0 || step.row.step === 1) folder.appendExamples(sampleOf(experiment, step));
      logged = step.row.step;
      if (checkpoints.due()) await checkpoints.save();
      yield step;
    }
  } finally {
    if (logged === state.step) await checkpoints.save(); // a step whose rows could not be written is done again
  }
}
