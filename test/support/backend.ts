/** Backends inside one test process. */
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';

/** Switches to plain tfjs `cpu` or `wasm`, without the project's own kernels. */
export async function useBackend(name: string): Promise<void> {
  tf.enableProdMode(); // no banner
  setWasmPaths(path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + path.sep);
  if (!(await tf.setBackend(name))) throw new Error(`backend ${name} does not start`);
  await tf.ready();
}
