/** A whole run in one call: a past one made again with other settings. */
import { disposeParams } from '../tensor/params';
import { disposeTrainer, isDone } from '../dpg/train';
import { validate, type Validation } from '../dpg/validate';
import type { Experiment } from '../dpg/experiment';
import { makeExperiment } from '../experiments/definition';
import { EXPERIMENTS } from '../experiments/experiments';
import { loadDefinition } from '../experiments/ownTarget';
import { shown } from '../files/printable';
import { openRun, type PastRun } from '../runs/pastRun';
import { modelFolders, newRun, record, type Run } from '../runs/record';
import type { Summary } from '../runs/records';
import { runPath, type RunOrName } from '../runs/runName';
import { writeSummary } from '../runs/summary';
import { saveRunFigures } from './runFigures';
import { follow } from './watch';

/** Validates a trained run on held-out prompts, and writes its summary and figures. */
export async function endRun(experiment: Experiment, run: Run): Promise<{ after: Omit<Validation, 'tuned'>; summary: Summary }> {
  const { tuned, ...after } = await validate(experiment, run.state);
  disposeParams(tuned);
  const read = after.image && (await experiment.decode?.(after.image));
  const summary = writeSummary(experiment, run, { after, read });
  saveRunFigures(run.folder.path, after.image);
  return { after, summary };
}

/** The experiment of a past run with other settings. */
async function experimentOf(run: RunOrName, changes: Readonly<Record<string, unknown>>): Promise<[Experiment, PastRun]> {
  const past = openRun(run);
  const { experiment: name, ...config } = past.config;
  if (!past.module && !Object.hasOwn(EXPERIMENTS, name))
    throw new Error(
      `${runPath(run)} is of ${shown(name)}, whose Φ stands in a cell: change it there, or put it into a module, which "dpg new" makes`,
    );
  return [await makeExperiment(await loadDefinition(past.module ?? name), { ...config, ...changes }, modelFolders(past)), past];
}

/**
 * Makes a past run again with some keys changed, to its end and with its result: `await dpg.rerun(run, { strength: 3000 })`. The stop
 * button ends it after the running step; `npx dpg train --resume` goes on with it.
 * @param changes - configuration keys with their new values
 * @param out - the run folder, by default a new one under `runs/`
 * @returns the new run, for `dpg.report`, `dpg.compare` and figures
 * @throws RangeError for a key or value that the experiment does not have
 * @throws Error if there is no such run, or its experiment stands in a notebook alone
 */
export async function rerun(run: RunOrName, changes: Readonly<Record<string, unknown>> = {}, out?: string): Promise<PastRun> {
  const [experiment, past] = await experimentOf(run, changes);
  const again = newRun(experiment, out, modelFolders(past));
  try {
    await follow((signal) => record(experiment, again, { signal }), {
      total: experiment.config.steps,
      metrics: ({ row }) => ({ Φ: row.phi }),
    });
    if (isDone(experiment, again.state)) await endRun(experiment, again);
  } finally {
    again.folder.close();
    disposeTrainer(again.state);
    for (const { model, params } of [experiment.generator, experiment.target]) {
      model.dispose();
      disposeParams(params);
    }
  }
  return openRun(again);
}
