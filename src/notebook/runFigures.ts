/**
 * The figures of a run: curves of its rows, and what a pattern's patch of the LM head shows.
 */
import path from 'node:path';
import { sampleOf } from '../runs/record';
import { readMetrics, readRun } from '../runs/runFolder';
import { runPath, type RunOrName } from '../runs/runName';
import { runLabels } from '../runs/runReport';
import type { Experiment } from '../dpg/experiment';
import type { TrainStep } from '../dpg/train';
import type { Pattern, PatternReading } from '../objective/pattern';
import { lineChart, type Series } from './charts';
import type { Figure } from './figure';
import { heatmap, imageStrip } from './images';
import { saveFigure } from './saveFigure';
import type { Row } from './table';

/** Prompt, response, τ (or another reward) and advantage of a step's first texts: a `table` for {@link follow}. */
export const writtenTexts = (experiment: Experiment, step: TrainStep): Row[] =>
  sampleOf(experiment, step).map(({ prompt, response, reward, advantage }) => {
    const paid = experiment.config.reward === 'metagradient' ? 'τ' : 'reward';
    return { prompt, response, [paid]: reward, advantage };
  });

type Steps = readonly Pick<TrainStep, 'row' | 'image'>[];

/** Points of a curve at most: a notebook is to stay small. */
const MOST_POINTS = 240;

/** Means of every `count` values. */
const bucketMeans = (values: readonly number[], count: number): number[] =>
  Array.from({ length: Math.ceil(values.length / count) }, (_, i) => {
    const bucket = values.slice(i * count, (i + 1) * count);
    return bucket.reduce((a, b) => a + b, 0) / bucket.length;
  });

/** A metric along the steps, as a curve of {@link lineChart}; of more than 240 steps, means of neighbours. */
export function metricSeries(steps: Steps, key: string, name = key, scale = (value: number): number => value): Series {
  const count = Math.max(1, Math.ceil(steps.length / MOST_POINTS));
  const x = steps.map(({ row }) => row.step);
  const y = steps.map(({ row }) => scale(row[key]));
  return { name, x: bucketMeans(x, count), y: bucketMeans(y, count) };
}

/** What a caption says of curves that are means. */
const meansNote = (steps: Steps): string =>
  steps.length > MOST_POINTS ? ` Each point is the mean of ${Math.ceil(steps.length / MOST_POINTS)} steps.` : '';

/** Share of right pixels, and how far Φ has come from −ln 2 (nothing moved) to 0 (every pixel done). */
export function patternProgress(steps: Steps): Figure {
  const done = metricSeries(steps, 'phi', '(Φ + ln 2) / ln 2', (phi) => (phi + Math.LN2) / Math.LN2);
  return lineChart({
    series: [metricSeries(steps, 'pixel_accuracy', 'right pixels'), done],
    title: 'Learning to draw',
    xTitle: 'GRPO step',
    yTitle: 'share',
    yRange: [Math.min(0, ...Array.from(done.y)), 1.02],
    caption: `Read off a target fine-tuned on the rollouts of each step.${meansNote(steps)}`,
  });
}

/** Entropy of the generator, how far it has come from its beginning, and loss of the target: what the picture costs. */
export const healthCurves = (steps: Steps): Figure =>
  lineChart({
    series: [
      metricSeries(steps, 'entropy', 'generator’s entropy'),
      metricSeries(steps, 'kl', 'KL to the initial generator'),
      metricSeries(steps, 'target_loss_first', 'target’s loss on the text'),
    ],
    title: 'What the text becomes',
    xTitle: 'GRPO step',
    yTitle: 'nats per token',
    caption: `The loss is the untrained target’s: how surprising the generator’s text has become to it.${meansNote(steps)}`,
  });

/** How much of the text is words, and how much the responses repeat each other. */
export const wordCurves = (steps: Steps): Figure =>
  lineChart({
    series: [
      metricSeries(steps, 'words', 'words in the vocabulary'),
      metricSeries(steps, 'distinct_2', 'distinct-2'),
      metricSeries(steps, 'self_bleu', 'self-BLEU-2'),
    ],
    title: 'Words and repetition',
    xTitle: 'GRPO step',
    yTitle: 'share',
    yRange: [0, 1.02],
    caption:
      'distinct-2: different pairs of words among all; self-BLEU-2: what a response shares with others. Of 256 responses.' +
      meansNote(steps),
  });

/** How surprising the text has become to the untouched generator; its first value is that of untrained text. */
export const perplexityCurve = (steps: Steps): Figure =>
  lineChart({
    series: [metricSeries(steps, 'perplexity', 'perplexity')],
    title: 'Perplexity under the untouched generator',
    xTitle: 'GRPO step',
    yTitle: 'perplexity per token',
    log: true,
    caption: `Of 64 responses a step.${meansNote(steps)}`,
  });

