/** The last norm, on the rows that count; `loss` goes from the normalized rows y to their cotangents. */
import type { Arena, Pointer } from '../../tensor/kernels/kernels';
import { part, type Dual } from './dual';
import type { Affine } from './layout';
import {
  normActivations,
  normBackward,
  normForward,
  normTangent,
  normTangentBackward,
  type NormActivations,
  type NormSizes,
} from './norm';

export interface HeadActivations {
  readonly norm: NormActivations;
  /** Cotangent of y, [rows, width]. */
  readonly dy: Pointer;
}

export const headActivations = (a: Arena, rows: number, width: number): HeadActivations => ({
  norm: normActivations(a, rows, width),
  dy: a.floats(rows * width),
});

export function headForward(s: NormSizes, p: Affine, a: HeadActivations, h: Pointer, loss: (y: Pointer) => void): void {
  normForward(s, p, h, a.norm);
  loss(a.norm.y);
}

/** A norm's gain, and where its gradient is added. */
interface Trained<P> {
  readonly p: P;
  readonly g: Affine;
}

/** dh ← the cotangent of h; adds to the gradient `g`. */
export function headBackward(
  s: NormSizes,
  { p, g }: Trained<Affine>,
  a: HeadActivations,
  h: Pointer,
  dh: Pointer,
  loss: (y: Pointer, dy: Pointer) => void,
): void {
  headForward(s, p, a, h, (y) => loss(y, a.dy));
  s.k.zero(s.rows * s.width, dh);
  normBackward(s, p, g, a.norm, a.dy, dh);
}

export function headTangent(
  s: NormSizes,
  p: Dual<Affine>,
  a: Dual<HeadActivations>,
  h: Dual<Pointer>,
  loss: (y: Dual<Pointer>) => void,
): void {
  const norm = part(a, 'norm');
  normTangent(s, p, h, norm);
  loss(part(norm, 'y'));
}

/** {@link headBackward} on dual numbers; adds to the tangent gradient `g`. */
export function headTangentBackward(
  s: NormSizes,
  { p, g }: Trained<Dual<Affine>>,
  a: Dual<HeadActivations>,
  h: Dual<Pointer>,
  dh: Dual<Pointer>,
  loss: (y: Dual<Pointer>, dy: Dual<Pointer>) => void,
): void {
  const dy = part(a, 'dy');
  headTangent(s, p, a, h, (y) => loss(y, dy));
  s.k.zero(s.rows * s.width, dh.value);
  s.k.zero(s.rows * s.width, dh.dot);
  normTangentBackward(s, p, g, part(a, 'norm'), dy, dh);
}
