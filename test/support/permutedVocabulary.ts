/** A model that is the same but for the numbers of its tokens: whatever depends on text alone must not change. */
import type { StoredTensor } from '../../src/model/hub/checkpoint';
import { tokenizerOf, type Tokenizer } from '../../src/text/tokenizer';

/** Token `id` gets the number `order[id]`. */
export function permutedTokenizer(tokenizer: Tokenizer, order: ArrayLike<number>): Tokenizer {
  const files = structuredClone(tokenizer.toJSON());
  const { model, added_tokens } = files['tokenizer.json'] as unknown as {
    model: { vocab: Record<string, number> };
    added_tokens: { id: number }[];
  };
  for (const token of Object.keys(model.vocab)) model.vocab[token] = order[model.vocab[token]];
  for (const added of added_tokens) added.id = order[added.id];
  return tokenizerOf(files);
}

/** Embedding and head in that order. */
export function permutedRows(
  params: Readonly<Record<string, StoredTensor>>,
  order: ArrayLike<number>,
): Record<string, StoredTensor> {
  const permuted = ({ data, shape }: StoredTensor): StoredTensor => {
    const [rows, width] = shape;
    const moved = new Float32Array(data.length);
    for (let id = 0; id < rows; id++) moved.set(data.subarray(id * width, (id + 1) * width), order[id] * width);
    return { data: moved, shape };
  };
  const ofTokens = ['transformer.wte.weight', 'lm_head.weight'];
  return Object.fromEntries(Object.entries(params).map(([name, x]) => [name, ofTokens.includes(name) ? permuted(x) : x]));
}
