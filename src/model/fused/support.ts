/** What the fused engine needs of the runtime; where that is missing, what takes its place is logged once. */
import { simdSupported } from '../../tensor/kernels/wasm/kernels';
import { familyOf, type ModelConfig } from '../families';
import type { Layers } from '../families/layers';

const logged = new Set<string>();

function supported(isThere: boolean, otherwise: string): boolean {
  if (!isThere && !logged.has(otherwise)) console.warn(otherwise);
  if (!isThere) logged.add(otherwise);
  return isThere;
}

/** Whether the kernels run here. */
export const fusedSupported = (): boolean =>
  supported(
    simdSupported(),
    'WebAssembly SIMD is missing: the tape engine takes the place of the fused one, several times slower',
  );

/** Whether threads can share memory. */
export const threadsSupported = (): boolean =>
  supported(typeof SharedArrayBuffer === 'function', 'SharedArrayBuffer is missing: the fused engine computes in one thread');

/** The layers of a model. @throws Error for a family whose layers the fused engine does not have */
export function layersOf(config: ModelConfig): Layers {
  const { fused, title } = familyOf(config);
  if (!fused) throw new Error(`the fused engine has no layers for a ${title}; take the engine "tape" (or "auto")`);
  return fused(config);
}
