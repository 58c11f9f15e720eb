/** A QR code as a camera should see it. */
import type { Pattern } from '../objective/pattern';
import type { Figure } from './figure';
import { imageStrip } from './images';

/** White modules around a code, without which readers do not find it (ISO/IEC 18004). */
const QUIET_ZONE = 4;

const quiet = (count: number): number[] => new Array<number>(count).fill(0);

/** 1 for black modules, 0 for white ones, with the quiet zone. */
function withQuietZone(code: Pattern): number[][] {
  const width = code[0].length + 2 * QUIET_ZONE;
  const border = Array.from({ length: QUIET_ZONE }, () => quiet(width));
  const rows = code.map((row) => [...quiet(QUIET_ZONE), ...row.map((x) => (x > 0 ? 1 : 0)), ...quiet(QUIET_ZONE)]);
  return [...border, ...rows, ...border];
}

/**
 * Codes side by side, with their quiet zones.
 * @param codes - black where positive, [rows][columns], by label
 */
export const codeImage = (codes: Readonly<Record<string, Pattern>>, title: string): Figure =>
  imageStrip({
    images: Object.entries(codes).map(([label, code]) => ({ z: withQuietZone(code), label })),
    title,
    caption: 'Black: the weight rose; white: it fell.',
    scale: 'ink',
  });
