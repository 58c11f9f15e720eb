/** What the fused engine needs of the runtime; where that is missing, what takes its place is logged once. */
import { simdSupported } from '../../tensor/kernels/wasm/kernels';

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
