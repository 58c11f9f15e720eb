/**
 * The safetensors format, read strictly and lazily, written in one pass:
 * 8 bytes header length N (little-endian) · N bytes JSON {name: {dtype, shape, data_offsets}} · the tensors' bytes.
 * Whatever is wrong with a file ends in a {@link SafetensorsError}; no tensor is held twice.
 */
import * as fs from 'node:fs';
import { writeFileAtomic } from './atomicFile';
import { findDuplicateKey } from './duplicateKeys';
import { refusePointer } from './json';
import { shown } from './printable';
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from './halfFloats';

/** A file that is no safetensors file, or a tensor that cannot be written as one; the message says why. */
export class SafetensorsError extends Error {
  override readonly name = 'SafetensorsError';
}

/** Values as they are computed with: F16 and BF16 become float32. */
export type TensorValues = Float32Array | Float64Array | Int32Array | BigInt64Array;

/** The dtypes whose values can be read and written. */
export type Dtype = 'F64' | 'F32' | 'F16' | 'BF16' | 'I64' | 'I32';

/** One entry of the header; offsets are in bytes from the end of the header. */
export interface TensorInfo {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** An open file: the header is checked and held, values are read on demand. */
export interface SafetensorsFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The header's `__metadata__`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The values of one tensor in a new array. Throws {@link SafetensorsError}, e.g. for a dtype outside {@link Dtype}. */
  read(name: string): TensorValues;
  close(): void;
}

/** A tensor to write; `dtype` defaults to that of the array, F16 and BF16 round a Float32Array to nearest even. */
export interface TensorToWrite {
  readonly shape: readonly number[];
  readonly data: TensorValues;
  readonly dtype?: Dtype;
}

const MAX_HEADER = 100_000_000; // bytes, the limit of the reference implementation

/** Bytes per value; the dtypes we only skip (buffers such as a causal mask) must not make a file unreadable. */
const BYTES: ReadonlyMap<string, number> = new Map([
  ...['F64', 'I64', 'U64'].map((dtype) => [dtype, 8] as const),
  ...['F32', 'I32', 'U32'].map((dtype) => [dtype, 4] as const),
  ...['F16', 'BF16', 'I16', 'U16'].map((dtype) => [dtype, 2] as const),
  ...['I8', 'U8', 'BOOL', 'F8_E4M3', 'F8_E5M2'].map((dtype) => [dtype, 1] as const),
]);

/**
 * Opens a file and checks its whole header. The caller closes it.
 *
 * @throws SafetensorsError with the path and the reason
 */
export function openSafetensors(path: string): SafetensorsFile {
  const fd = orRefuse(path, () => fs.openSync(path, 'r'));
  let isOpen = true;
  const close = (): void => {
    if (isOpen) fs.closeSync(fd);
    isOpen = false; // the number may belong to another file from now on
  };
  try {
    const { header, dataStart, dataLength } = orRefuse(path, () => readHeader(fd));
    const { tensors, metadata } = orRefuse(path, () => parseHeader(header, dataLength));
    const read = (name: string): TensorValues =>
      orRefuse(path, () => (isOpen ? readTensor(fd, dataStart, name, tensors.get(name)) : refuse('the file is closed')));
    return { path, tensors, metadata, read, close };
  } catch (error) {
    close();
    throw error;
  }
}

/**
 * Writes tensors, larger element sizes first so that every tensor is aligned, atomically.
 *
 * @throws SafetensorsError for a tensor that cannot be written; Error naming the path and the cause when the disk refuses
 */
