/**
 * Sweeps: the same experiment with several methods and seeds, at equal numbers of synthetic examples (paper §4, figures on 67 and the L2 norm).
 *
 * Every method first gets its own learning rate of the generator: a short run for each candidate, with a seed and with held-out prompts that no
 * reported run has. All methods are then measured alike: one response to each of the same held-out prompts, plain SFT of a fresh target on them.
 */
import { disposeParams } from '../tensor/params';
import { meanVocabularyShare } from '../text/vocabulary';
import type { ConfigInput } from '../dpg/config';
import { EXPERIMENTS } from './experiments';
import { tunedLearningRate, type CurvePoint, type Measures, type ResultRow } from '../runs/results';
import type { Experiment } from '../dpg/experiment';
import { disposeTrainer, startTraining, train } from '../dpg/train';
import { validate, validateControl, type Validation } from '../dpg/validate';

/** One method of a sweep. */
export interface SweepMethod {
  readonly name: string;
  /** What differs from the sweep's configuration. */
  readonly config: ConfigInput;
  /** Candidates for the generator's learning rate (a single one needs no tuning), or the method whose choice is taken over. */
  readonly learningRates: readonly number[] | string;
  /** By default the sweep's. */
  readonly seeds?: readonly number[];
}

/** A plain list of methods, and what they share. */
export interface Sweep {
  /** A name of {@link EXPERIMENTS}. */
  readonly experiment: string;
  /** Synthetic examples that a reported run sees. */
  readonly examples: number;
  /** Synthetic examples that a tuning run sees. */
  readonly tuningExamples: number;
  /** Examples between two measurements; a multiple of every method's prompts × rollouts. */
  readonly every: number;
  readonly seeds: readonly number[];
  /** Learning rates whose tuning run leaves a smaller share of words in the vocabulary are no candidates; by default all are. */
  readonly minWords?: number;
  readonly config: ConfigInput & { readonly prompts: number; readonly rollouts: number };
  readonly methods: readonly SweepMethod[];
}

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

/** The configuration of a method for this many examples; GRPO steps follow from them. */
function configOf(sweep: Sweep, { config }: SweepMethod, examples: number, learningRate: number): ConfigInput {
  const whole = { ...sweep.config, ...config };
  return { ...whole, learningRate, steps: examples / (whole.prompts * whole.rollouts) };
}

/** The method of that name. @throws RangeError listing those there are */
function methodOf({ methods, experiment }: Sweep, name: string): SweepMethod {
  const method = methods.find((each) => each.name === name);
  if (!method) throw new RangeError(`${experiment} has no method "${name}"; there are: ${methods.map((m) => m.name).join(', ')}`);
  return method;
}

function tuningPlans(sweep: Sweep, method: SweepMethod): Plan[] {
  if (typeof method.learningRates === 'string' || method.learningRates.length === 1) return [];
  return method.learningRates.map((learningRate) => ({
    stage: 'tuning',
    method: method.name,
    seed: TUNING_SEED,
    config: configOf(sweep, method, sweep.tuningExamples, learningRate),
  }));
}

function learningRateOf(sweep: Sweep, { name, learningRates }: SweepMethod, rows: readonly ResultRow[]): number {
  if (typeof learningRates === 'string') return learningRateOf(sweep, methodOf(sweep, learningRates), rows);
  return learningRates.length === 1 ? learningRates[0] : tunedLearningRate(rows, name, sweep.minWords);
}

function reportedPlans(sweep: Sweep, method: SweepMethod, rows: readonly ResultRow[], options: SweepOptions): Plan[] {
  const { seeds = method.seeds ?? sweep.seeds, examples = sweep.examples } = options;
  const config = configOf(sweep, method, examples, learningRateOf(sweep, method, rows));
  return seeds.map((seed) => ({ stage: 'reported', method: method.name, seed, config }));
}

const identity = ({ stage, method, seed, config }: Plan): string =>
  JSON.stringify([stage, method, seed, Object.entries(config).sort()]);

/**
 * The runs of one method and stage that are not among `options.rows`.
 * @throws RangeError for a method that the sweep does not have, Error for a reported one whose learning rate is not tuned
 */
export function missingRuns(sweep: Sweep, name: string, stage: ResultRow['stage'], options: SweepOptions): Plan[] {
  const { rows = [] } = options;
  const method = methodOf(sweep, name);
  const plans = stage === 'tuning' ? tuningPlans(sweep, method) : reportedPlans(sweep, method, rows, options);
  const present = new Set(rows.map(identity));
  return plans.filter((plan) => !present.has(identity(plan)));
}

/** Runs what is missing, method by method, tuning first; yields every row when its run has ended. @throws Error as {@link missingRuns} */
export async function* runSweep(sweep: Sweep, options: SweepOptions = {}): AsyncGenerator<ResultRow, void, undefined> {
  const { only = sweep.methods.map(({ name }) => name), stages = ['tuning', 'reported'], signal } = options;
  const rows = [...(options.rows ?? [])];
  for (const name of only) {
    for (const stage of stages) {
      for (const plan of missingRuns(sweep, name, stage, { ...options, rows })) {
        const row = await runPlan(sweep, plan, options);
        if (signal?.aborted) return;
        rows.push(row);
        yield row;
      }
    }
  }
}

async function runPlan(sweep: Sweep, plan: Plan, { workers, signal }: SweepOptions): Promise<ResultRow> {
  const started = performance.now();
  const experiment = await EXPERIMENTS[sweep.experiment]({ ...plan.config, seed: plan.seed, workers });
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
  const perStep = experiment.config.prompts * experiment.config.rollouts;
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
function measures({ phi, metrics, examples, tuned }: Omit<Validation, 'step'>): Measures {
  disposeParams(tuned);
  return { phi, ...metrics, words: meanVocabularyShare(examples) };
}