/** The norm of the generator's gradient before clipping: spikes and a steady rise say that its learning rate is too high. */
export const gradientCurve = (steps: Steps): Figure =>
  lineChart({
    series: [metricSeries(steps, 'grad_norm', 'gradient norm')],
    title: 'Size of the updates',
    xTitle: 'GRPO step',
    yTitle: 'norm of the gradient',
    log: true,
    caption: `Of the generator, before it is clipped.${meansNote(steps)}`,
  });

const ink = (image: readonly (readonly number[])[]): number[][] => image.map((row) => row.map((x) => (x > 0 ? 1 : 0)));

/** The decoded image at about `count` moments of training, and the target. */
export function decodedStrip(steps: Steps, pattern: Pattern, count = 8): Figure {
  const moments = Math.min(count, steps.length);
  const chosen = Array.from(
    { length: moments },
    (_, i) => steps[Math.round((i * (steps.length - 1)) / Math.max(1, moments - 1))],
  );
  const images = chosen.map(({ row, image }) => ({ z: ink(image!), label: `step ${row.step}` }));
  return imageStrip({
    images: [...images, { z: ink(pattern), label: 'target' }],
    title: 'Decoded image along training',
    caption: 'Black: the weight rose; white: it fell. Rows are hidden dimensions, columns are tokens.',
    scale: 'ink',
    margin: 1,
  });
}

/** Wanted pattern, change of the weights, decoded image and per-pixel loss of a fine-tuned LM head. */
export function patternFigures(pattern: Pattern, { change, decoded, loss, correct, pixels }: PatternReading): Figure[] {
  const axes = { xTitle: 'token id', yTitle: 'hidden dimension' };
  return [
    imageStrip({
      images: [
        { z: ink(pattern), label: 'target' },
        { z: ink(decoded), label: 'decoded' },
      ],
      title: `Decoded: ${correct} of ${pixels} pixels right`,
      caption: 'sign(W − W₀) of the patch; black is up.',
      scale: 'ink',
      margin: 1,
    }),
    heatmap({ z: change, title: 'Change of the LM head', ...axes, caption: 'W − W₀ after fine-tuning on the generator’s text.' }),
    heatmap({
      z: loss,
      title: 'Loss per pixel',
      ...axes,
      scale: 'sequential',
      caption: 'log(1 + exp(−strength·Y·(W − W₀))), nats; 0 is done, ln 2 is untouched.',
    }),
  ];
}

/** The columns of a run worth a picture, where it has them, with their units. */
const CURVES: Readonly<Record<string, string>> = {
  phi: 'Φ',
  pixel_accuracy: 'share of right pixels',
  norm_change: '‖W‖ − ‖W₀‖',
  entropy: 'nats per token',
  words: 'share of words in the vocabulary',
  perplexity: 'perplexity under the untouched generator',
};

/**
 * Runs on one axis, labelled by the settings in which they differ: `compare(runA, runB)`, or `compare([runA, runB, runC],
 * 'pixel_accuracy')`.
 * @param key - a column of metrics.jsonl, by default `phi`
 * @throws Error naming a folder without a run, or a column that a run does not have
 */
export function compare(runs: readonly RunOrName[], key?: string): Figure;
export function compare(a: RunOrName, b: RunOrName, key?: string): Figure;
export function compare(first: RunOrName | readonly RunOrName[], second?: RunOrName, third = 'phi'): Figure {
  const several = Array.isArray(first) as boolean;
  const runs = several ? (first as readonly RunOrName[]) : [first as RunOrName, second!];
  const key = several ? ((second as string | undefined) ?? 'phi') : third;
  const folders = runs.map(runPath);
  const labels = runLabels(folders.map((folder) => ({ ...readRun(folder), name: path.basename(folder), folder })));
  const series = folders.map((folder, i): Series => {
    const rows = readMetrics(folder);
    if (rows.length && !(key in rows[0]))
      throw new Error(`${folder} has no column "${key}"; there are ${Object.keys(rows[0]).join(', ')}`);
    return { name: labels[i], x: rows.map((row) => row.step), y: rows.map((row) => row[key]) };
  });
  return lineChart({ series, title: `${key} of ${runs.length} runs`, xTitle: 'GRPO step', yTitle: CURVES[key] ?? key });
}

/**
 * Writes a curve of every such column of a run into its `figures/`, as SVG and PNG, and the picture that its target shows, if it has one.
 * @param image - [rows][columns], of a validation
 * @returns the files written
 */
export function saveRunFigures(folder: string, image?: readonly (readonly number[])[]): string[] {
  const rows = readMetrics(folder);
  const columns = Object.keys(CURVES).filter((key) => rows.length > 0 && key in rows[0]);
  const shown = image && heatmap({ z: image, title: 'What the fine-tuned target shows', caption: 'Held-out prompts.' });
  const pictures = shown ? saveFigure(shown, path.join(folder, 'figures', 'decoded')) : [];
  const curves = columns.flatMap((key) => {
    const series = [
      metricSeries(
        rows.map((row) => ({ row })),
        key,
      ),
    ];
    return saveFigure(
      lineChart({ series, title: key, xTitle: 'GRPO step', yTitle: CURVES[key] }),
      path.join(folder, 'figures', key),
    );
  });
  return [...curves, ...pictures];
}
