/** A picture as a PDF of one page (ISO 32000-1, 7.3 to 7.5): a lossless image, since fonts that have Φ and ‖ are not every reader's. */
import { deflateSync } from 'node:zlib';

/** Points (1/72 inch) for one CSS pixel (1/96 inch). */
const POINTS = 0.75;

/** Red, green and blue of opaque pixels, [height × width × 4] with alpha. */
function withoutAlpha(pixels: Uint8Array): Buffer {
  const colors = Buffer.alloc((pixels.length / 4) * 3);
  for (let i = 0, k = 0; i < pixels.length; i += 4)
    for (let channel = 0; channel < 3; channel++) colors[k++] = pixels[i + channel];
  return colors;
}

/**
 * The page, as large as the picture.
 * @param scale - pixels for one CSS pixel
 */
export function toPdf({ pixels, width, height }: { pixels: Uint8Array; width: number; height: number }, scale: number): Buffer {
  const [pageWidth, pageHeight] = [width, height].map((side) => ((side / scale) * POINTS).toFixed(2));
  const drawing = Buffer.from(`${pageWidth} 0 0 ${pageHeight} 0 0 cm /Picture Do`);
  const image =
    `/Type /XObject /Subtype /Image /Width ${width} /Height ${height} /ColorSpace /DeviceRGB ` +
    `/BitsPerComponent 8 /Filter /FlateDecode`;
  const objects: (readonly [string, Buffer?])[] = [
    ['/Type /Catalog /Pages 2 0 R'],
    ['/Type /Pages /Kids [3 0 R] /Count 1'],
    [
      `/Type /Page /Parent 2 0 R /MediaBox [0 0 ${pageWidth} ${pageHeight}] /Contents 4 0 R /Resources << /XObject << /Picture 5 0 R >> >>`,
    ],
    ['', drawing],
    [image, deflateSync(withoutAlpha(pixels), { level: 9 })],
  ];
  const parts: Uint8Array[] = [Buffer.from('%PDF-1.4\n')];
  const size = (): number => parts.reduce((sum, part) => sum + part.length, 0);
  const offsets = objects.map(([entries, stream], i) => {
    const offset = size();
    const length = stream ? ` /Length ${stream.length}` : '';
    parts.push(Buffer.from(`${i + 1} 0 obj\n<< ${entries}${length} >>\n`));
    if (stream) parts.push(Buffer.from('stream\n'), stream, Buffer.from('\nendstream\n'));
    parts.push(Buffer.from('endobj\n'));
    return offset;
  });
  const table = offsets.map((offset) => `${String(offset).padStart(10, '0')} 00000 n \n`).join('');
  const count = objects.length + 1;
  const trailer = `trailer\n<< /Size ${count} /Root 1 0 R >>\nstartxref\n${size()}\n%%EOF\n`;
  return Buffer.concat([...parts, Buffer.from(`xref\n0 ${count}\n0000000000 65535 f \n${table}${trailer}`)]);
}
