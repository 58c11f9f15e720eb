/**
 * A training run with its folder: every row is logged, checkpoints are taken, and a run that was stopped goes on bit by bit as if it had not been.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { responsesOf } from '../policy/rollouts';
import { isSameTokenizer } from '../text/transcription';
import type { Params } from '../tensor/params';
import { restoreStream } from '../tensor/random';
import { toStored, toTensors } from '../dpg/actor';
import { divergenceWatch } from '../dpg/divergence';
import { describeEnvironment } from './environment';
import { createRun, readRun, resumeRun, type RunFolder, type RunRecord } from './runFolder';
import { RUNS } from './runReport';
import type { SavedState } from './savedState';
import { createEventFile } from './tensorboard';
import type { Experiment } from '../dpg/experiment';
import { startTraining, train, type TrainerState, type TrainStep } from '../dpg/train';
import type { ModelFolders } from '../dpg/models';

/** How a run is logged. */
export interface RecordOptions {
  /** Steps between checkpoints; one more is taken at the end. */
  readonly checkpointEvery?: number;
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
}

/** The state of a run as it is saved. */
function toSaved({ done, training, streams }: TrainerState): Omit<SavedState, 'step'> {
  const moments = Object.entries(training.moments).map(([name, tree]) => [name, toStored(tree)] as const);
  const streamStates = Object.fromEntries(Object.entries(streams).map(([name, stream]) => [name, stream.state()]));
  return {
    trees: { generator: toStored(training.params), ...Object.fromEntries(moments) },
    values: { done, optimizerStep: training.step, streams: streamStates },
  };
}

/** A state to go on from. */
function fromSaved({ step, trees, values }: SavedState): TrainerState {
  const { generator, ...moments } = trees;
  const { done, optimizerStep, streams } = values as {
    done: number;
    optimizerStep: number;
    streams: Record<string, number[]>;
  };
  const restored = Object.fromEntries(Object.entries(streams).map(([name, state]) => [name, restoreStream(state)]));
  return {
    step,
    done,
    training: {
      params: toTensors(generator),
      moments: Object.fromEntries(Object.entries(moments).map(([name, tree]) => [name, toTensors(tree)])),
      step: optimizerStep,
    },
    streams: restored as TrainerState['streams'],
  };
}

/** `runs/EXPERIMENT-seedN-TIME`, with a number for the second one in the same second. */
function defaultFolder({ name, config }: Experiment): string {
  const time = new Date().toISOString().slice(0, 19).replace(/:/g, '');
  const folder = path.join(RUNS, `${name}-seed${config.seed}-${time}`);
  let [free, count] = [folder, 1];
  while (existsSync(free)) free = `${folder}-${++count}`;
  return free;
}

/** SHA-256 over names, shapes and numbers. */
function fingerprint(params: Params): string {
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
  return { generator: of(generator.params, folders.generator), target: of(target.params, folders.target) };
}

/** The model folders that a run was given, to make its experiment again. */
export const modelFolders = ({ models }: RunRecord): ModelFolders => ({
  generator: models?.generator.folder,
  target: models?.target.folder,
});

/**
 * A new run, by default in a folder of its own under `runs/`.
 * @param models - folders that the experiment was made with, unless they were its own
 * @throws Error if the folder holds another run
 */
export function newRun(experiment: Experiment, folder = defaultFolder(experiment), models: ModelFolders = {}): Run {
  const { name, config, generator } = experiment;
  const environment = describeEnvironment({ backend: tf.getBackend(), engine: generator.model.engine, seed: config.seed });
  const record = { config: { experiment: name, ...config }, environment, models: modelsOf(experiment, models) };
  return { folder: createRun(folder, record), state: startTraining(experiment) };
}

/** @throws Error naming the first difference between an experiment and the run that it shall go on with */
export function requireSame(experiment: Experiment, folder: string, { config, models }: RunRecord): void {
  const { experiment: name, ...keys } = config;
  if (name !== experiment.name) throw new Error(`${folder} holds a run of ${String(name)}, not of ${experiment.name}`);
  const current = experiment.config as Readonly<Record<string, unknown>>;
  const key = Object.keys(keys).find((each) => keys[each] !== current[each]);
  if (key)
    throw new Error(
      `${folder} was made with ${key} ${String(keys[key])}, not ${String(current[key])}: resume it as it was configured`,
    );
  for (const part of ['generator', 'target'] as const)
    if (models && models[part].sha256 !== fingerprint(experiment[part].params))
      throw new Error(
        `${folder} began with a ${part} of other weights (${models[part].folder ?? "the experiment's own"}): start a new run`,
      );
}

/**
 * A run that was stopped, at its newest checkpoint; from the start if it had none.
 * @throws Error if the folder holds no run, or one of another experiment, configuration or model
 */
export function resumedRun(experiment: Experiment, folder: string): Run {
  requireSame(experiment, folder, readRun(folder));
  const { run, state } = resumeRun(folder);
  return { folder: run, state: state ? fromSaved(state) : startTraining(experiment) };
}

const EXAMPLES_PER_SAMPLE = 4;

/** The pieces that a response's tokens add to its text, and τ of each; nothing where the target reads other tokens than the generator writes. */
function creditOf({ generator, target }: Experiment, response: readonly number[], i: number, { rollouts, tokenRewards }: TrainStep) {
  if (!tokenRewards || !isSameTokenizer(generator.tokenizer, target.tokenizer)) return {};
  const upTo = (count: number): string => generator.tokenizer.decode(response.slice(0, count));
  const first = i * (rollouts.maxNewTokens - 1);
  return {
    tokens: response.map((_, k) => upTo(k + 1).slice(upTo(k).length)),
    token_rewards: response.map((_, k) => (k ? tokenRewards[first + k - 1] : null)), // nothing predicts the first
  };
}

function sampleOf(experiment: Experiment, step: TrainStep) {
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

/** {@link train}, logged into the run's folder. Yields every step after its row is written. */
export async function* record(
  experiment: Experiment,
  { folder, state }: Run,
  options: RecordOptions = {},
): AsyncGenerator<TrainStep, void, undefined> {
  const { checkpointEvery = 50, examplesEvery = 10, signal, warn = console.warn } = options;
  folder.reopen(); // a notebook closes it at its end, and may then be told to go on
  const events = createEventFile(folder.path);
  let [logged, saved] = [state.step, state.step];
  const checkpoint = async (): Promise<void> => {
    if (saved === state.step || logged !== state.step) return; // a step whose rows could not be written is done again
    await folder.saveCheckpoint(state.step, toSaved(state));
    saved = state.step;
  };
  const diverging = divergenceWatch();
  try {
    for await (const step of train({ ...experiment, state, signal })) {
      folder.appendMetrics(step.row);
      const warning = diverging(step.row);
      if (warning) warn(warning);
      events.write(step.row.step, step.row);
      if (step.row.step % examplesEvery === 0 || step.row.step === 1) folder.appendExamples(sampleOf(experiment, step));
      logged = step.row.step;
      if (step.row.step % checkpointEvery === 0) await checkpoint();
      yield step;
    }
  } finally {
    await checkpoint();
  }
}