export function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, TensorToWrite>>,
  metadata: Readonly<Record<string, string>> = {},
): void {
  const entries = Object.entries(tensors).map(([name, tensor]) => ({ name, tensor, dtype: checkedDtype(name, tensor) }));
  entries.sort((a, b) => BYTES.get(b.dtype)! - BYTES.get(a.dtype)!);
  const header: Record<string, unknown> = Object.keys(metadata).length > 0 ? { __metadata__: metadata } : {};
  let offset = 0;
  for (const { name, tensor, dtype } of entries) {
    const end = offset + tensor.data.length * BYTES.get(dtype)!;
    header[name] = { dtype, shape: tensor.shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(Math.ceil(json.length / 8) * 8, ' ');
  json.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  writeFileAtomic(path, pieces());

  function* pieces(): Generator<Uint8Array> {
    yield length;
    yield padded;
    for (const { tensor, dtype } of entries) yield encode(tensor.data, dtype);
  }
}

/** Runs `f`; what the file or the system is to blame for becomes a {@link SafetensorsError} that names the file, a bug does not. */
function orRefuse<T>(path: string, f: () => T): T {
  try {
    return f();
  } catch (error) {
    const notOurs =
      error instanceof SafetensorsError || error instanceof RangeError || (error instanceof Error && 'syscall' in error);
    if (!notOurs) throw error;
    throw new SafetensorsError(`${path}: ${error.message}`, { cause: error }); // a RangeError: more than memory holds
  }
}

function refuse(reason: string): never {
  throw new SafetensorsError(reason);
}

function readHeader(fd: number): { header: string; dataStart: number; dataLength: number } {
  const size = fs.fstatSync(fd).size;
  refusePointer(readBytes(fd, 0, Math.min(size, 64)), refuse);
  if (size < 8) refuse(`a file of ${size} bytes has no room for the header length (8 bytes)`);
  const length = Number(new DataView(readBytes(fd, 0, 8).buffer).getBigUint64(0, true));
  if (length > MAX_HEADER) refuse(`the header length ${length} is above the limit of ${MAX_HEADER} bytes`);
  if (8 + length > size) refuse(`the header (${length} bytes) ends behind the file (${size} bytes)`);
  const header = decodeUtf8(readBytes(fd, 8, length));
  if (!header.startsWith('{'))
    refuse(`the header does not start with {${header.startsWith('\ufeff') ? ' but with a byte order mark' : ''}`);
  return { header, dataStart: 8 + length, dataLength: size - 8 - length };
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return refuse('the header is not UTF-8');
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    return refuse(`the header is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function parseHeader(header: string, dataLength: number): Pick<SafetensorsFile, 'tensors' | 'metadata'> {
  const entries = Object.entries(parseJson(header) as Record<string, unknown>);
  const duplicate = findDuplicateKey(header); // JSON.parse keeps the last of two equal keys and says nothing
  if (duplicate !== null) refuse(`the header has the key ${shown(duplicate)} twice`);
  const tensors = new Map<string, TensorInfo>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of entries) {
    if (name === '__proto__') refuse('a tensor must not be named __proto__');
    if (name === '__metadata__') metadata = parseMetadata(value);
    else tensors.set(name, parseInfo(name, value));
  }
  checkLayout(tensors, dataLength);
  return { tensors, metadata };
}

function parseMetadata(value: unknown): Record<string, string> {
  if (!isObject(value)) return refuse('__metadata__ is not an object');
  for (const [key, text] of Object.entries(value)) {
    if (key === '__proto__') refuse('__metadata__ must not have the key __proto__');
    if (typeof text !== 'string') refuse(`__metadata__ ${shown(key)} is not a string`);
  }
  return value as Record<string, string>;
}

function parseInfo(name: string, value: unknown): TensorInfo {
  const where = `tensor ${shown(name)}`;
  if (!isObject(value)) return refuse(`${where} is not an object`);
  const { dtype, shape, data_offsets: offsets, ...others } = value;
  const unknownKey = Object.keys(others)[0];
  if (unknownKey !== undefined) refuse(`${where} has the unknown key ${shown(unknownKey)}`);
  const bytes = BYTES.get(dtype as string);
  if (typeof dtype !== 'string' || bytes === undefined) return refuse(`${where} has the unknown dtype ${shown(dtype)}`);
  if (!isCounts(shape)) return refuse(`${where}: the shape is not a list of whole numbers from 0 to 2^53 - 1`);
  if (!isCounts(offsets) || offsets.length !== 2) return refuse(`${where}: data_offsets is not [begin, end]`);
  const [begin, end] = offsets;
  const length = shape.reduce((product, n) => (product * n <= Number.MAX_SAFE_INTEGER ? product * n : NaN), bytes);
  if (length !== end - begin) refuse(`${where}: ${dtype} ${shown(shape)} does not fill the bytes ${begin} to ${end}`);
  return { dtype, shape, begin, end };
}

/** The tensors must cover the data exactly: no overlap, no hole, nothing behind. */
function checkLayout(tensors: ReadonlyMap<string, TensorInfo>, dataLength: number): void {
  let covered = 0;
  for (const [name, { begin, end }] of [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    const where = `tensor ${shown(name)} (bytes ${begin} to ${end})`;
    if (begin !== covered) refuse(`${where} ${begin < covered ? 'overlaps another' : `leaves a hole behind byte ${covered}`}`);
    if (end > dataLength) refuse(`${where} ends behind the data (${dataLength} bytes): the file is truncated`);
    covered = end;
  }
  if (covered !== dataLength) refuse(`${dataLength - covered} bytes behind the last tensor belong to none`);
}

function readTensor(fd: number, dataStart: number, name: string, info: TensorInfo | undefined): TensorValues {
  if (!info) return refuse(`there is no tensor ${shown(name)}`);
  if (!isDtype(info.dtype)) return refuse(`tensor ${shown(name)}: values of dtype ${info.dtype} cannot be read`);
  // A buffer of its own: aligned for any element size, wherever the tensor lies in the file.
  return decode(readBytes(fd, dataStart + info.begin, info.end - info.begin).buffer, info.dtype);
}

function readBytes(fd: number, position: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const n = fs.readSync(fd, bytes, at, Math.min(length - at, 2 ** 30), position + at); // one call moves < 2^31 bytes
    if (n === 0) refuse(`the file ended ${length - at} bytes early while it was read`);
    at += n;
  }
  return bytes;
}

/** Little-endian bytes to values; every platform that tfjs runs on is little-endian. */
function decode(buffer: ArrayBuffer, dtype: Dtype): TensorValues {
  switch (dtype) {
    case 'F64':
      return new Float64Array(buffer);
    case 'F32':
      return new Float32Array(buffer);
    case 'F16':
      return fromFloat16(new Uint16Array(buffer));
    case 'BF16':
      return fromBfloat16(new Uint16Array(buffer));
    case 'I64':
      return new BigInt64Array(buffer);
    case 'I32':
      return new Int32Array(buffer);
  }
}

function encode(data: TensorValues, dtype: Dtype): Uint8Array {
  const values = dtype === 'F16' ? toFloat16(data as Float32Array) : dtype === 'BF16' ? toBfloat16(data as Float32Array) : data;
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function checkedDtype(name: string, { shape, data, dtype = nativeDtype(data) }: TensorToWrite): Dtype {
  const where = `tensor ${shown(name)}`;
  if (name === '__proto__' || name === '__metadata__') refuse(`a tensor must not be named ${name}`);
  const half = (dtype === 'F16' || dtype === 'BF16') && data instanceof Float32Array;
  if (dtype !== nativeDtype(data) && !half) refuse(`${where}: a ${data.constructor.name} cannot be written as ${dtype}`);
  const size = shape.reduce((product, n) => product * n, 1);
  if (!isCounts(shape) || size !== data.length) refuse(`${where}: ${data.length} values do not fill the shape [${shape}]`);
  return dtype;
}

function nativeDtype(data: TensorValues): Dtype {
  if (data instanceof Float32Array) return 'F32';
  if (data instanceof Float64Array) return 'F64';
  return data instanceof Int32Array ? 'I32' : 'I64';
}

const isDtype = (dtype: string): dtype is Dtype => ['F64', 'F32', 'F16', 'BF16', 'I64', 'I32'].includes(dtype);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isCounts = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
