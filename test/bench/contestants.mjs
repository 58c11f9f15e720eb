// Contestants of the benchmark: processes that read a command a line and answer each with a line of JSON.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));

function contestant(name, folder, program, script, ...own) {
  const results = path.join(folder, name.replace(/\W+/g, '-'));
  mkdirSync(results);
  const child = spawn(program, [path.join(here, script), folder, results, ...own], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.on('error', () => undefined); // its end is noticed where its answer is awaited
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    name,
    async ask(command) {
      child.stdin.write(`${command}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error(`${name} ended during ${command} (${child.signalCode ?? child.exitCode})`);
      return JSON.parse(value);
    },
    result: (kind) => new Float32Array(new Uint8Array(readFileSync(path.join(results, `${kind}.f32`))).buffer),
    close: () => child.stdin.end(),
  };
}

const succeeds = (program, ...args) => spawnSync(program, args, { stdio: 'ignore' }).status === 0;

/** The GPU that WebGPU finds, if it finds one that the CPU does not only play. */
export function gpuHere(alsoSoftware) {
  const script = `
    process.env.DPG_BACKEND = 'webgpu';
    const { startBackend } = require(${JSON.stringify(path.join(here, '../../dist/tensor/backend.js'))});
    const { runningGpu } = require(${JSON.stringify(path.join(here, '../../dist/tensor/webgpu.js'))});
    startBackend().then(() => process.exit(runningGpu().software && !${alsoSoftware} ? 1 : 0), () => process.exit(1));`;
  return succeeds(process.execPath, '-e', script);
}

/** The first of the programs that has a Python package, for which `check` holds. */
export const pythonWith = (programs, check) => programs.find((python) => succeeds(python, '-c', check));

/** Who takes part on CPUs. */
export function onCpus(folder, { large, cores, torch, jax }) {
  const threads = large ? [cores] : [1, 2];
  const workers = (n) => (n === 1 ? '1 worker' : `${n} workers`);
  return [
    ...threads.map((n) => contestant(`fused, ${workers(n)}`, folder, process.execPath, 'engine_peer.mjs', 'fused', String(n))),
    ...(large ? [] : [contestant('tape', folder, process.execPath, 'engine_peer.mjs', 'tape', '1')]),
    ...(torch ? threads.map((n) => contestant(`PyTorch, threads: ${n}`, folder, torch, 'torch_peer.py', 'cpu', String(n))) : []),
    ...(jax ? [contestant('JAX, all cores', folder, jax, 'jax_peer.py', 'cpu')] : []),
  ];
}

/** Who takes part on the GPU. */
export const onGpu = (folder, { torch, jax }) => [
  contestant('fused on the GPU', folder, process.execPath, 'engine_peer.mjs', 'gpu', '1'),
  ...(torch ? [contestant('PyTorch, CUDA', folder, torch, 'torch_peer.py', 'cuda', '1')] : []),
  ...(jax ? [contestant('JAX, GPU', folder, jax, 'jax_peer.py', 'gpu')] : []),
];
