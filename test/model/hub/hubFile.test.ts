/** A file whose bytes come as they should not: the end is an error in a bounded number of requests and bytes. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { fetchFile } from '../../../src/model/hub/hubFile';

const content = Buffer.from('the bytes that the hub states');
const file = { name: 'config.json', size: content.length, hash: createHash('sha256').update(content).digest('hex') };
let store: string;
beforeEach(() => (store = fs.mkdtempSync(path.join(tmpdir(), 'hub-file-'))));
afterEach(() => fs.rmSync(store, { recursive: true }));

/** The outcome, how often the file was asked for and how many bytes of it were taken. */
async function outcome(
  answer: (from: number) => Iterable<Uint8Array>,
): Promise<{ message: string; opened: number; bytes: number }> {
  let [opened, bytes] = [0, 0];
  async function* stream(from: number) {
    for (const chunk of answer(from)) {
      bytes += chunk.length;
      yield chunk;
    }
  }
  const open = async (from: number) => {
    if (++opened > 100) throw new Error('asked for without end');
    return { from, stream: stream(from) };
  };
  const content = { open, report: () => undefined, patience: { silence: 1000, pause: 1 } };
  const message = await fetchFile(file, { store, snapshot: path.join(store, 'snapshot') }, content).then(
    () => 'whole',
    (error: Error) => error.message,
  );
  return { message, opened, bytes };
}

it('arrives in pieces, one answer each', async () => {
  const { message, opened } = await outcome((from) => [content.subarray(from, from + 10)]);
  expect([message, opened]).toEqual(['whole', 3]);
});

it('answers without a byte are asked for a few times, not again and again', async () => {
  const { message, opened } = await outcome(() => []);
  expect(message).toMatch(/^config\.json: the connection broke after 0 of 29 bytes \(the answer was empty\); try again/);
  expect(opened).toBe(4);
});

it('an answer without end is ended where the file is', async () => {
  function* endless() {
    for (;;) yield new Uint8Array(1000);
  }
  const { message, opened, bytes } = await outcome(endless);
  expect(message).toMatch(/^config\.json arrived damaged/);
  expect(opened).toBe(1);
  expect(bytes).toBeLessThanOrEqual(4000);
  expect(fs.readdirSync(path.join(store, 'blobs'))).toEqual([]);
});
