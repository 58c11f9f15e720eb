/**
 * What every engine refuses before it computes, and what it must not return: one set of checks, so that engines differ in speed alone.
 */
import { requireFiniteParams, type Params } from '../tensor/params';
import { allows, isShared, supportWords, type Support } from './tokenSupport';
import type {
  LanguageModel,
  ModelConfig,
  ModelShape,
  PolicyTerms,
  SampleOptions,
  Samples,
  SupportRule,
  TokenBatch,
} from './types';

/** Prompts of one length, [size, length]. */
export interface Prompts {
  readonly ids: Int32Array;
  readonly size: number;
  readonly length: number;
}

function checkIds({ vocab_size }: ModelShape, ids: Int32Array): void {
  const wrong = ids.find((id) => id < 0 || id >= vocab_size);
  if (wrong !== undefined) throw new RangeError(`token id ${wrong} is outside the vocabulary of ${vocab_size}`);
}

function checkSize(name: string, actual: number, expected: number): void {
  if (actual !== expected) throw new RangeError(`${name} must have ${expected} elements (got ${actual})`);
}

function checkTemperature(temperature: number): void {
  if (!(temperature > 0 && temperature < Infinity)) throw new RangeError(`temperature must be positive (got ${temperature})`);
}

function checkSupport({ vocab_size }: ModelShape, { bits, words }: Support, rows: number): void {
  checkSize('words of the support', words, supportWords(vocab_size));
  if (!isShared({ bits, words })) checkSize('bits of the support', bits.length, rows * words);
}

function checkBatch(config: ModelShape, { ids, mask, size, length, support }: TokenBatch): void {
  if (!(size > 0 && length > 0))
    throw new RangeError(`a batch needs at least one example and one position (got ${size} × ${length})`);
  if (length > config.n_positions) throw new RangeError(`length ${length} exceeds the model's ${config.n_positions} positions`);
  checkSize('ids', ids.length, size * (length + 1));
  checkSize('mask', mask.length, size * length);
  checkIds(config, ids);
  if (support) checkSupport(config, support, size * length);
}

function checkPolicy({ mask }: TokenBatch, terms: PolicyTerms): void {
  checkTemperature(terms.temperature);
  if (terms.klCoef > 0 && !terms.refLogProbs) throw new RangeError(`klCoef ${terms.klCoef} needs refLogProbs`);
  for (const name of ['advantages', 'oldLogProbs', 'refLogProbs'] as const)
    if (terms[name]) checkSize(name, terms[name].length, mask.length);
  if (mask.every((m) => m === 0)) throw new RangeError('a policy batch needs at least one token that counts (its mask is all 0)');
}

function checkRule(config: ModelShape, { writable, minP = 0, reference }: SupportRule): void {
  if (writable) checkSupport(config, writable, 1);
  if (writable?.bits.every((word) => word === 0))
    throw new RangeError('no token may be written: the support allows none; does the tokenizer belong to this model?');
  if (!(minP >= 0 && minP < 1)) throw new RangeError(`minP must be ≥ 0 and < 1 (got ${minP})`);
  if (minP > 0 && !reference) throw new RangeError(`minP ${minP} needs the parameters of a reference`);
}

function checkSampling(config: ModelShape, { size, length, ids }: Prompts, options: SampleOptions): void {
  const { maxNewTokens, temperature, uniforms } = options;
  if (!(size > 0 && length > 0)) throw new RangeError(`sampling needs at least one prompt token (got ${size} × ${length})`);
  if (!(Number.isInteger(maxNewTokens) && maxNewTokens > 0))
    throw new RangeError(`maxNewTokens must be a whole number from 1 on (got ${maxNewTokens})`);
  if (length + maxNewTokens - 1 > config.n_positions)
    throw new RangeError(`${length} prompt and ${maxNewTokens} new tokens exceed the model's ${config.n_positions} positions`);
  checkSize('prompt ids', ids.length, size * length);
  checkSize('uniforms', uniforms.length, size * maxNewTokens);
  checkTemperature(temperature);
  checkRule(config, options);
  checkIds(config, ids);
}

/** Engines give a token for which there was no distribution the log-probability NaN, and draw any where the reference has none. */
function checkDrawn(samples: Samples, params: Params, { maxNewTokens, reference }: SampleOptions): void {
  const { ids, logProbs, mask, support } = samples;
  const isOutside = (id: number, at: number): boolean => mask[at] !== 0 && !!support && !allows(support, at, id);
  const at = ids.findIndex((id, i) => Number.isNaN(logProbs[i]) || isOutside(id, i)); // no token is likely by logits that are no numbers
  if (at < 0) return;
  requireFiniteParams(params, 'sampling');
  if (reference) requireFiniteParams(reference, 'sampling');
  const place = `token ${at % maxNewTokens} of response ${Math.floor(at / maxNewTokens)}`;
  throw new Error(
    `sampling: the logits before ${place} are not finite, so none can be drawn; its weights are too large: lower the learning rate`,
  );
}

/**
 * The same model, which checks what goes in.
 *
 * Its methods throw RangeError for ids outside the vocabulary, arrays of the wrong size, sequences longer than `n_positions`, temperatures
 * that are not positive, a KL term without reference and a policy batch without a token that counts; `sample` throws Error where no token
 * can be drawn, naming the tensor if it is a weight that is not finite.
 */
export function checked<Config extends ModelConfig>(model: LanguageModel<Config>): LanguageModel<Config> {
  const { config } = model;
  return {
    ...model,
    async gradient(params, batch) {
      checkBatch(config, batch);
      return model.gradient(params, batch);
    },
    async hessianVectorProduct(params, batch, tangent, options) {
      checkBatch(config, batch);
      return model.hessianVectorProduct(params, batch, tangent, options);
    },
    async logProbs(params, batch, temperature = 1) {
      checkBatch(config, batch);
      checkTemperature(temperature);
      return model.logProbs(params, batch, temperature);
    },
    async policyGradient(params, batch, terms) {
      checkBatch(config, batch);
      checkPolicy(batch, terms);
      return model.policyGradient(params, batch, terms);
    },
    async sample(params, prompts, options) {
      checkSampling(config, prompts, options);
      const samples = await model.sample(params, prompts, options);
      checkDrawn(samples, params, options);
      return samples;
    },
  };
}
