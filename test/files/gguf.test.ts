import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openGguf } from '../../src/files/gguf';
import { toBfloat16, toFloat16 } from '../../src/files/halfFloats';
import { floats, GGML, writeGguf, type RawTensor } from '../support/ggufFile';

const place = mkdtempSync(join(tmpdir(), 'gguf-'));
afterAll(() => rmSync(place, { recursive: true }));
const path = join(place, 'x.gguf');

const bytesOf = (words: Uint16Array): Uint8Array => new Uint8Array(words.buffer);
const half = (x: number): number[] => [...bytesOf(toFloat16(Float32Array.of(x)))];
const q = Array.from({ length: 32 }, (_, i) => (7 * i + 3) % 16); // 4-bit weights
const nibbles = Array.from({ length: 16 }, (_, i) => q[i] | (q[i + 16] << 4));
const raw = (name: string, type: number, dimensions: number[], bytes: Iterable<number>): RawTensor => ({
  name,
  type,
  dimensions,
  bytes: Uint8Array.from(bytes),
});

async function valuesOf(tensor: RawTensor): Promise<number[]> {
  writeGguf(path, [['general.architecture', 'llama']], [tensor]);
  const file = await openGguf(path);
  const values = file.read(tensor.name);
  file.close();
  return [...values];
}

describe('values', () => {
  test('floats as they are', async () => {
    const values = Float32Array.of(1.5, -2, 0.25, 3);
    expect(await valuesOf(floats('x', [2, 2], values))).toEqual([...values]);
    expect(await valuesOf(raw('x', GGML.F16, [4], bytesOf(toFloat16(values))))).toEqual([...values]);
    expect(await valuesOf(raw('x', GGML.BF16, [4], bytesOf(toBfloat16(values))))).toEqual([...values]);
  });

  test('blocks: d·q in Q8_0, d·(q − 8) in Q4_0, d·q + m in Q4_1; a second block has its own scale', async () => {
    const signed = q.map((x, i) => (i % 2 ? 0 - x : 127 - x));
    const bytes = (values: number[]): number[] => [...new Uint8Array(Int8Array.from(values).buffer)];
    const q8 = [...half(0.5), ...bytes(signed), ...half(-2), ...bytes(signed)];
    expect(await valuesOf(raw('x', GGML.Q8_0, [64], q8))).toEqual([...signed.map((x) => 0.5 * x), ...signed.map((x) => -2 * x)]);
    expect(await valuesOf(raw('x', GGML.Q4_0, [32], [...half(0.25), ...nibbles]))).toEqual(q.map((x) => 0.25 * (x - 8)));
    const q41 = [...half(0.25), ...half(-1.5), ...nibbles, ...half(1), ...half(3), ...nibbles];
    const expected = [...q.map((x) => 0.25 * x - 1.5), ...q.map((x) => x + 3)];
    expect(await valuesOf(raw('x', GGML.Q4_1, [32, 2], q41))).toEqual(expected);
  });
});

describe('refused, in one line', () => {
  const good = [floats('a', [2, 2], new Float32Array(4)), floats('b', [8], new Float32Array(8))];
  const error = async (tensors: RawTensor[], cut?: (file: Buffer) => Buffer): Promise<string> => {
    const file = writeGguf(
      path,
      [
        ['general.architecture', 'llama'],
        ['x.y', 2],
      ],
      tensors,
    );
    if (cut) writeFileSync(path, cut(file));
    const message = await openGguf(path).then(
      (opened) => (opened.close(), 'opened'),
      (reason: Error) => reason.message,
    );
    expect(message).toMatch(message === 'opened' ? /opened/ : /^\S+x\.gguf: [^\n]+$/);
    return message;
  };

  test('a file cut off anywhere', async () => {
    expect(await error(good)).toBe('opened');
    const { length } = writeGguf(
      path,
      [
        ['general.architecture', 'llama'],
        ['x.y', 2],
      ],
      good,
    );
    for (let at = 0; at < length - 32; at += 7)
      expect(await error(good, (file) => file.subarray(0, at)), `${at}`).not.toBe('opened');
    expect(await error(good, (file) => file.subarray(0, length - 32))).toMatch(/tensor "b" ends behind the file .*truncated/);
  });

  test('other bytes, names and keys twice, tensors over one another, rows that are no blocks', async () => {
    expect(await error(good, () => Buffer.from('not a model at all'))).toMatch(/not a valid gguf file/);
    expect(await error([good[0], good[0]])).toMatch(/has the tensor "a" twice/);
    expect(await error([raw('a', GGML.F32, [16], new Uint8Array(32)), good[1]])).toMatch(/tensor "b" overlaps another/);
    expect(await error([raw('a', GGML.Q4_0, [16, 2], new Uint8Array(18))])).toMatch(
      /rows of \[2,16\] are no whole blocks of Q4_0/,
    );
    writeGguf(
      path,
      [
        ['k', 1],
        ['k', 2],
      ],
      good,
    );
    await expect(openGguf(path)).rejects.toThrow('its header has a key twice');
    await expect(openGguf(join(place, 'none.gguf'))).rejects.toThrow('none.gguf');
  });

  test('a dtype that is not read, when it is read', async () => {
    writeGguf(path, [], [raw('a', GGML.Q6_K, [256], new Uint8Array(210))]);
    const file = await openGguf(path);
    expect(() => file.read('a')).toThrow(
      'tensor "a" is of type Q6_K, which is not read (supported: F32, F16, BF16, Q8_0, Q4_0, Q4_1)',
    );
    file.close();
  });
});
