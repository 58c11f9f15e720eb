/**
 * From the last layer norm to the loss: logits = x·headᵀ, then cross-entropy (or the policy surrogate) of every row. The logits exist
 * for a bounded number of rows at a time, so a vocabulary of 50,257 costs no more memory than one of 512.
 */
import type { Arena, Kernels, Pointer } from '../../tensor/kernels/kernels';
import { supportWords } from '../tokenSupport';
import type { Dual } from './dual';
import type { SupportRows } from './supportRows';

/** Rows x [rows, width] before an LM head [vocab, width], and room for some rows of logits. */
export interface LossRows {
  readonly k: Kernels;
  readonly rows: number;
  readonly width: number;
  readonly vocab: number;
  readonly logits: LogitBuffer;
  /** Token to predict, int32 [rows]. */
  readonly targets: Pointer;
  /** ∂(loss)/∂(cross-entropy), [rows]. */
  readonly weights: Pointer;
  /** The tokens that may be predicted; by default all. */
  readonly support?: SupportRows;
  /** Result: log-probability, or its tangent's negative, of every target, [rows]. */
  readonly values: Pointer;
}

/** [limit, vocab] logits, and their tangent where one is needed. */
export interface LogitBuffer {
  readonly limit: number;
  readonly at: Pointer;
  readonly dot: Pointer;
}

/** Room for the logits of as many of `rows` rows as `bytes` hold. */
export function logitBuffer(a: Arena, rows: number, vocab: number, bytes: number, tangent = false): LogitBuffer {
  const limit = Math.max(1, Math.min(rows, Math.floor(bytes / (4 * vocab))));
  return { limit, at: a.floats(limit * vocab), dot: tangent ? a.floats(limit * vocab) : 0 };
}

/** Far below every logit; times the e⁻⁸⁷ that the kernels make of it, it is still nothing. */
const FORBIDDEN = -1e9;

/** Pointers and functions of one chunk of rows. */
interface Chunk {
  readonly rows: number;
  /** The chunk's part of a [rows, stride] array. */
  part(p: Pointer, stride?: number): Pointer;
  /** {@link LossRows.logits} ← x·headᵀ on the support. */
  predict(x: Pointer, head: Pointer): void;
  /**
   * {@link LossRows.logits}, by then derivatives, ← 0 off the support: of e⁻⁸⁷ they are denormal numbers, of which products take a hundred
   * times as long.
   */
  clear(): void;
  /** logits (+)= x·headᵀ */
  project(x: Pointer, head: Pointer, logits: Pointer, add?: boolean): void;
  /** dx (+)= dlogits·head */
  pullBack(dlogits: Pointer, head: Pointer, dx: Pointer, add?: boolean): void;
  /** dHead += dlogitsᵀ·x */
  addOuter(dlogits: Pointer, x: Pointer, dHead: Pointer): void;
}

function* chunks({ k, rows: total, width, vocab, logits, support }: LossRows): Generator<Chunk> {
  for (let from = 0; from < total; from += logits.limit) {
    const rows = Math.min(logits.limit, total - from);
    const at = 4 * from * width;
    const part = (p: Pointer, stride = 1) => p && p + 4 * from * stride;
    const project = (x: Pointer, head: Pointer, to: Pointer, add = false) =>
      k.gemm(rows, vocab, width, x + at, width, 1, head, 1, width, to, vocab, 0, add);
    const fill = (value: number) =>
      support && k.applySupport(rows, vocab, logits.at, part(support.bits, support.stride), support.stride, value);
    yield {
      rows,
      part,
      project,
      predict(x, head) {
        project(x, head, logits.at);
        fill(FORBIDDEN);
      },
      clear: () => fill(0),
      pullBack: (dl, head, dx, add = false) => k.gemm(rows, width, vocab, dl, vocab, 1, head, width, 1, dx + at, width, 0, add),
      addOuter: (dl, x, dHead) => k.gemm(vocab, width, rows, dl, 1, vocab, x + at, width, 1, dHead, width, 0, true),
    };
  }
}

/** values = log softmax(scale · logits)[target]. */
export function crossEntropyForward(s: LossRows, head: Pointer, x: Pointer, scale: number): void {
  for (const c of chunks(s)) {
    c.predict(x, head);
    s.k.crossEntropyForward(c.rows, s.vocab, s.logits.at, c.part(s.targets), scale, c.part(s.values));
  }
}

