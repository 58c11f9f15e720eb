/**
 * The tokenizer in a GGUF file's metadata as the files of a Hugging Face folder: byte-level BPE (`tokenizer.ggml.model` "gpt2", with the
 * pre-tokenizer that `tokenizer.ggml.pre` names) and SentencePiece's BPE with bytes for what has no token ("llama").
 */
import { tokenizerOf, type Tokenizer } from './tokenizer';

type Metadata = Readonly<Record<string, unknown>>;

/** Kinds of tokens in `tokenizer.ggml.token_type`. */
const [UNKNOWN, CONTROL, USER_DEFINED] = [2, 3, 4];

const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
const words = (regex: string) => ({
  type: 'Sequence',
  pretokenizers: [
    { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false },
    { ...byteLevel, use_regex: false },
  ],
});
const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const AROUND = '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+';
const REST = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

/** How text is cut before BPE, by the names of llama.cpp; what the folders of these models say. */
const PRE_TOKENIZERS: Readonly<Record<string, object>> = {
  'gpt-2': { pre_tokenizer: byteLevel },
  smollm: { pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, byteLevel] } },
  'llama-bpe': { pre_tokenizer: words(`${CONTRACTIONS}|${AROUND}|\\p{N}{1,3}|${REST}`) },
  qwen2: { normalizer: { type: 'NFC' }, pre_tokenizer: words(`${CONTRACTIONS}|${AROUND}|\\p{N}|${REST}`) },
};

/**
 * The tokenizer of a GGUF file.
 * @throws Error naming what is missing in the metadata, or a kind of tokenizer that is not read
 */
export function ggufTokenizer(metadata: Metadata): Tokenizer {
  const key = (name: string): unknown => metadata[`tokenizer.ggml.${name}`];
  const tokens = key('tokens');
  if (!Array.isArray(tokens) || !tokens.every((token) => typeof token === 'string'))
    throw new Error('it has no tokenizer (tokenizer.ggml.tokens)');
  const named = (name: string): string | null => tokens[key(`${name}_token_id`) as number] ?? null;
  const types = (key('token_type') ?? []) as number[];
  const added = tokens.flatMap((content: string, id) =>
    [UNKNOWN, CONTROL, USER_DEFINED].includes(types[id])
      ? [
          {
            id,
            content,
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
            special: types[id] !== USER_DEFINED,
          },
        ]
      : [],
  );
  const isSentencePiece = key('model') === 'llama';
  const json = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    post_processor: null,
    ...(isSentencePiece ? sentencePiece(tokens, key) : byteLevelBpe(tokens, key)),
  };
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token: named('bos'),
    eos_token: named('eos'),
    pad_token: named('padding'),
    unk_token: named('unknown'),
    add_bos_token: (key('add_bos_token') as boolean | undefined) ?? isSentencePiece,
    clean_up_tokenization_spaces: false,
    chat_template: metadata['tokenizer.chat_template'],
  };
  const ends = ['eos', 'eot', 'eom'].map((name) => key(`${name}_token_id`)).filter((id) => typeof id === 'number');
  return tokenizerOf({ 'tokenizer.json': json, 'tokenizer_config.json': config }, { eos_token_id: ends });
}

const idsOf = (tokens: readonly string[]): Record<string, number> => Object.fromEntries(tokens.map((token, id) => [token, id]));

function byteLevelBpe(tokens: readonly string[], key: (name: string) => unknown) {
  const [model, merges] = [key('model'), key('merges')];
  const pre = (key('pre') as string | undefined) ?? 'gpt-2';
  if (model !== 'gpt2') throw new Error(`its tokenizer is of the kind ${JSON.stringify(model)} (read are "gpt2" and "llama")`);
  if (!Object.hasOwn(PRE_TOKENIZERS, pre))
    throw new Error(
      `its tokenizer cuts text as ${JSON.stringify(pre)} (read are ${Object.keys(PRE_TOKENIZERS).join(', ')}): take ` +
        `the model's safetensors`,
    );
  if (!Array.isArray(merges)) throw new Error('its tokenizer has no merges (tokenizer.ggml.merges)');
  return {
    normalizer: null,
    ...PRE_TOKENIZERS[pre],
    decoder: byteLevel,
    model: { type: 'BPE', unk_token: null, ignore_merges: pre === 'llama-bpe', vocab: idsOf(tokens), merges: merges as string[] },
  };
}

const SPACE = '▁';

function sentencePiece(tokens: readonly string[], key: (name: string) => unknown) {
  const scores = key('scores');
  if (!Array.isArray(scores)) throw new Error('its tokenizer has no scores (tokenizer.ggml.scores)');
  const spaces = { type: 'Replace', pattern: { String: ' ' }, content: SPACE };
  const prefixed = key('add_space_prefix') !== false;
  return {
    normalizer: prefixed ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: SPACE }, spaces] } : spaces,
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: SPACE }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(prefixed ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      type: 'BPE',
      byte_fallback: true,
      fuse_unk: true,
      unk_token: tokens[(key('unknown_token_id') as number | undefined) ?? 0],
      vocab: idsOf(tokens),
      merges: mergesOf(tokens, scores as number[]),
    },
  };
}

/** Merges in the order of the score of what they make, as transformers orders them. */
function mergesOf(tokens: readonly string[], scores: readonly number[]): [string, string][] {
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const merges = tokens.flatMap((token, id) => {
    const letters = [...token];
    const pairs = letters.slice(1).map((_, i) => [letters.slice(0, i + 1).join(''), letters.slice(i + 1).join('')] as const);
    const known = pairs.filter(([left, right]) => ids.has(left) && ids.has(right));
    known.sort((a, b) => ids.get(a[0])! - ids.get(b[0])! || ids.get(a[1])! - ids.get(b[1])!);
    return known.map(([left, right]) => ({ left, right, score: scores[id] }));
  });
  merges.sort((a, b) => b.score - a.score || b.left.length - a.left.length || b.right.length - a.right.length);
  return merges.map(({ left, right }) => [left, right]);
}
