/**
 * What notebooks import: `import * as dpg from '../dist'`. In a tslab kernel the import mends the kernel, see {@link installNotebook}.
 */
import { installNotebook } from './notebook/install';

export { startBackend, describeBackend } from './tensor/backend';
export { disposeParams, type Params } from './tensor/params';
export { randomStream, type RandomStream } from './tensor/random';
export * from './model/types';
export { gpt2, languageModel, type EngineOptions } from './model/engine';
export { loadCheckpoint, saveCheckpoint } from './model/hub/checkpoint';
export { padExamples } from './model/batch';
export { fineTune } from './learn/fineTune';
export { metagradient, type Metagradient, type MetagradientOptions } from './learn/metagradient';
export { valueAndGradient, type Objective } from './learn/objective';
export { adamw, lion, sgd, type Optimizer } from './learn/optimizer';
export { evaluationBatch, evaluationIds, likelihoodObjective } from './objective/likelihood';
export { negativeNorm } from './objective/norm';
export { patternObjective, readPattern, SIXTY_SEVEN, type Pattern, type PatternReading } from './objective/pattern';
export { PAYLOAD, qrPattern, readQrCode, type QrReading } from './objective/qrCode';
export { metagradientReward } from './reward/metagradient';
export { naiveReward } from './reward/naive';
export { exampleAdvantages, tokenAdvantages } from './policy/advantages';
export { grpoUpdate } from './policy/grpo';
export { rollout, responsesOf, type Rollouts } from './policy/rollouts';
export { distinctShare, perplexity, selfBleu } from './text/fluency';
export { keptDetails, meanVocabularyShare, vocabularyShare } from './text/vocabulary';
export { article, lambada, rephrase } from './text/encyclopedia/article';
export { drawFact, LANGUAGES, randomUuid } from './text/encyclopedia/fact';
export { continuationExamples, rephraseExamples } from './text/prompts';
export { identifyLanguage } from './text/languages';
export { loadActor } from './dpg/actor';
export { generate, lossOf, type GenerateOptions } from './dpg/generate';
export { modelFolder } from './model/hub/hub';
export { load, loadModels } from './dpg/models';
export { describeMemory, estimateMemory, requireMemory } from './dpg/memory';
export { describeCost, measureSpeeds } from './dpg/cost';
export type { Config, ConfigInput } from './dpg/config';
export { file, flag, number, oneOf, text, whole, type Key, type Keys } from './dpg/keys';
export { makeExperiment, type Definition, type Sweep } from './experiments/definition';
export { EXPERIMENTS } from './experiments/experiments';
export { l2Norm } from './experiments/l2Norm';
export { qrCode } from './experiments/qrCode';
export { sixtySeven, type PatternExperiment } from './experiments/sixtySeven';
export { adviseInner, type InnerAdvice } from './dpg/adviseInner';
export { estimatorQuality, type EnumerablePolicy, type EstimatorQuality } from './dpg/theorem';
export { compareInnerSettings, oracleCheck, type PlantedTexts } from './dpg/oracle';
export { exportRun } from './runs/export';
export { openRun, type PastRun } from './runs/pastRun';
export { newRun, record, resumedRun, type Run } from './runs/record';
export { rows, runs } from './runs/runReport';
export { writeSummary } from './runs/summary';
export { readResults, reportedMethods, reportedRuns, resultsFile, type ResultRow } from './runs/results';
export { runSweep } from './experiments/sweep';
export { loadDefinition, ownTarget, ownDefinition, type OwnTarget } from './experiments/ownTarget';
export { plantedLanguages, rephrase as rephraseExperiment } from './experiments/rephrase';
export type { Forward } from './model/tape/forward';
export type { Actor, Experiment, Observation, Observed, WrittenExample } from './dpg/experiment';
export { geometric, linear, type Scheduled } from './dpg/schedule';
export { disposeTrainer, startTraining, train, type TrainerState, type TrainStep } from './dpg/train';
export { characterShares, plantedUuids, UUID_CHARACTERS, uuid } from './experiments/uuid';
export { validate, validateControl, type Validation } from './dpg/validate';
export { output, markdown, figureBundle, liveFigure } from './notebook/display';
export { report } from './notebook/report';
export { rerun } from './notebook/rerun';
export { show } from './notebook/show';
export type { PlotlyFigure } from './notebook/plotlyFigure';
export type { Figure } from './notebook/figure';
export { methodColor } from './notebook/color';
export { progress } from './notebook/progress';
export { saveFigure } from './notebook/saveFigure';
export { lineChart, type Series } from './notebook/charts';
export { grid, heatmap, imageStrip } from './notebook/images';
export { table } from './notebook/table';
export { follow, watch, type WatchOptions } from './notebook/watch';
export { stopSignal } from './notebook/interrupt';
export { sweep } from './notebook/sweepStatus';
export {
  compare,
  decodedStrip,
  gradientCurve,
  healthCurves,
  metricSeries,
  perplexityCurve,
  wordCurves,
  patternFigures,
  patternProgress,
  saveRunFigures,
  writtenTexts,
} from './notebook/runFigures';
export {
  comparisonChart,
  comparisonRows,
  comparisonTable,
  describeComparison,
  methodLabel,
  tuningTable,
} from './notebook/sweepFigures';
export { codeImage } from './notebook/qrFigures';
export { fluencyRuns, tradeOff } from './notebook/fluencyFigures';

installNotebook();
