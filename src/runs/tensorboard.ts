/**
 * Scalars for TensorBoard: an event file is a sequence of TFRecords, each a protobuf `Event`, written by hand (scalars need ten fields).
 *
 * TFRecord: u64 length · masked CRC of it · data · masked CRC of the data, all little-endian.
 */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { appendWhole, makeFolder } from '../files/atomicFile';

/** An event file that grows; TensorBoard may read along. */
export interface EventFile {
  readonly path: string;
  /**
   * Appends one event with all `scalars` (float32) of a step.
   *
   * @param time - seconds since 1970, default now
   * @throws Error naming the path and the cause when the disk refuses; whole events stay whole
   */
  write(step: number, scalars: Readonly<Record<string, number>>, time?: number): void;
}

let filesOfProcess = 0;

/**
 * Starts a new event file in `folder` (made if absent). A resumed run starts another one: TensorBoard joins the files of a folder, and
 * drops what earlier ones hold of steps from `firstStep` on, which are done again.
 *
 * @param firstStep - of the scalars to come
 * @param time - seconds since 1970, default now
 */
export function createEventFile(folder: string, firstStep: number, time = Date.now() / 1000): EventFile {
  makeFolder(folder);
  const second = String(Math.floor(time)).padStart(10, '0');
  const path = join(folder, `events.out.tfevents.${second}.${hostname()}.${process.pid}.${filesOfProcess++}`);
  const version = Buffer.concat([doubleField(1, time), bytesField(3, Buffer.from('brain.Event:2'))]);
  appendWhole(path, Buffer.concat([tfRecord(version), tfRecord(startEvent(firstStep, time))]));
  return {
    path,
    write: (step, scalars, now = Date.now() / 1000) => appendWhole(path, tfRecord(scalarEvent(step, scalars, now))),
  };
}

/** `Event { double wall_time = 1; int64 step = 2; SessionLog session_log = 7 }`, `SessionLog { SessionStatus status = 1 }`, START is 1. */
const startEvent = (step: number, time: number): Buffer =>
  Buffer.concat([doubleField(1, time), varintField(2, step), bytesField(7, varintField(1, 1))]);

/** `Event { double wall_time = 1; int64 step = 2; Summary summary = 5 }`, `Summary { repeated Value value = 1 }`. */
function scalarEvent(step: number, scalars: Readonly<Record<string, number>>, time: number): Buffer {
  const values = Object.entries(scalars).map(([tag, value]) =>
    // Value { string tag = 1; float simple_value = 2 }
    bytesField(1, Buffer.concat([bytesField(1, Buffer.from(tag)), floatField(2, value)])),
  );
  return Buffer.concat([doubleField(1, time), varintField(2, step), bytesField(5, Buffer.concat(values))]);
}

/** The tag of a protobuf field holds its number and wire type: 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes. */
const fieldTag = (field: number, wireType: number): Buffer => varint((field << 3) | wireType);

const varintField = (field: number, value: number): Buffer => Buffer.concat([fieldTag(field, 0), varint(value)]);

const bytesField = (field: number, bytes: Buffer): Buffer => Buffer.concat([fieldTag(field, 2), varint(bytes.length), bytes]);

function doubleField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([fieldTag(field, 1), bytes]);
}

function floatField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([fieldTag(field, 5), bytes]);
}

/** Seven bits a byte, lowest first, the top bit set on all but the last. */
function varint(value: number): Buffer {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`a step must be a whole number from 0 on (got ${value})`);
  const bytes = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return Buffer.from([...bytes, value]);
}

function tfRecord(data: Buffer): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(data.length));
  return Buffer.concat([length, maskedCrc(length), data, maskedCrc(data)]);
}

/** TensorFlow's mask: a CRC over data that contains CRCs would be weak. */
function maskedCrc(data: Buffer): Buffer {
  const crc = crc32c(data);
  const masked = Buffer.alloc(4);
  masked.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
  return masked;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0x82f63b78 : byte >>> 1;
  return byte;
});

/** CRC-32C (Castagnoli, RFC 3720 appendix B.4), unsigned. */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 255];
  return (crc ^ 0xffffffff) >>> 0;
}
