/**
 * A training run with its folder: every row is logged, checkpoints are taken, and a run that was stopped goes on bit by bit as if it had not been.
 */
import path from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { responsesOf } from '../policy/rollouts';
import { restoreStream } from '../tensor/random';
import { DATA, toStored, toTensors } from './actor';
import { describeEnvironment } from './environment';
import { createRun, resumeRun, type RunFolder } from './runFolder';
import type { SavedState } from './savedState';
import { createEventFile } from './tensorboard';
import { startTraining, train, type Experiment, type TrainerState, type TrainStep } from './train';

/** How a run is logged. */
export interface RecordOptions {
  /** Steps between checkpoints; one more is taken at the end. */
  readonly checkpointEvery?: number;
  /** Steps between samples of prompts, outputs and rewards in examples.jsonl. */
  readonly examplesEvery?: number;
  readonly signal?: AbortSignal;
}

/** A run folder and the state of its training; hand both to {@link record}, and close the folder at the end. */
export interface Run {
  readonly folder: RunFolder;
  readonly state: TrainerState;
}

/** The state of a run as it is saved. */
function toSaved({ perfect, training, streams }: TrainerState): Omit<SavedState, 'step'> {
  const moments = Object.entries(training.moments).map(([name, tree]) => [name, toStored(tree)]);
  const streamStates = Object.fromEntries(Object.entries(streams).map(([name, stream]) => [name, stream.state()]));
  return {
    trees: { generator: toStored(training.params), ...Object.fromEntries(moments) },
    values: { perfect, optimizerStep: training.step, streams: streamStates },
  };
}

/** A state to go on from. */
function fromSaved({ step, trees, values }: SavedState): TrainerState {
  const { generator, ...moments } = trees;
  const { perfect, optimizerStep, streams } = values as {
    perfect: number;
    optimizerStep: number;
    streams: Record<string, number[]>;
  };
  const restored = Object.fromEntries(Object.entries(streams).map(([name, state]) => [name, restoreStream(state)]));
  return {
    step,
    perfect,
    training: {
      params: toTensors(generator),
      moments: Object.fromEntries(Object.entries(moments).map(([name, tree]) => [name, toTensors(tree)])),
      step: optimizerStep,
    },
    streams: restored as TrainerState['streams'],
  };
}

/** `runs/EXPERIMENT-seedN-TIME` in the project's folder. */
const defaultFolder = ({ name, config }: Experiment): string =>
  path.join(DATA, '..', 'runs', `${name}-seed${config.seed}-${new Date().toISOString().slice(0, 19).replace(/:/g, '')}`);

/** A new run, by default in a folder of its own under `runs/`. @throws Error if the folder holds another run */
export function newRun(experiment: Experiment, folder = defaultFolder(experiment)): Run {
  const { config, generator } = experiment;
  const environment = describeEnvironment({ backend: tf.getBackend(), engine: generator.model.engine, seed: config.seed });
  return {
    folder: createRun(folder, { config: { experiment: experiment.name, ...config }, environment }),
    state: startTraining(experiment),
  };
}

/**
 * A run that was stopped, at its newest checkpoint; from the start if it had none.
 * @throws Error if the folder holds no run, or a run of another experiment
 */
export function resumedRun(experiment: Experiment, folder: string): Run {
  const resumed = resumeRun(folder);
  if (resumed.config.experiment !== experiment.name) {
    resumed.run.close();
    throw new Error(`${folder} holds a run of ${String(resumed.config.experiment)}, not of ${experiment.name}`);
  }
  return { folder: resumed.run, state: resumed.state ? fromSaved(resumed.state) : startTraining(experiment) };
}

const EXAMPLES_PER_SAMPLE = 4;

function sampleOf(experiment: Experiment, { row, rollouts, rewards, advantages }: TrainStep) {
  const { tokenizer } = experiment.generator;
  const responses = responsesOf(rollouts).slice(0, EXAMPLES_PER_SAMPLE);
  return responses.map((response, i) => ({
    step: row.step,
    prompt: tokenizer.decode(rollouts.prompts[Math.floor(i / rollouts.group)]),
    response: tokenizer.decode(response),
    reward: rewards[i],
    advantage: advantages[i * rollouts.maxNewTokens],
  }));
}

/** {@link train}, logged into the run's folder. Yields every step after its row is written. */
export async function* record(
  experiment: Experiment,
  { folder, state }: Run,
  options: RecordOptions = {},
): AsyncGenerator<TrainStep, void, undefined> {
  const { checkpointEvery = 50, examplesEvery = 10, signal } = options;
  const events = createEventFile(folder.path);
  let saved = state.step;
  const checkpoint = async (): Promise<void> => {
    if (saved === state.step) return;
    await folder.saveCheckpoint(state.step, toSaved(state));
    saved = state.step;
  };
  try {
    for await (const step of train({ ...experiment, state, signal })) {
      folder.appendMetrics(step.row);
      events.write(step.row.step, step.row);
      if (step.row.step % examplesEvery === 0 || step.row.step === 1) folder.appendExamples(sampleOf(experiment, step));
      if (step.row.step % checkpointEvery === 0) await checkpoint();
      yield step;
    }
  } finally {
    await checkpoint();
  }
}
