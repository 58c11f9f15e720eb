/** A Llama folder beside PyTorch, which reads the same files by itself. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { load } from '../../src/dpg/models';
import { padExamples } from '../../src/model/batch';
import { disposeParams } from '../../src/tensor/params';
import { randomStream } from '../../src/tensor/random';
import { useBackend } from '../support/backend';
import { LLAMA_FOLDER, writeLlamaFolder } from '../support/pretrainedFolders';

const python = ['python3', '/usr/bin/python3'].find((each) => spawnSync(each, ['-c', 'import torch']).status === 0);
if (!python) console.log('skipped: no python3 has PyTorch (Debian: python3-torch)');

test.skipIf(!python)('log-probabilities are those of PyTorch', async () => {
  await useBackend('cpu');
  const folder = mkdtempSync(path.join(tmpdir(), 'llama-'));
  writeLlamaFolder(folder);
  const random = randomStream(3, 'tokens');
  const ids = Array.from({ length: 3 }, () => Array.from({ length: 41 }, () => random.integer(LLAMA_FOLDER.vocab_size)));
  const input = JSON.stringify({ folder, ids });
  const { stdout, stderr } = spawnSync(python!, [path.join(__dirname, 'llama.py')], { input, encoding: 'utf8' });
  expect(stderr).toBe('');
  const { model, params } = await load(folder, { workers: 1 });
  const actual = await model.logProbs(params, padExamples(ids, 40, LLAMA_FOLDER.vocab_size));
  expect(actual).toBeAllClose(JSON.parse(stdout) as number[], { atol: 1e-4 });
  disposeParams(params);
  model.dispose();
  rmSync(folder, { recursive: true });
});
