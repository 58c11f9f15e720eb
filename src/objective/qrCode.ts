/**
 * QR codes as patterns, and two independent readers for what the weights then show (paper §4, "QR code").
 */
import { readFileSync } from 'node:fs';
import jsQR from 'jsqr';
import { create } from 'qrcode';
import type { Pattern } from './pattern';

/** The paper's text: its own arXiv number. */
export const PAYLOAD = '2604.08423';

/** What a version 1 code with error correction H holds. */
export const QR_TEXT = /^[0-9A-Z $%*+\-./:]{1,10}$/;

/**
 * A version 1 code (21 × 21) with error correction H; 1 is a black module.
 * @throws RangeError if the text is no alphanumeric text of at most 10 characters, which is what such a code holds
 */
export function qrPattern(payload: string = PAYLOAD): Pattern {
  if (!QR_TEXT.test(payload))
    throw new RangeError(`payload must be 1 to 10 characters of 0-9 A-Z space $ % * + - . / : (got ${JSON.stringify(payload)})`);
  const { modules } = create([{ data: payload, mode: 'alphanumeric' }], { errorCorrectionLevel: 'H', version: 1 });
  return Array.from({ length: modules.size }, (_, r) =>
    Array.from({ length: modules.size }, (_, c) => (modules.get(r, c) ? 1 : -1)),
  );
}

/** What the two readers make of an image; null: nothing could be read. (A type, not an interface: it is a record of texts to others.) */
export type QrReading = {
  readonly zxing: string | null;
  readonly jsqr: string | null;
};

const MODULE = 8; // pixels
const QUIET_ZONE = 4; // modules

/** The image as a reader's camera would see it: RGBA, black modules on white, with the quiet zone. */
function render(image: Pattern): { data: Uint8ClampedArray<ArrayBuffer>; width: number; height: number } {
  const side = (image.length + 2 * QUIET_ZONE) * MODULE;
  const data = new Uint8ClampedArray(side * side * 4).fill(255);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const module = image[Math.floor(y / MODULE) - QUIET_ZONE]?.[Math.floor(x / MODULE) - QUIET_ZONE];
      if (module > 0) data.fill(0, (y * side + x) * 4, (y * side + x) * 4 + 3);
    }
  return { data, width: side, height: side };
}

let zxing: Promise<typeof import('zxing-wasm/reader')> | undefined;

/** zxing-wasm, with its binary from the disk: by itself it would fetch it from the network. */
async function loadZxing(): Promise<typeof import('zxing-wasm/reader')> {
  const reader = await import('zxing-wasm/reader');
  const wasmBinary = new Uint8Array(readFileSync(require.resolve('zxing-wasm/reader/zxing_reader.wasm'))).buffer;
  await reader.prepareZXingModule({ overrides: { wasmBinary }, fireImmediately: true });
  return reader;
}

/**
 * Reads a code with zxing and with jsQR.
 * @param image - black where positive, [rows][columns], without quiet zone
 */
export async function readQrCode(image: Pattern): Promise<QrReading> {
  const { data, width, height } = render(image);
  const { readBarcodes } = await (zxing ??= loadZxing());
  const found = await readBarcodes({ data, width, height, colorSpace: 'srgb' } as ImageData, {
    formats: ['QRCode'],
    tryHarder: true,
  });
  return { zxing: found.find(({ isValid }) => isValid)?.text ?? null, jsqr: jsQR(data, width, height)?.data ?? null };
}
