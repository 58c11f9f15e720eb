/** The cells of a heatmap as a PNG with a palette: the part of a static figure that SVG has no good element for. */
import { crc32, deflateSync } from 'node:zlib';
import { colorAt } from './color';
import type { HeatmapTrace } from './figure';

const LEVELS = 255; // palette entries of the scale; entry 255 is for gaps
const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const GAP_COLOR = [221, 221, 226];
const MIN_SIDE = 256;

/** Every cell as a block of equal pixels, so that no viewer's smoothing can blur them; `size` may exceed the matrix. */
export function matrixPng({ z, zmin, zmax, colorscale }: HeatmapTrace, size: { rows: number; columns: number }): Buffer {
  const block = Math.max(1, Math.ceil(MIN_SIDE / Math.max(size.rows, size.columns)));
  const width = size.columns * block;
  const level = (value: number | null | undefined) =>
    value === null || value === undefined
      ? LEVELS
      : Math.round(Math.min(1, Math.max(0, (value - zmin) / (zmax - zmin))) * (LEVELS - 1));
  const scanlines = Array.from({ length: size.rows }, (_, row) => {
    const line = Buffer.alloc(1 + width); // a filter byte, then one palette index a pixel
    for (let column = 0; column < size.columns; column++)
      line.fill(level(z[row]?.[column]), 1 + column * block, 1 + (column + 1) * block);
    return Array<Buffer>(block).fill(line);
  });
  const palette = Array.from({ length: LEVELS }, (_, i) => colorAt(colorscale, i / (LEVELS - 1))).concat([
    GAP_COLOR as [number, number, number],
  ]);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(size.rows * block, 4);
  header.set([8, 3], 8); // 8 bits, palette
  const data = deflateSync(Buffer.concat(scanlines.flat()), { level: 9 });
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('PLTE', Buffer.from(palette.flat())),
    chunk('IDAT', data),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const result = Buffer.alloc(8 + body.length);
  result.writeUInt32BE(data.length, 0);
  result.set(body, 4);
  result.writeUInt32BE(crc32(body), 4 + body.length);
  return result;
}
