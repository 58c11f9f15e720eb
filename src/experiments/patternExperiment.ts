/**
 * "67" and QR code: a picture appears in the LM head of a model that was fine-tuned on the generator's text (paper §4).
 */
import { patternObjective, readPattern, SIXTY_SEVEN, type Pattern, type PatternReading } from '../objective/pattern';
import { qrPattern, readQrCode } from '../objective/qrCode';
import type { Params } from '../tensor/params';
import { parseConfig, type ConfigInput } from '../dpg/config';
import type { Experiment } from '../dpg/experiment';
import { geometric } from '../dpg/schedule';
import type { ModelFolders } from '../dpg/models';
import { weightSpaceActors } from './weightSpace';

/** An experiment whose Φ is a picture. */
export interface PatternExperiment extends Experiment {
  readonly pattern: Pattern;
  /** What the patch of a fine-tuned target shows. */
  readonly read: (tuned: Params) => PatternReading;
}

/** The experiment that draws `pattern` into the LM head, at its first hidden dimensions and tokens. */
export async function patternExperiment(
  name: string,
  pattern: Pattern,
  defaults: ConfigInput,
  input: ConfigInput,
  folders?: ModelFolders,
): Promise<PatternExperiment> {
  const config = parseConfig(input, defaults);
  const actors = await weightSpaceActors(config, folders);
  const { params } = actors.target;
  const { strength, finalStrength } = config;
  const read = (tuned: Params): PatternReading => readPattern(pattern, params, tuned, { strength });
  return {
    name,
    purpose: `a model that is fine-tuned on its text carries a picture of ${pattern.length} × ${pattern[0].length} pixels in its LM head`,
    ...actors,
    pattern,
    read,
    objective: {
      at: (step, of) => patternObjective(pattern, params, { strength: geometric(strength, strength * finalStrength, step, of) }),
    },
    observe: ({ tuned }) => {
      const { accuracy, change } = read(tuned);
      return { metrics: { pixel_accuracy: accuracy }, image: change, done: accuracy === 1 };
    },
  };
}

/** Settings found for the small models; every key can be overridden. */
export const SIXTY_SEVEN_DEFAULTS: ConfigInput = {
  steps: 200,
  stopAfterDone: 5,
  prompts: 64,
  heldOutExamples: 512,
  strength: 6000,
  epsRoot: 1e-3,
  learningRate: 4e-4,
  finalLearningRate: 0.1,
  klCoef: 0.06,
  entropyCoef: 0,
};

/** The paper's "67": 42 weights of the LM head. */
export const sixtySeven = (input: ConfigInput = {}, folders?: ModelFolders): Promise<PatternExperiment> =>
  patternExperiment('sixty-seven', SIXTY_SEVEN, SIXTY_SEVEN_DEFAULTS, input, folders);

/** Settings found for the small models; every key can be overridden. */
export const QR_CODE_DEFAULTS: ConfigInput = {
  steps: 700,
  stopAfterDone: 0,
  prompts: 256,
  rollouts: 4,
  maxNewTokens: 32,
  strength: 6000,
  finalStrength: 10,
  epsRoot: 1e-3,
  learningRate: 1e-3,
  finalLearningRate: 0.05,
  minibatch: 256,
  klCoef: 0,
  entropyCoef: 0.02,
  credit: 'token',
  heldOutExamples: 8192,
};

/** The paper's QR code: 441 weights of the LM head. @throws RangeError for a payload that such a code cannot hold */
export async function qrCode(input: ConfigInput = {}, folders?: ModelFolders): Promise<PatternExperiment> {
  const pattern = qrPattern(parseConfig(input, QR_CODE_DEFAULTS).payload);
  const experiment = await patternExperiment('qr-code', pattern, QR_CODE_DEFAULTS, input, folders);
  return { ...experiment, decode: async (image) => ({ ...(await readQrCode(image.map((row) => row.map(Math.sign)))) }) };
}
