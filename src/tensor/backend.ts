/**
 * The tfjs backend: best first (tfjs-node-gpu, tfjs-node, wasm, cpu), or the one named by `DPG_BACKEND`; before all others `webgpu`, where
 * a model is large enough for it and the GPU is a real one.
 */
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { installCpuKernels } from './kernels/cpu/cpuBackend';
import { installWasmKernels } from './kernels/wasm/wasmBackend';
import { installWebGpuKernels } from './kernels/webgpu/webgpuBackend';
import { registerSumGradient } from './ops';
import { startWebGpu } from './webgpu';

/** Backends that are tried, best first. */
export const BACKENDS = ['tfjs-node-gpu', 'tfjs-node', 'wasm', 'cpu'] as const;
/** Backends by their name in `DPG_BACKEND`. */
export const ALL_BACKENDS = [...BACKENDS, 'webgpu'] as const;
export type BackendName = (typeof ALL_BACKENDS)[number];

/** What was chosen and why nothing better was. */
export interface BackendChoice {
  readonly name: BackendName;
  /** Reason why each better backend was not taken. */
  readonly skipped: Readonly<Partial<Record<BackendName, string>>>;
}

/**
 * npm packages of the native backends; plain tfjs-node comes under an alias because danfojs-node's own request for it is met by
 * `tfjs-node/`.
 */
const NATIVE_PACKAGES = { 'tfjs-node-gpu': '@tensorflow/tfjs-node-gpu', 'tfjs-node': 'tfjs-node-native' } as const;

/** tfjs-node 4.22 calls `util.isNullOrUndefined` and friends, which Node 23 removed. */
function polyfillNodeUtil(): void {
  const util = require('node:util') as Record<string, unknown>;
  util.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  util.isArray ??= Array.isArray;
}

/**
 * @throws Error if the package is absent, or its install step could not fetch libtensorflow: loading it then would register kernels that
 * cannot run
 */
function requireBinding(name: string): void {
  const library = path.join(path.dirname(require.resolve(`${name}/package.json`)), 'lib');
  const folders = existsSync(library) ? readdirSync(library) : [];
  if (!folders.some((folder) => existsSync(path.join(library, folder, 'tfjs_binding.node'))))
    throw new Error('its native library was not downloaded at install');
}

/** Whether the running backend computes on a GPU, by its own word: both native packages call themselves "tensorflow". */
export function onGpu(): boolean {
  if (tf.getBackend() !== 'tensorflow') return tf.getBackend() === 'webgpu';
  return (tf.backend() as unknown as { isUsingGpuDevice?: boolean }).isUsingGpuDevice === true;
}

async function startNative(name: keyof typeof NATIVE_PACKAGES): Promise<void> {
  requireBinding(NATIVE_PACKAGES[name]);
  polyfillNodeUtil();
  require(NATIVE_PACKAGES[name]); // brings the umbrella package of tfjs, which registers its gradients
  registerSumGradient();
  if (!(await tf.setBackend('tensorflow'))) throw new Error('the package loads, but its backend does not start');
  if (name === 'tfjs-node-gpu' && !onGpu()) throw new Error('no CUDA device is visible');
}

/**
 * Emscripten's listeners end the process at any rejected promise, and print the backend's whole source; Node's own way, or tslab's, does.
 */
async function withoutListeners<T>(start: () => Promise<T>): Promise<T> {
  const events = ['uncaughtException', 'unhandledRejection'];
  const before = events.map((event) => process.listeners(event as 'exit'));
  const result = await start();
  events.forEach((event, i) => {
    for (const listener of process.listeners(event as 'exit')) if (!before[i].includes(listener)) process.off(event, listener);
  });
  return result;
}

async function startWasm(): Promise<void> {
  const { setWasmPaths } = require('@tensorflow/tfjs-backend-wasm') as typeof import('@tensorflow/tfjs-backend-wasm');
  setWasmPaths(path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + path.sep);
  if (!(await withoutListeners(() => tf.setBackend('wasm')))) throw new Error('WebAssembly did not start');
  installWasmKernels();
}

async function start(name: BackendName): Promise<void> {
  if (name === 'cpu') await tf.setBackend('cpu').then(installCpuKernels);
  else if (name === 'wasm') await startWasm();
  else if (name === 'webgpu') await startWebGpu({ software: process.env.DPG_BACKEND === name }).then(installWebGpuKernels);
  else await startNative(name);
  tf.enableProdMode(); // no banner, no checks of every intermediate value
  await tf.ready();
}

/** First line of an error, without folder names of this machine. */
function reason(error: unknown): string {
  const line = String(error instanceof Error ? error.message : error).split('\n')[0];
  return /Cannot find module/.test(line) ? 'package not installed' : line;
}

/**
 * Parameters from which a GPU is taken unasked. Measured for the tape: a step of "67" takes it on an H100 5 to 7 s and eight cores 0.2 s;
 * one of GPT-2's shape (163 M) 25 s and more than 120 s. Its time is that of its kernel calls at any size, the cores' grows with the
 * model: they meet between 20 and 40 M. The fused engine needs a tenth of those calls and gains earlier; where, has not been measured.
 */
export const GPU_FROM = 20e6;

/** What is to come, as far as it is known. */
export interface BackendNeeds {
  /** Of the largest model. */
  readonly parameters?: number;
  /** Why a backend will not do, if it will not; asked before it is tried. */
  readonly objection?: (name: BackendName) => string | undefined;
}

async function chooseBackend({ parameters = 0, objection = () => undefined }: BackendNeeds): Promise<BackendChoice> {
  const wanted = process.env.DPG_BACKEND;
  if (wanted !== undefined && !(ALL_BACKENDS as readonly string[]).includes(wanted))
    throw new Error(`DPG_BACKEND must be one of ${ALL_BACKENDS.join(', ')} (got "${wanted}")`);
  const skipped: Partial<Record<BackendName, string>> = {};
  const unasked: readonly BackendName[] = parameters < GPU_FROM ? BACKENDS : ['webgpu', ...BACKENDS];
  for (const name of wanted ? [wanted as BackendName] : unasked) {
    try {
      const why = objection(name);
      if (why) throw new Error(why);
      await start(name);
      return { name, skipped };
    } catch (error) {
      if (wanted) throw new Error(`DPG_BACKEND=${wanted} cannot be used: ${reason(error)}`);
      skipped[name] = reason(error);
    }
  }
  throw new Error(`no tfjs backend starts: ${JSON.stringify(skipped)}`);
}

let chosen: Promise<BackendChoice> | undefined;

/**
 * Starts the backend once per process; later calls return the same choice.
 * @throws Error if `DPG_BACKEND` names no backend or one that cannot start, with the cause
 */
export function startBackend(needs: BackendNeeds = {}): Promise<BackendChoice> {
  return (chosen ??= chooseBackend(needs));
}

/** One line for people: which backend, and why not a better one. */
export function describeBackend({ name, skipped }: BackendChoice): string {
  const reasons = Object.entries(skipped).map(([better, why]) => `${better}: ${why}`);
  return `tensors: ${name}${reasons.length ? ` (not taken: ${reasons.join('; ')})` : ''}`;
}
