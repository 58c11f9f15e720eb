/**
 * Token batches: padding ragged examples, cutting batches into pieces.
 */
import { requireWhole } from '../tensor/numbers';
import { supportBetween } from './tokenSupport';
import type { TokenBatch } from './types';

/** Inputs, labels and mask of a batch, split out of its [size, length + 1] ids. */
export function inputsAndLabels({ ids, size, length }: TokenBatch): { inputs: Int32Array; labels: Int32Array } {
  const inputs = new Int32Array(size * length);
  const labels = new Int32Array(size * length);
  for (let i = 0; i < size; i++) {
    const row = i * (length + 1);
    inputs.set(ids.subarray(row, row + length), i * length);
    labels.set(ids.subarray(row + 1, row + length + 1), i * length);
  }
  return { inputs, labels };
}

/** Numbers in one array of logits on the tape, which holds about a dozen such arrays: 2²⁴ are 64 MiB. */
const LOGITS_AT_ONCE = 2 ** 24;

/** How many examples of a length the tape holds at once, so that one array of logits stays within 64 MiB; from 1 to 64. */
export const examplesAtOnce = (length: number, vocab: number): number =>
  Math.min(64, Math.max(1, Math.floor(LOGITS_AT_ONCE / (length * vocab))));

/** The batch cut into pieces of at most `limit` examples; `from` is the first example of a piece. */
export function* microbatches(batch: TokenBatch, limit: number): Generator<{ piece: TokenBatch; from: number }> {
  const { ids, mask, size, length, support } = batch;
  for (let from = 0; from < size; from += limit) {
    const to = Math.min(size, from + limit);
    const piece = {
      ids: ids.subarray(from * (length + 1), to * (length + 1)),
      mask: mask.subarray(from * length, to * length),
      size: to - from,
      length,
      support: support && supportBetween(support, from * length, to * length),
    };
    yield { piece, from };
  }
}

/**
 * Pads examples to S predicted positions each. An example of fewer than two tokens predicts nothing: its loss is 0.
 * @param examples - token ids, at most sequenceLength + 1 per example
 * @param sequenceLength - S, the denominator of every example's loss
 * @param vocab - size of the vocabulary, for the check of the ids
 * @throws RangeError for a sequenceLength that is no whole number from 1 on, naming the example for ids outside the vocabulary, and for
 * examples that are too long
 */
export function padExamples(examples: readonly ArrayLike<number>[], sequenceLength: number, vocab: number): TokenBatch {
  if (examples.length === 0) throw new RangeError('a batch needs at least one example (got 0)');
  requireWhole('sequenceLength', sequenceLength);
  const width = sequenceLength + 1;
  const ids = new Int32Array(examples.length * width);
  const mask = new Float32Array(examples.length * sequenceLength);
  examples.forEach((example, i) => {
    if (example.length > width)
      throw new RangeError(`example ${i} has ${example.length} tokens; sequenceLength ${sequenceLength} allows ${width}`);
    for (let t = 0; t < example.length; t++) {
      if (!(Number.isInteger(example[t]) && example[t] >= 0 && example[t] < vocab))
        throw new RangeError(`token ${t} of example ${i} is outside the vocabulary of ${vocab} (got ${example[t]})`);
      ids[i * width + t] = example[t];
      if (t > 0) mask[i * sequenceLength + t - 1] = 1;
    }
  });
  return { ids, mask, size: examples.length, length: sequenceLength };
}
