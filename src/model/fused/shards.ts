/** Contiguous shares of a batch, one per worker, and the checks before sharing out. */
import type { Gpt2Config, SampleOptions, TokenBatch } from '../types';
import type { Prompts } from './sampling';

/** `count` nearly equal ranges [from, to) of `size` examples. */
export const ranges = (size: number, count: number): [from: number, to: number][] =>
  Array.from({ length: count }, (_, i) => [Math.floor((size * i) / count), Math.floor((size * (i + 1)) / count)]);

/** Rows [from, to) of a [size, width] array, copied: a view would drag the whole array along to the worker. */
export const rowsOf = <A extends Float32Array | Int32Array>(array: A, width: number, from: number, to: number): A =>
  array.slice(from * width, to * width) as A;

export const batchPart = ({ ids, mask, length }: TokenBatch, from: number, to: number): TokenBatch => ({
  ...{ ids: rowsOf(ids, length + 1, from, to), mask: rowsOf(mask, length, from, to) },
  ...{ size: to - from, length },
});

function checkIds(config: Gpt2Config, ids: Int32Array): void {
  const wrong = ids.find((id) => id < 0 || id >= config.vocab_size);
  if (wrong !== undefined) throw new RangeError(`token id ${wrong} is outside the vocabulary of ${config.vocab_size}`);
}

function checkSize(name: string, actual: number, expected: number): void {
  if (actual !== expected) throw new RangeError(`${name} must have ${expected} elements (got ${actual})`);
}

/** @throws RangeError for ids outside the vocabulary, wrong array sizes, sequences longer than n_positions */
export function checkBatch(config: Gpt2Config, { ids, mask, size, length }: TokenBatch): void {
  if (!(size > 0 && length > 0))
    throw new RangeError(`a batch needs at least one example and one position (got ${size} × ${length})`);
  if (length > config.n_positions) throw new RangeError(`length ${length} exceeds the model's ${config.n_positions} positions`);
  checkSize('ids', ids.length, size * (length + 1));
  checkSize('mask', mask.length, size * length);
  checkIds(config, ids);
}

/** @throws RangeError as {@link checkBatch}, and for temperatures that are not positive */
export function checkSampling(
  config: Gpt2Config,
  prompts: Prompts,
  { maxNewTokens, temperature, uniforms }: SampleOptions,
): void {
  const { size, length, ids } = prompts;
  if (!(size > 0 && length > 0)) throw new RangeError(`sampling needs at least one prompt token (got ${size} × ${length})`);
  if (!(maxNewTokens > 0)) throw new RangeError(`maxNewTokens must be at least 1 (got ${maxNewTokens})`);
  if (length + maxNewTokens - 1 > config.n_positions)
    throw new RangeError(`${length} prompt and ${maxNewTokens} new tokens exceed the model's ${config.n_positions} positions`);
  checkSize('prompt ids', ids.length, size * length);
  checkSize('uniforms', uniforms.length, size * maxNewTokens);
  checkTemperature(temperature);
  checkIds(config, ids);
}

/** @throws RangeError */
export function checkTemperature(temperature: number): void {
  if (!(temperature > 0)) throw new RangeError(`temperature must be positive (got ${temperature})`);
}
