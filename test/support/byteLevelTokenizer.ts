/**
 * Byte-level BPE tokenizers with the file shapes of GPT-2 and Llama 3: the bytes as printable characters, merges learnt from a corpus.
 */

type Json = Record<string, unknown>;

/** Files of a tokenizer by name. */
export interface TokenizerJsonFiles {
  readonly 'tokenizer.json': Json & { readonly model: Json };
  readonly 'tokenizer_config.json': Json;
  readonly 'generation_config.json': Json;
}

/** GPT-2's table: a printable character for every byte. */
const BYTES = ((): string[] => {
  const printable = (byte: number): boolean => (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
  let shifted = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : shifted++));
})();

const asBytes = (text: string): string[] => [...new TextEncoder().encode(text)].map((byte) => BYTES[byte]);

/** The most frequent pair of neighbours, merged `count` times, within words with the space before them. */
function learnMerges(corpus: string, count: number): [string, string][] {
  let words = (corpus.match(/ ?\S+/g) ?? []).map(asBytes);
  return Array.from({ length: count }, () => {
    const pairs = new Map<string, number>();
    for (const word of words)
      for (let i = 1; i < word.length; i++) {
        const pair = `${word[i - 1]} ${word[i]}`;
        pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
      }
    const [best] = [...pairs].reduce((a, b) => (b[1] > a[1] ? b : a));
    const [left, right] = best.split(' ');
    words = words.map((word) => merged(word, left, right));
    return [left, right];
  });
}

function merged(word: readonly string[], left: string, right: string): string[] {
  const result: string[] = [];
  for (const piece of word) {
    if (piece === right && result.at(-1) === left) result[result.length - 1] = left + right;
    else result.push(piece);
  }
  return result;
}

const vocabularyOf = (merges: readonly (readonly [string, string])[]): Record<string, number> =>
  Object.fromEntries([...BYTES, ...merges.map(([left, right]) => left + right)].map((token, id) => [token, id]));

const addedToken = (content: string, id: number, normalized: boolean): Json => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized,
  special: true,
});

const byteLevel = { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true };

/** As in `openai-community/gpt2`: the end of text is named by id in generation_config.json alone. */
export function gpt2Tokenizer(corpus: string, merges = 40): TokenizerJsonFiles {
  const learnt = learnMerges(corpus, merges);
  const end = 256 + merges;
  return {
    'tokenizer.json': {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: [addedToken('<|endoftext|>', end, true)],
      normalizer: null,
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true },
      post_processor: { ...byteLevel, trim_offsets: false },
      decoder: byteLevel,
      model: {
        dropout: null,
        unk_token: '',
        continuing_subword_prefix: '',
        end_of_word_suffix: '',
        fuse_unk: false,
        vocab: { ...vocabularyOf(learnt), '<|endoftext|>': end },
        merges: learnt.map((pair) => pair.join(' ')),
      },
    },
    'tokenizer_config.json': { model_max_length: 1024 },
    'generation_config.json': { _from_model_config: true, bos_token_id: end, eos_token_id: end },
  };
}

const LLAMA_SPECIAL = ['begin_of_text', 'end_of_text', 'start_header_id', 'end_header_id', 'eom_id', 'eot_id'].map(
  (name) => `<|${name}|>`,
);
const LLAMA_WORDS =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** Its chat template without the parts on tools. */
const LLAMA_TEMPLATE = `{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
`;

/** As in `meta-llama/Llama-3.2-1B-Instruct`: special tokens beyond the vocabulary, several ends, no padding token, clean-up asked for. */
export function llama3Tokenizer(corpus: string, merges = 40): TokenizerJsonFiles {
  const learnt = learnMerges(corpus, merges);
  const id = (name: string): number => 256 + merges + LLAMA_SPECIAL.indexOf(`<|${name}|>`);
  const template = [{ SpecialToken: { id: '<|begin_of_text|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }];
  const words = { type: 'Split', pattern: { Regex: LLAMA_WORDS }, behavior: 'Isolated', invert: false };
  const begin = { id: '<|begin_of_text|>', ids: [id('begin_of_text')], tokens: ['<|begin_of_text|>'] };
  return {
    'tokenizer.json': {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: LLAMA_SPECIAL.map((content, i) => addedToken(content, 256 + merges + i, false)),
      normalizer: null,
      pre_tokenizer: { type: 'Sequence', pretokenizers: [words, { ...byteLevel, add_prefix_space: false, use_regex: false }] },
      post_processor: {
        type: 'Sequence',
        processors: [
          { ...byteLevel, trim_offsets: false },
          { type: 'TemplateProcessing', single: template, pair: template, special_tokens: { '<|begin_of_text|>': begin } },
        ],
      },
      decoder: byteLevel,
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: true,
        vocab: vocabularyOf(learnt),
        merges: learnt.map((pair) => pair.join(' ')),
      },
    },
    'tokenizer_config.json': {
      bos_token: '<|begin_of_text|>',
      eos_token: '<|eot_id|>',
      chat_template: LLAMA_TEMPLATE,
      clean_up_tokenization_spaces: true,
      model_input_names: ['input_ids', 'attention_mask'],
      tokenizer_class: 'PreTrainedTokenizerFast',
    },
    'generation_config.json': {
      bos_token_id: id('begin_of_text'),
      do_sample: true,
      eos_token_id: [id('end_of_text'), id('eom_id'), id('eot_id')],
      temperature: 0.6,
    },
  };
}
