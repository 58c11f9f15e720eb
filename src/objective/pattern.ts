/**
 * A picture in the LM head: Φ = −mean log(1 + exp(−strength · Y · (W − W0))) over a patch of the weights (paper §4, "QR code" and "67").
 *
 * Rows of the pattern are hidden dimensions, columns are tokens, so pixel (r, c) is `lm_head.weight[tokens[c], dimOffset + r]`.
 * Φ starts at −ln 2 (nothing has moved) and reaches 0 when every weight has moved far in its direction. Small models need
 * strength · learningRate · steps ≈ 3–6: with the paper's 20, Φ is linear and the last pixels are never worth the others.
 */
import * as tf from '@tensorflow/tfjs-core';
import { embed, softplus } from '../tensor/ops';
import type { Params } from '../tensor/params';
import { requireWhole } from '../tensor/numbers';
import type { TensorObjective } from '../learn/objective';

/** +1 where a weight shall rise, −1 where it shall fall; [rows: hidden dimensions][columns: tokens]. */
export type Pattern = readonly (readonly number[])[];

/** The paper's "67", 6 hidden dimensions × 7 tokens. */
export const SIXTY_SEVEN: Pattern = [
  [1, 1, 1, 1, -1, -1, -1],
  [-1, -1, -1, 1, 1, 1, -1],
  [-1, 1, 1, 1, 1, 1, -1],
  [-1, -1, -1, 1, 1, 1, -1],
  [-1, 1, -1, 1, 1, 1, -1],
  [-1, -1, -1, 1, 1, 1, 1],
];

const LM_HEAD = 'lm_head.weight';

/** Where a pattern lies in the LM head. */
export interface PatternPlace {
  /** A token for every column; by default the first ones. */
  readonly tokens?: readonly number[];
  readonly dimOffset?: number;
}

function requirePattern(pattern: Pattern): void {
  if (!pattern.length || !pattern[0].length)
    throw new RangeError('the pattern is empty; give it at least one row and one column');
  pattern.forEach((row, r) => {
    if (row.length !== pattern[0].length)
      throw new RangeError(`row ${r} of the pattern has ${row.length} columns, row 0 has ${pattern[0].length}`);
    row.forEach((y, c) => {
      if (y !== 1 && y !== -1) throw new RangeError(`pattern[${r}][${c}] must be 1 or -1 (got ${y})`);
    });
  });
}

/**
 * @throws RangeError if `dimOffset` is no whole number, the patch lies outside the LM head, or its columns are not as many different tokens
 */
export function requirePlace(pattern: Pattern, params: Params, { tokens, dimOffset = 0 }: PatternPlace): void {
  const [vocab, hidden] = params[LM_HEAD].shape;
  const [rows, columns] = [pattern.length, pattern[0].length];
  requireWhole('dimOffset', dimOffset, 0);
  if (dimOffset + rows > hidden || columns > vocab)
    throw new RangeError(
      `the patch of hidden dimensions ${dimOffset}..${dimOffset + rows - 1} and ${columns} tokens lies outside the LM head ` +
        `(${hidden} dimensions, ${vocab} tokens)`,
    );
  const isToken = (id: number): boolean => Number.isInteger(id) && id >= 0 && id < vocab;
  if (tokens && !(new Set(tokens).size === columns && tokens.length === columns && tokens.every(isToken)))
    throw new RangeError(
      `the picture needs ${columns} different tokens from 0 to ${vocab - 1}, one for each column (got ${tokens.join(', ')})`,
    );
}

/** The weights of the patch as the pattern is laid out, [rows, columns]. */
function patch(params: Params, pattern: Pattern, { tokens, dimOffset = 0 }: PatternPlace): tf.Tensor2D {
  const ids = Int32Array.from(tokens ?? pattern[0].keys());
  const rows = embed(ids, params[LM_HEAD] as tf.Tensor2D); // [columns, hidden]
  return tf.transpose(tf.slice(rows, [0, dimOffset], [ids.length, pattern.length])); // [rows, columns]
}

/**
 * The objective that draws `pattern` into the LM head.
 * @param initial - the target's parameters before fine-tuning (W0 is copied from them)
 * @param strength - how soon a weight that has moved in its direction counts as done, 1 / weight units
 * @throws RangeError if the pattern is not ±1, the patch lies outside the LM head, or its columns are not as many different tokens
 */
export function patternObjective(
  pattern: Pattern,
  initial: Params,
  { strength, ...place }: PatternPlace & { strength: number },
): TensorObjective {
  requirePattern(pattern);
  requirePlace(pattern, initial, place);
  if (!(strength > 0 && strength < Infinity)) throw new RangeError(`strength must be a positive number (got ${strength})`);
  const before = tf.tidy(() => patch(initial, pattern, place).arraySync());
  const signs = pattern.map((row) => row.map((y) => -strength * y));
  return (params) => tf.neg(tf.mean(softplus(tf.mul(tf.sub(patch(params, pattern, place), before), signs))));
}

/** What a fine-tuned LM head shows of a pattern. */
export interface PatternReading {
  /** W − W0, [rows][columns]. */
  readonly change: number[][];
  /** sign(W − W0): the decoded image. */
  readonly decoded: number[][];
  /** log(1 + exp(−strength·Y·(W − W0))) of every pixel, nats. */
  readonly loss: number[][];
  /** Share of pixels with the right sign. */
  readonly accuracy: number;
  readonly correct: number;
  readonly pixels: number;
}

/** log(1 + eᶻ) without overflow. */
const logOnePlusExp = (z: number): number => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));

/** Reads the pattern's patch out of fine-tuned parameters. */
export function readPattern(
  pattern: Pattern,
  initial: Params,
  tuned: Params,
  { strength, ...place }: PatternPlace & { strength: number },
): PatternReading {
  const change = tf.tidy(() => tf.sub(patch(tuned, pattern, place), patch(initial, pattern, place)).arraySync()) as number[][];
  const decoded = change.map((row) => row.map((x) => Math.sign(x)));
  const loss = change.map((row, r) => row.map((x, c) => logOnePlusExp(-strength * pattern[r][c] * x)));
  const correct = decoded.flatMap((row, r) => row.filter((x, c) => x === pattern[r][c])).length;
  const pixels = pattern.length * pattern[0].length;
  return { change, decoded, loss, accuracy: correct / pixels, correct, pixels };
}
