/**
 * GGUF files (ggml's format): the header by `@huggingface/gguf`, then checked as strictly as a safetensors header, and one tensor at a time
 * as float32.
 */
import * as fs from 'node:fs';
import type * as Library from '@huggingface/gguf';
import { refusePointer } from './json';
import { printable, shorten, shown } from './printable';
import { dequantize, GGUF_LAYOUTS, type GgufDtype } from './quantized';

/** Loaded with the first such file: it would be a fifth of every start of `dpg`. */
const library = (): typeof Library => require('@huggingface/gguf') as typeof Library;

/** A tensor of the file. */
export interface GgufTensor {
  readonly dtype: string;
  /** As in every other format here, the fastest dimension last: the file says it the other way round. */
  readonly shape: readonly number[];
  /** Bytes from the start of the file. */
  readonly begin: number;
}

/** An open file: the header is checked and held, values are read on demand. */
export interface GgufFile {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  /** The values of one tensor in a new array. @throws Error naming the tensor, for a dtype that is not read */
  read(name: string): Float32Array<ArrayBuffer>;
  close(): void;
}

/** Whether a path is called like one. */
export const isGgufName = (path: string): boolean => path.toLowerCase().endsWith('.gguf');

/**
 * Opens a file and checks its whole header. The caller closes it.
 * @throws Error in one line with the path and the reason
 */
export async function openGguf(path: string): Promise<GgufFile> {
  const refuse = (reason: string): never => {
    throw new Error(`${path}: ${reason}`);
  };
  const header = await library()
    .gguf(path, { allowLocalFile: true })
    .catch((error: unknown) => {
      refusePointer(firstBytes(path), refuse);
      return refuse(
        error instanceof RangeError ? 'its header is damaged or cut off' : printable(shorten((error as Error).message, 300)),
      );
    });
  const fd = fs.openSync(path, 'r');
  try {
    const tensors = checkedTensors(header, fs.fstatSync(fd).size, refuse);
    const read = (name: string): Float32Array<ArrayBuffer> => {
      const tensor = tensors.get(name) ?? refuse(`there is no tensor ${shown(name)}`);
      const length = byteLength(tensor);
      if (length === undefined)
        return refuse(
          `tensor ${shown(name)} is of type ${tensor.dtype}, which is not read (supported: ${Object.keys(GGUF_LAYOUTS).join(', ')})`,
        );
      return dequantize(readBytes(fd, tensor.begin, length), tensor.dtype as GgufDtype);
    };
    return { metadata: { ...header.metadata } as Record<string, unknown>, tensors, read, close: () => fs.closeSync(fd) };
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

function firstBytes(path: string): Uint8Array {
  const fd = fs.openSync(path, 'r');
  const bytes = Buffer.alloc(64);
  fs.readSync(fd, bytes);
  fs.closeSync(fd);
  return bytes;
}

/** The tensors, none outside the file, none over another, no name twice. */
function checkedTensors(
  { metadata, tensorInfos, tensorDataOffset, littleEndian }: Library.GGUFParseOutput,
  size: number,
  refuse: (reason: string) => never,
): Map<string, GgufTensor> {
  const start = Number(tensorDataOffset);
  if (!littleEndian) refuse('it is big-endian, which is not read');
  if (start > size) refuse(`its header ends behind the file (${size} bytes): the file is truncated`);
  const added = 3; // version and the two counts
  if (Object.keys(metadata).length !== Number(metadata.kv_count) + added) refuse('its header has a key twice');
  const { GGMLQuantizationType } = library();
  const tensors = new Map<string, GgufTensor>();
  for (const { name, shape, dtype, offset } of tensorInfos) {
    if (tensors.has(name)) refuse(`it has the tensor ${shown(name)} twice`);
    const tensor = {
      dtype: GGMLQuantizationType[dtype] ?? `number ${dtype}`,
      shape: shape.map(Number).reverse(),
      begin: start + Number(offset),
    };
    tensors.set(name, tensor);
  }
  checkLayout(tensors, size, refuse);
  return tensors;
}

function checkLayout(tensors: ReadonlyMap<string, GgufTensor>, size: number, refuse: (reason: string) => never): void {
  let covered = 0;
  for (const [name, tensor] of [...tensors].sort(([, a], [, b]) => a.begin - b.begin)) {
    const where = `tensor ${shown(name)}`;
    if (tensor.begin < covered) refuse(`${where} overlaps another`);
    const length = byteLength(tensor) ?? 1; // of a dtype that is not read, its start must at least be there
    if (!Number.isInteger(length)) refuse(`${where}: rows of [${tensor.shape}] are no whole blocks of ${tensor.dtype}`);
    covered = tensor.begin + length;
    if (!(covered <= size)) refuse(`${where} ends behind the file (${size} bytes): the file is truncated`);
  }
}

/** Bytes of a tensor; NaN if its rows are no whole blocks, undefined for a dtype that is not read. */
function byteLength({ dtype, shape }: GgufTensor): number | undefined {
  if (!(dtype in GGUF_LAYOUTS)) return undefined;
  const { values, bytes } = GGUF_LAYOUTS[dtype as GgufDtype];
  const row = shape.at(-1) ?? 1;
  return row % values === 0 ? (shape.reduce((product, n) => product * n, 1) / values) * bytes : NaN;
}

function readBytes(fd: number, position: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const n = fs.readSync(fd, bytes, at, Math.min(length - at, 2 ** 30), position + at); // one call moves < 2^31 bytes
    if (n === 0) throw new Error(`the file ended ${length - at} bytes early while it was read`);
    at += n;
  }
  return bytes;
}
