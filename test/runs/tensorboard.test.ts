import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect, it } from 'vitest';
import { crc32c, createEventFile } from '../../src/runs/tensorboard';

/** CRC-32C by polynomial division of the reflected bits, without a table. */
function slowCrc(data: Uint8Array): number {
  let crc = 0xffffffffn;
  for (const byte of data) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x82f63b78n : crc >> 1n;
  }
  return Number(crc ^ 0xffffffffn);
}

function unmask(masked: number): number {
  const rotated = (BigInt(masked) + 0x100000000n - 0xa282ead8n) & 0xffffffffn;
  return Number(((rotated >> 17n) | (rotated << 15n)) & 0xffffffffn);
}

function readRecords(bytes: Buffer): Buffer[] {
  const records = [];
  for (let at = 0; at < bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(at));
    expect(unmask(bytes.readUInt32LE(at + 8))).toBe(slowCrc(bytes.subarray(at, at + 8)));
    const data = bytes.subarray(at + 12, at + 12 + length);
    expect(unmask(bytes.readUInt32LE(at + 12 + length))).toBe(slowCrc(data));
    records.push(data);
    at += 16 + length;
  }
  return records;
}

/** Protobuf fields in order: [number, value]; length-delimited values stay bytes. */
function readFields(bytes: Buffer): [number, number | Buffer][] {
  const fields: [number, number | Buffer][] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = BigInt(bytes[at++]);
      value |= (byte & 127n) << shift;
      if (byte < 128n) return Number(value);
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    if ((tag & 7) === 0) fields.push([tag >> 3, varint()]);
    else if ((tag & 7) === 1) fields.push([tag >> 3, bytes.readDoubleLE((at += 8) - 8)]);
    else if ((tag & 7) === 5) fields.push([tag >> 3, bytes.readFloatLE((at += 4) - 4)]);
    else {
      const length = varint();
      fields.push([tag >> 3, bytes.subarray(at, (at += length))]);
    }
  }
  return fields;
}

it.each([
  ['32 zeros', Buffer.alloc(32), 0x8a9136aa],
  ['32 times 0xff', Buffer.alloc(32, 0xff), 0x62a8ab43],
  ['0 to 31', Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e],
  ['31 to 0', Buffer.from(Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c],
  ['123456789', Buffer.from('123456789'), 0xe3069283],
])('crc32c of %s as in RFC 3720', (_, bytes, expected) => {
  expect(crc32c(bytes)).toBe(expected);
  expect(slowCrc(bytes)).toBe(expected);
});

it('writes events that an independent reader decodes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tensorboard-'));
  try {
    const file = createEventFile(folder, 7, 1700000000.25);
    file.write(1, { phi: -0.6931, 'naïve/τ': 1e-9 }, 1700000001.5);
    file.write(2 ** 40, { phi: NaN }, 1700000002);
    expect(() => file.write(1.5, { phi: 1 })).toThrow(/whole number.*1\.5/);
    expect(basename(file.path).startsWith(`events.out.tfevents.1700000000.${hostname()}.`)).toBe(true);
    expect(createEventFile(folder, 7, 1700000000.25).path).not.toBe(file.path);

    const [version, start, first, second, ...others] = readRecords(readFileSync(file.path)).map(readFields);
    expect(others).toEqual([]);
    expect(version).toEqual([
      [1, 1700000000.25],
      [3, Buffer.from('brain.Event:2')],
    ]);
    expect(start).toEqual([
      [1, 1700000000.25],
      [2, 7], // TensorBoard drops what earlier files hold from this step on
      [7, Buffer.from([0x08, 0x01])], // SessionLog { status: START }
    ]);
    expect(first.slice(0, 2)).toEqual([
      [1, 1700000001.5],
      [2, 1],
    ]);
    const scalars = readFields(first[2][1] as Buffer).map(([field, value]) => [field, readFields(value as Buffer)]);
    expect(scalars).toEqual([
      [
        1,
        [
          [1, Buffer.from('phi')],
          [2, Math.fround(-0.6931)],
        ],
      ],
      [
        1,
        [
          [1, Buffer.from('naïve/τ')],
          [2, Math.fround(1e-9)],
        ],
      ],
    ]);
    expect(second[1]).toEqual([2, 2 ** 40]);
    expect(readFields(readFields(second[2][1] as Buffer)[0][1] as Buffer)[1]).toEqual([2, NaN]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
