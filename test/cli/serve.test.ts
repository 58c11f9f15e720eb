import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { build, dpg } from './dpg';

const TOKEN = 'a-token-of-some-length';
let folder: string;
let tokenFile: string;
beforeAll(() => {
  build();
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'dpg-serve-test-'));
  tokenFile = path.join(folder, 'token');
  fs.writeFileSync(tokenFile, `${TOKEN}\n`);
}, 120_000);
afterAll(() => fs.rmSync(folder, { recursive: true }));

test('serves an own target with its keys and a token, and ends cleanly on SIGTERM', async () => {
  const file = path.join(folder, 'small-head.mjs');
  const tfjs = path.resolve('node_modules/@tensorflow/tfjs-core/dist/tf-core.node.js');
  fs.writeFileSync(
    file,
    `import { createRequire } from 'node:module';
     const tf = createRequire(import.meta.url)(${JSON.stringify(tfjs)});
     export const objective = (params) => tf.neg(tf.norm(params['lm_head.weight']));`,
  );
  const sizes = ['--prompts=2', '--group-size', '2', '--max-new-tokens=8', '--steps=3', '--workers', '1'];
  const server = dpg('serve', file, ...sizes, '--host', '127.0.0.1', '--token-file', tokenFile, '--port=0');
  await server.prints('http://');
  const [url] = /http:\S+/.exec(server.stdout())!;
  expect(server.stdout()).toBe(`small-head: 3 steps of 4 examples, at ${url}\n`);
  const authorization = `Bearer ${TOKEN}`;
  const post = (step: number, body: object) =>
    fetch(`${url}/v1/datasets/${step}/examples`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization },
      body: JSON.stringify(body),
    });
  const texts = ['a river', 'the old town', 'stone', 'in the north'];
  const paid = (await (await post(2, { rank: 0, count: 1, texts })).json()) as { tau: number[]; phi: number };
  expect(new Set(paid.tau).size).toBe(4);
  expect(paid.phi).toBeLessThan(-11);
  const waiting = post(0, { rank: 0, count: 2, texts: texts.slice(2) });
  const metrics = async () => (await fetch(`${url}/metrics`, { headers: { authorization } })).text();
  await expect.poll(metrics).toContain('dpg_data_sets{state="arriving"} 1');
  server.process.kill('SIGTERM');
  expect((await waiting).status).toBe(503);
  expect(await server.exit).toBe(143);
  expect(server.stderr()).toBe('dpg: ending; what is being paid gets its rewards\n');
}, 60_000);

test.each<[string[], RegExp]>([
  [
    ['sixty-seven', '--host', '0.0.0.0'],
    /^dpg: --host 0\.0\.0\.0 can be reached from other machines: give a --token-file, too\n$/,
  ],
  [['sixty-seven', '--port', '70000'], /^dpg: --port must be a whole number from 0 to 65535 \(got 70000\)\n$/],
  [['sixty-seven', '--token-file', 'none'], /^dpg: --token-file: .*none/],
  [['sixty-seven', '--out', 'x'], /^dpg: dpg serve writes no run folder: leave out --out\n$/],
  [['--port', '1'], /^dpg: dpg serve takes one EXPERIMENT of /],
  [['sixty-seven', '--prots', '1'], /^dpg: unknown option --prots; did you mean --prompts\?\n$/],
])('%j is wrong usage', async (args, sentence) => {
  const { exit, stderr } = dpg('serve', ...args);
  expect(await exit).toBe(2);
  expect(stderr()).toMatch(sentence);
});

test('a short token is refused', async () => {
  const file = path.join(folder, 'short');
  fs.writeFileSync(file, 'secret');
  const { exit, stderr } = dpg('serve', 'sixty-seven', '--token-file', file);
  expect(await exit).toBe(2);
  expect(stderr()).toMatch(/a token has at least 16 characters/);
});
