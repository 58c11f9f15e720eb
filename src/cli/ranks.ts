/** A training run as one rank of several: rank 0 writes the run folder, the others take part in the work alone. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Experiment } from '../dpg/experiment';
import { startTraining, train, type MetricsRow, type TrainerState, type TrainStep } from '../dpg/train';
import type { Collective } from '../model/ranks/collective';
import { rankedModel } from '../model/ranks/ranked';
import { fingerprint, newRun, record, resumedRun, stateOf, type RecordOptions, type Run } from '../runs/record';
import { runPath } from '../runs/runName';
import { UsageError } from './command';
import type { StopRequest } from './stopRequest';
import type { Arguments } from './trainArguments';

/** The same experiment, the work of its models shared out over the ranks. */
export function onRanks<E extends Experiment>(experiment: E, ranks: Collective): E {
  if (ranks.size === 1) return experiment;
  const { generator, target } = experiment;
  return {
    ...experiment,
    generator: { ...generator, model: rankedModel(generator.model, ranks) },
    target: { ...target, model: rankedModel(target.model, ranks) },
  };
}

/** A run as a rank has it: the folder is rank 0's. */
export interface RankRun {
  readonly run?: Run;
  readonly state: TrainerState;
}

/** What every rank says, by rank. */
async function saidByAll<T>(ranks: Collective, own: T): Promise<T[]> {
  const said = await ranks.gather(Buffer.from(JSON.stringify(own)));
  return said.map((bytes) => JSON.parse(Buffer.from(bytes).toString()) as T);
}

/** @throws Error naming the first rank that says something else than rank 0 */
function requireSameOnAll(said: readonly unknown[], what: string, way: string): void {
  const [first, ...others] = said.map((each) => JSON.stringify(each));
  const other = others.findIndex((each) => each !== first) + 1;
  if (other) throw new Error(`rank ${other} has ${what} than rank 0: ${way}`);
}

/**
 * Opens the run on rank 0; without a `folder` elsewhere. What starts all ranks again gives the command of before, so a run that has begun
 * in `--out` goes on.
 * @throws Error if the ranks were started with other configurations or weights
 * @throws UsageError for several ranks and no folder to go on in
 */
export async function openOnRanks(
  experiment: Experiment,
  { out, resume, change, models }: Arguments,
  ranks: Collective,
): Promise<RankRun> {
  const open = (resumed?: string): Run =>
    resumed === undefined ? newRun(experiment, out, models) : resumedRun(experiment, resumed, change);
  const alone = (run: Run) => ({ run, state: run.state });
  if (ranks.size === 1) return alone(open(resume));
  const place = resume ?? out;
  if (place === undefined)
    throw new UsageError('a run on several ranks needs --out DIR, or --resume RUN: started again, it goes on there');
  const { config, generator, target } = experiment;
  const own = [config, fingerprint(generator.params), fingerprint(target.params)];
  requireSameOnAll(
    await saidByAll(ranks, own),
    'another configuration or other weights',
    'start every rank with the same command, and the same files',
  );
  const folder = runPath(place);
  const begun = existsSync(path.join(folder, 'config.json'));
  const opened = ranks.rank === 0 ? alone(open(begun ? folder : resume)) : undefined;
  const [goesOn] = await saidByAll(ranks, begun); // rank 0 has opened it
  return opened ?? { state: goesOn ? stateOf(experiment, folder) : startTraining(experiment) };
}

/** A wish to stop that all ranks follow after the same step. */
export interface AgreedStop extends Pick<StopRequest, 'signal' | 'exitCode'> {
  /**
   * To be awaited after every step.
   * @throws Error naming the rank that has come to other numbers than rank 0
   */
  afterStep(row: MetricsRow): Promise<void>;
}

/** Makes one wish of those that reach the ranks, in different steps. */
export function agreedStop(ranks: Collective, stop: StopRequest): AgreedStop {
  if (ranks.size === 1) return { ...stop, afterStep: async () => undefined };
  const agreed = new AbortController();
  let code = 0;
  return {
    signal: agreed.signal,
    exitCode: () => code,
    async afterStep({ seconds: _, ...numbers }) {
      const said = await saidByAll(ranks, { numbers, code: stop.exitCode() });
      requireSameOnAll(
        said.map((each) => each.numbers),
        `come to other numbers in step ${numbers.step}`,
        'ranks need processors of one kind, and the same --workers',
      );
      code = said.find((each) => each.code)?.code ?? 0;
      if (code) agreed.abort();
    },
  };
}

/** The steps of a run; rank 0 alone writes them. */
export const stepsOf = (
  experiment: Experiment,
  { run, state }: RankRun,
  options: RecordOptions,
): AsyncGenerator<TrainStep, void, undefined> =>
  run ? record(experiment, run, options) : train({ ...experiment, state, signal: options.signal });
