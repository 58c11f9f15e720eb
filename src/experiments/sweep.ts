/**
 * Sweeps: the same experiment with several methods and seeds, at equal numbers of synthetic examples (paper §4, figures on 67 and the L2
 * norm).
 *
 * Every method first gets its own learning rate of the generator: a short run for each candidate, with a seed and with held-out prompts
 * that no reported run has. All methods are then measured alike: one response to each of the same held-out prompts, plain SFT of a fresh
 * target on them.
 */
import { disposeParams } from '../tensor/params';
import type { ConfigInput } from '../dpg/config';
import { makeExperiment, type Definition, type SweepMethod } from './definition';
import { tunedLearningRate, type CurvePoint, type Measures, type ResultRow } from '../runs/results';
import type { Experiment } from '../dpg/experiment';
import { disposeTrainer, startTraining, train } from '../dpg/train';
import { validate, validateControl, type Validation } from '../dpg/validate';

/** A definition that has a sweep. */
export type Swept = Definition & Required<Pick<Definition, 'sweep'>>;

/** What of a sweep to run. */
export interface SweepOptions {
  /** Rows that are there: their runs are left out, unless they were configured otherwise. */
  readonly rows?: readonly ResultRow[];
  /** Names of methods; by default all. */
  readonly only?: readonly string[];
  readonly seeds?: readonly number[];
  readonly stages?: readonly ResultRow['stage'][];
  /** Instead of the sweep's, for a quick look. */
  readonly examples?: number;
  readonly workers?: number;
  readonly signal?: AbortSignal;
}

/** Of tuning runs: no seed that is reported, no held-out prompts that are reported. */
const TUNING_SEED = 100;

/** One run that a sweep wants. */
type Plan = Pick<ResultRow, 'stage' | 'method' | 'seed' | 'config'>;

/** Both ends of a learning rate: it falls as much as the experiment's own does, in the digits that rows keep. */
function bothRates(first: number, { learningRate: start, learningRateEnd: end }: ConfigInput): ConfigInput {
  if (!start || end === undefined) return { learningRate: first };
  return { learningRate: first, learningRateEnd: Number(((first * end) / start).toPrecision(6)) };
}

/** The configuration of a method for this many examples; GRPO steps follow from them. */
function configOf({ sweep, defaults }: Swept, { config }: SweepMethod, examples: number, learningRate: number): ConfigInput {
  const whole = { ...sweep.config, ...config };
  const steps = examples / (whole.prompts * whole.groupSize);
  return { ...whole, ...bothRates(learningRate, defaults), steps };
}

/** The method of that name. @throws RangeError listing those there are */
function methodOf({ name: experiment, sweep: { methods } }: Swept, name: string): SweepMethod {
  const method = methods.find((each) => each.name === name);
  if (!method) throw new RangeError(`${experiment} has no method "${name}"; there are: ${methods.map((m) => m.name).join(', ')}`);
  return method;
}

function tuningPlans(definition: Swept, method: SweepMethod): Plan[] {
  if (typeof method.learningRates === 'string' || method.learningRates.length === 1) return [];
  return method.learningRates.map((learningRate) => ({
    stage: 'tuning',
    method: method.name,
    seed: TUNING_SEED,
    config: configOf(definition, method, definition.sweep.tuningExamples, learningRate),
  }));
}

function learningRateOf(definition: Swept, { name, learningRates }: SweepMethod, rows: readonly ResultRow[]): number {
  if (typeof learningRates === 'string') return learningRateOf(definition, methodOf(definition, learningRates), rows);
  return learningRates.length === 1 ? learningRates[0] : tunedLearningRate(rows, name, definition.sweep.minWords);
}

function reportedPlans(definition: Swept, method: SweepMethod, rows: readonly ResultRow[], options: SweepOptions): Plan[] {
  const { seeds = method.seeds ?? definition.sweep.seeds, examples = definition.sweep.examples } = options;
  const config = configOf(definition, method, examples, learningRateOf(definition, method, rows));
  return seeds.map((seed) => ({ stage: 'reported', method: method.name, seed, config }));
}

const identity = ({ stage, method, seed, config }: Plan): string =>
  JSON.stringify([stage, method, seed, Object.entries(config).sort()]);

/**
 * The runs of one method and stage that are not among `options.rows`.
 * @throws RangeError for a method that the sweep does not have, Error for a reported one whose learning rate is not tuned
 */
export function missingRuns(definition: Swept, name: string, stage: ResultRow['stage'], options: SweepOptions): Plan[] {
  const { rows = [] } = options;
  const method = methodOf(definition, name);
  const plans = stage === 'tuning' ? tuningPlans(definition, method) : reportedPlans(definition, method, rows, options);
  const present = new Set(rows.map(identity));
  return plans.filter((plan) => !present.has(identity(plan)));
}

/** Runs what is missing, method by method, tuning first; yields every row when its run has ended. @throws Error as {@link missingRuns} */
export async function* runSweep(definition: Swept, options: SweepOptions = {}): AsyncGenerator<ResultRow, void, undefined> {
  const { only = definition.sweep.methods.map(({ name }) => name), stages = ['tuning', 'reported'], signal } = options;
  const rows = [...(options.rows ?? [])];
  for (const name of only) {
    for (const stage of stages) {
      for (const plan of missingRuns(definition, name, stage, { ...options, rows })) {
        const row = await runPlan(definition, plan, options);
        if (signal?.aborted) return;
        rows.push(row);
        yield row;
      }
    }
  }
}

async function runPlan(definition: Swept, plan: Plan, { workers, signal }: SweepOptions): Promise<ResultRow> {
  const started = performance.now();
  const { sweep } = definition;
  const whole = { stopAfterDone: 0 }; // methods are compared at equal numbers of examples
  const experiment = await makeExperiment(definition, { ...plan.config, ...whole, seed: plan.seed, workers });
  try {
    const every = plan.stage === 'tuning' ? sweep.tuningExamples : sweep.every;
    const validationSeed = plan.stage === 'tuning' ? TUNING_SEED : undefined;
    const curve = await trainingCurve(experiment, every, validationSeed, signal);
    const control = plan.stage === 'reported' ? measures(await validateControl(experiment)) : undefined;
    const { examples: _, ...held_out } = curve[curve.length - 1];
    return { ...plan, curve, held_out, control, seconds: (performance.now() - started) / 1000 };
  } finally {
    for (const { model, params } of [experiment.generator, experiment.target]) {
      model.dispose();
      disposeParams(params);
    }
  }
}

/** Trains, and measures before, along and after training. */
async function trainingCurve(
  experiment: Experiment,
  every: number,
  validationSeed: number | undefined,
  signal: AbortSignal | undefined,
): Promise<CurvePoint[]> {
  const state = startTraining(experiment);
  const perStep = experiment.config.prompts * experiment.config.groupSize;
  const measure = async (): Promise<CurvePoint> => ({
    examples: state.step * perStep,
    ...measures(await validate(experiment, state, validationSeed)),
  });
  const curve = [await measure()];
  for await (const { row } of train({ ...experiment, state, signal }))
    if ((row.step * perStep) % every === 0) curve.push(await measure());
  disposeTrainer(state);
  return curve;
}

/** Numbers of a validation, whose fine-tuned target is freed. */
function measures({ phi, metrics, tuned }: Omit<Validation, 'step' | 'untrained'>): Measures {
  disposeParams(tuned);
  return { phi, ...metrics };
}
