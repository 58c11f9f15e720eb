/** `config.json` of a folder that is written. */
import { familyOf, type ModelConfig } from '../families';

/** What `config.json` says beside the network. */
export interface FolderFacts {
  readonly dtype: 'F32' | 'F16' | 'BF16';
  readonly beginOfText?: number;
  readonly endOfText?: number | readonly number[];
}

/** One id as a number, several as a list. */
const oneOrList = (ids: number | readonly number[] = []): unknown =>
  typeof ids === 'number' ? ids : ids.length > 1 ? ids : (ids[0] ?? null);

/** The content of a `config.json` for transformers. */
export const huggingFaceConfig = (config: ModelConfig, { dtype, beginOfText, endOfText }: FolderFacts): object => ({
  ...familyOf(config).toJson(config),
  tie_word_embeddings: false,
  torch_dtype: { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }[dtype],
  bos_token_id: beginOfText ?? null, // without these keys Hugging Face assumes tokens of its own
  eos_token_id: oneOrList(endOfText),
});
