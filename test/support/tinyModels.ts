/** A generator and a target so small that a run takes seconds, as Hugging Face folders for the real experiments. */
import path from 'node:path';
import { saveCheckpoint } from '../../src/model/hub/checkpoint';
import { gpt2Shapes } from '../../src/model/families/gpt2';
import { randomStream } from '../../src/tensor/random';
import { runningText } from '../../src/text/prompts';
import { characterTokenizer, tokenizerFiles } from '../../src/text/tokenizer';

/** Writes `generator/` and `target/` into an existing folder, random weights and the characters of the encyclopedia. */
export async function saveTinyModels(folder: string): Promise<{ generator: string; target: string }> {
  const tokenizer = characterTokenizer(runningText(randomStream(1, 'tiny characters'), 5000));
  const shape = { n_positions: 16, n_embd: 8, n_layer: 1, n_head: 2, layer_norm_epsilon: 1e-5 };
  const config = { vocab_size: tokenizer.vocabSize, ...shape };
  const folders = { generator: path.join(folder, 'generator'), target: path.join(folder, 'target') };
  for (const [seed, place] of Object.values(folders).entries()) {
    const random = randomStream(seed, 'tiny weights');
    const params = Object.fromEntries(
      Object.entries(gpt2Shapes(config)).map(([name, shape]) => {
        const offset = /ln_\w+\.weight$/.test(name) ? 1 : 0;
        const size = shape.reduce((a, b) => a * b);
        return [name, { shape, data: Float32Array.from({ length: size }, () => offset + 0.2 * random.normal()) }];
      }),
    );
    await saveCheckpoint(place, { config, params }, { files: tokenizerFiles(tokenizer) });
  }
  return folders;
}

/** Keys that make a step of these models short. */
export const TINY_CONFIG = {
  prompts: 2,
  groupSize: 2,
  promptLength: 4,
  maxNewTokens: 6,
  heldOutExamples: 4,
  minibatch: 2,
  workers: 1,
} as const;
