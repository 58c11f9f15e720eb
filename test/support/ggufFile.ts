/** GGUF files of version 3, written from the format's description. */
import { writeFileSync } from 'node:fs';

/** A tensor as the file has it: dimensions with the fastest first, bytes as they lie there. */
export interface RawTensor {
  readonly name: string;
  readonly dimensions: readonly number[];
  /** ggml's number of the dtype. */
  readonly type: number;
  readonly bytes: Uint8Array;
}

export const GGML = { F32: 0, F16: 1, Q4_0: 2, Q4_1: 3, Q8_0: 8, Q6_K: 14, BF16: 30 };

type Value = string | number | boolean | readonly string[] | readonly number[];

const u32 = (n: number): Buffer => Buffer.from(Uint32Array.of(n).buffer);
const u64 = (n: number): Buffer => Buffer.from(BigUint64Array.of(BigInt(n)).buffer);
const f32 = (x: number): Buffer => Buffer.from(Float32Array.of(x).buffer);
const text = (s: string): Buffer => Buffer.concat([u64(Buffer.byteLength(s)), Buffer.from(s)]);

/** Whole numbers become uint32 (4), others float32 (6). */
function valueOf(value: Value): Buffer {
  if (typeof value === 'string') return Buffer.concat([u32(8), text(value)]);
  if (typeof value === 'boolean') return Buffer.concat([u32(7), Buffer.from([Number(value)])]);
  if (typeof value === 'number')
    return Number.isInteger(value) ? Buffer.concat([u32(4), u32(value)]) : Buffer.concat([u32(6), f32(value)]);
  if (value.every((each) => typeof each === 'string'))
    return Buffer.concat([u32(9), u32(8), u64(value.length), ...(value as string[]).map(text)]);
  return Buffer.concat([u32(9), u32(6), u64(value.length), ...(value as number[]).map(f32)]);
}

/** float32 numbers as a tensor; `shape` with the fastest dimension last. */
export const floats = (name: string, shape: readonly number[], values: Float32Array): RawTensor => ({
  name,
  dimensions: [...shape].reverse(),
  type: GGML.F32,
  bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
});

/** Writes a file; metadata as a list, so that a test can write a key twice. */
export function writeGguf(path: string, metadata: readonly (readonly [string, Value])[], tensors: readonly RawTensor[]): Buffer {
  const pad = (n: number): number => Math.ceil(n / 32) * 32;
  let offset = 0;
  const infos = tensors.map(({ name, dimensions, type, bytes }) => {
    const info = Buffer.concat([text(name), u32(dimensions.length), ...dimensions.map(u64), u32(type), u64(offset)]);
    offset += pad(bytes.length);
    return info;
  });
  const header = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(metadata.length)];
  const keys = metadata.map(([key, value]) => Buffer.concat([text(key), valueOf(value)]));
  const head = Buffer.concat([...header, ...keys, ...infos]);
  const data = tensors.map(({ bytes }) => Buffer.concat([bytes, Buffer.alloc(pad(bytes.length) - bytes.length)]));
  const file = Buffer.concat([head, Buffer.alloc(pad(head.length) - head.length), ...data]);
  writeFileSync(path, file);
  return file;
}
