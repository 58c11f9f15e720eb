/**
 * The paper's embedding baseline: how similar a response is to the evaluation set, as the target model sees it.
 *
 * The paper takes a sentence-embedding model. Here a text's embedding is the mean of the target's own token embeddings (`wte`, before any
 * layer), less the mean over the whole vocabulary: a bag of words in the space that the target learnt for them.
 */
import type { Params } from '../tensor/params';
import type { Score } from './scored';

const WTE = 'transformer.wte.weight';

/** Sum of the rows `ids` of a table [rows, width]. */
function sumOfRows(table: Float32Array, width: number, ids: Iterable<number>): Float32Array {
  const sum = new Float32Array(width);
  for (const id of ids) for (let k = 0; k < width; k++) sum[k] += table[id * width + k];
  return sum;
}

const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, k) => sum + x * b[k], 0);

/**
 * Unit embeddings of texts, [width] each; zeros for an empty text.
 * @throws Error if the target has no GPT-2 token embeddings
 */
export function textEmbeddings(params: Params): (ids: readonly number[]) => Float32Array {
  if (!(WTE in params))
    throw new Error(`text embeddings need a GPT-2 with "${WTE}"; the target has ${Object.keys(params).join(', ')}`);
  const [vocab, width] = params[WTE].shape as [number, number];
  const table = params[WTE].dataSync<'float32'>();
  const mean = sumOfRows(table, width, Array(vocab).keys()).map((x) => x / vocab);
  return (ids) => {
    const centred = sumOfRows(table, width, ids).map((x, k) => x - ids.length * mean[k]);
    const norm = Math.sqrt(dot(centred, centred));
    return norm > 0 ? centred.map((x) => x / norm) : centred;
  };
}

/** Mean cosine similarity to the texts of `evaluation`. */
export function embeddingScore(params: Params, evaluation: readonly (readonly number[])[]): Score {
  const embed = textEmbeddings(params);
  const wanted = evaluation.map(embed);
  return (responses) =>
    Float32Array.from(responses, (response) => {
      const own = embed(response);
      return wanted.reduce((sum, text) => sum + dot(own, text), 0) / wanted.length;
    });
}
