/**
 * The paper's QR code: 441 weights of the LM head (paper §4).
 */
import { PAYLOAD, QR_TEXT, qrPattern, readQrCode } from '../objective/qrCode';
import type { Experiment } from '../dpg/experiment';
import { text, type ConfigOf } from '../dpg/keys';
import type { ModelFolders } from '../dpg/models';
import { makeExperiment, type Definition, type Parts } from './definition';
import { weightPresets } from './paper';
import { patternKeys, patternParts, type PatternParts } from './pattern';
import { CHARACTER_MODELS } from './weightSpace';

export const qrCodeKeys = {
  ...patternKeys,
  payload: text(QR_TEXT, { default: PAYLOAD, description: 'What the code says', paper: PAYLOAD }),
};

/** The configuration of the QR code. */
export type QrCodeConfig = ConfigOf<typeof qrCodeKeys>;

type QrCodeParts = Parts<QrCodeConfig> & PatternParts;

export const qrCodeDefinition: Definition<QrCodeConfig, QrCodeParts> = {
  name: 'qr-code',
  keys: qrCodeKeys,
  models: CHARACTER_MODELS,
  defaults: {
    steps: 700,
    stopAfterDone: 0,
    prompts: 256,
    groupSize: 4,
    maxNewTokens: 32,
    strength: 6000,
    strengthEnd: 60_000,
    innerEpsRoot: 1e-3,
    learningRate: 1e-3,
    learningRateEnd: 5e-5,
    minibatch: 256,
    klCoef: 0,
    entropyCoef: 0.02,
    credit: 'token',
    heldOutExamples: 8192,
  },
  presets: weightPresets<QrCodeConfig>({
    paper: {
      prompts: 24_576, // paper: 24,576; × 4 = 98,304 examples = 96 steps of 1,024
      innerSteps: 96, // paper: 96
      steps: 240, // paper: 240
      strength: 20, // paper: 20
      strengthEnd: 20, // paper: 20
      heldOutExamples: 98_304, // paper: 98,304
    },
    gpt2: { strength: 1e6, strengthEnd: 1e6 }, // strength · learning rate · innerSteps = 5, so that pixels which are right stop pulling
  }),
  make: async (config, actors) => ({
    ...(await patternParts(qrPattern(config.payload), config, actors)),
    decode: async (image) => ({ ...(await readQrCode(image.map((row) => row.map(Math.sign)))) }),
  }),
};

/** The paper's QR code. @param input - keys that differ from its defaults @throws as {@link makeExperiment} */
export const qrCode = (
  input: Partial<QrCodeConfig> = {},
  models: ModelFolders = {},
): Promise<Experiment<QrCodeConfig> & QrCodeParts> => makeExperiment(qrCodeDefinition, input, models);