/** values = log-probabilities; dx, and dHead += …, of Σ weight · cross-entropy. */
export function crossEntropyBackward(s: LossRows, head: Pointer, dHead: Pointer, x: Pointer, dx: Pointer): void {
  const { at } = s.logits;
  for (const c of chunks(s)) {
    c.predict(x, head);
    s.k.crossEntropyBackward(c.rows, s.vocab, at, c.part(s.targets), c.part(s.weights), c.part(s.values));
    c.clear();
    c.addOuter(at, x, dHead);
    c.pullBack(at, head, dx);
  }
}

/** values = directional derivative of every row's cross-entropy along (head.dot, x.dot); x.dot is zero where the pointer is 0. */
export function crossEntropyTangent(s: LossRows, head: Dual<Pointer>, x: Dual<Pointer>): void {
  const { at, dot } = s.logits;
  for (const c of chunks(s)) {
    predictTangent(c, s.logits, head, x);
    s.k.crossEntropyTangent(c.rows, s.vocab, at, dot, c.part(s.targets), c.part(s.values));
  }
}

/** The same, and (dx, dẋ), dHeadDot += … of Σ weight · cross-entropy. */
export function crossEntropyTangentBackward(
  s: LossRows,
  head: Dual<Pointer>,
  dHeadDot: Pointer,
  x: Dual<Pointer>,
  dx: Dual<Pointer>,
): void {
  const { at, dot } = s.logits;
  for (const c of chunks(s)) {
    predictTangent(c, s.logits, head, x);
    s.k.crossEntropyTangentBackward(c.rows, s.vocab, at, dot, c.part(s.targets), c.part(s.weights), c.part(s.values));
    c.addOuter(dot, x.value, dHeadDot);
    c.addOuter(at, x.dot, dHeadDot);
    c.pullBack(at, head.value, dx.value);
    c.pullBack(dot, head.value, dx.dot);
    c.pullBack(at, head.dot, dx.dot, true);
  }
}

function predictTangent(c: Chunk, { dot }: LogitBuffer, head: Dual<Pointer>, x: Dual<Pointer>): void {
  c.predict(x.value, head.value);
  c.project(x.value, head.dot, dot);
  if (x.dot) c.project(x.dot, head.value, dot, true);
}

/** Per-row inputs and results of the policy surrogate beside {@link LossRows}, all [rows]. */
export interface PolicyRows {
  readonly advantages: Pointer;
  readonly oldLogProbs: Pointer;
  /** 0 without a reference. */
  readonly refLogProbs: Pointer;
  readonly entropies: Pointer;
  readonly kls: Pointer;
  /** 1 where the clip cuts the gradient. */
  readonly clips: Pointer;
}

/** Coefficients of the surrogate; every row counts `weight`. */
export interface PolicyCoefficients {
  readonly temperature: number;
  readonly clip: number;
  readonly klCoef: number;
  readonly entropyCoef: number;
  readonly weight: number;
}

/**
 * values = log-probabilities at the temperature; dx, and dHead += …, of GRPO's clipped surrogate with k3 penalty and entropy
 * bonus.
 */
export function policyBackward(
  s: LossRows,
  r: PolicyRows,
  { temperature, clip, klCoef, entropyCoef, weight }: PolicyCoefficients,
  head: Pointer,
  dHead: Pointer,
  x: Pointer,
  dx: Pointer,
): void {
  const { at } = s.logits;
  for (const c of chunks(s)) {
    c.predict(x, head);
    const inputs = [
      c.part(r.advantages),
      c.part(r.oldLogProbs),
      c.part(r.refLogProbs),
      clip,
      klCoef,
      entropyCoef,
      weight,
    ] as const;
    const results = [c.part(s.values), c.part(r.entropies), c.part(r.kls), c.part(r.clips)] as const;
    s.k.policyBackward(c.rows, s.vocab, at, c.part(s.targets), 1 / temperature, ...inputs, ...results);
    c.clear();
    c.addOuter(at, x, dHead);
    c.pullBack(at, head, dx);
  }
}

/**
 * targets ← one token per row, drawn at a temperature with the given uniform numbers [rows]; values = their log-probabilities.
 */
export function drawTokens(s: LossRows, head: Pointer, x: Pointer, temperature: number, uniforms: Pointer): void {
  for (const c of chunks(s)) {
    c.predict(x, head);
    s.k.sampleTokens(c.rows, s.vocab, s.logits.at, 1 / temperature, c.part(uniforms), c.part(s.targets), c.part(s.values));
  }
}

/** bits[row] ← the tokens of the support whose probability is at least `minP` times the likeliest one's. */
export function likelyTokens(s: LossRows, head: Pointer, x: Pointer, minP: number, bits: Pointer): void {
  for (const c of chunks(s)) {
    c.predict(x, head);
    s.k.minPSupport(c.rows, s.vocab, s.logits.at, Math.log(minP), c.part(bits, supportWords(s.vocab)));
  }
}
