/** `dpg doctor`: what this machine has, what is missing, and what that costs. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { toPng } from '../notebook/saveFigure';
import { ALL_BACKENDS, type BackendName } from '../tensor/backend';
import type { GpuReport } from '../tensor/gpuReport';
import { relaxedSupported } from '../tensor/kernels/wasm/kernels';
import { kernelFolder } from './kernel';

export const summary = 'what this machine has, what is missing, and what that costs';
export const help = `dpg doctor [--json]

Checks Node, WebAssembly, the GPU and the tfjs backends, the notebook kernel and Jupyter, and what sums over several ranks.
Exit code: 0 everything needed is there (the rest may be missing), 1 something needed is not, 2 wrong usage.`;

/** One finding. */
interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** What was found, or why it does not work. */
  readonly detail: string;
  /** What is lost without it. */
  readonly cost: string;
  readonly needed: boolean;
}

/** Runs the command; see `help` for the exit code. */
export async function run(argv: string[]): Promise<number> {
  const { values } = parseArgs({ args: argv, options: { json: { type: 'boolean' } } });
  const backends = ALL_BACKENDS.map(backend);
  const gpu = backends.some(({ name, ok }) => ok && name === 'backend webgpu') ? [webGpu()] : [];
  const checks = [node(), ...machine(), ...webAssembly(), nvidia(), ...backends, ...gpu, ...notebooks(), ranks()];
  console.log(values.json ? JSON.stringify({ checks }, null, 2) : checks.map(describe).join('\n'));
  return checks.some(({ ok, needed }) => needed && !ok) ? 1 : 0;
}

function describe({ name, ok, detail, cost, needed }: Check): string {
  const mark = ok ? 'ok     ' : needed ? 'MISSING' : 'without';
  return `${mark}  ${name.padEnd(24)} ${detail}${ok ? '' : `\n${' '.repeat(34)}→ ${cost}`}`;
}

const needed = (name: string, ok: boolean, detail: string, cost: string): Check => ({ name, ok, detail, cost, needed: true });
const optional = (name: string, ok: boolean, detail: string, cost: string): Check => ({ name, ok, detail, cost, needed: false });

function node(): Check {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const recent = major > 20 || (major === 20 && minor >= 19);
  return needed('Node', recent, process.version, 'the project needs Node 20.19 or newer');
}

function machine(): Check[] {
  const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  const cores = os.availableParallelism();
  return [
    optional('CPU cores', cores > 1, String(cores), 'no parallel workers: training takes as long as one core needs'),
    optional('memory', os.totalmem() >= 4 * 2 ** 30, `${gib(os.freemem())} free of ${gib(os.totalmem())}`, 'batches may not fit'),
  ];
}

/** A module that only validates where SIMD is there: one function with `i8x16.popcnt` in it. */
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

function webAssembly(): Check[] {
  const simd = WebAssembly.validate(Uint8Array.from(SIMD));
  const [relaxed, shared] = [simd && relaxedSupported(), typeof SharedArrayBuffer === 'function'];
  const said = (found: boolean) => (found ? 'yes' : 'no');
  return [
    optional('WebAssembly SIMD', simd, said(simd), 'no fast kernels on the CPU'),
    optional('WebAssembly relaxed SIMD', relaxed, said(relaxed), 'kernels multiply and add in two instructions instead of one'),
    optional('SharedArrayBuffer', shared, said(shared), 'no parallel workers'),
  ];
}

/** The driver is what tfjs-node-gpu finds a GPU by. */
function nvidia(): Check {
  const { status, stdout } = spawnSync('nvidia-smi', ['-L'], { encoding: 'utf8', timeout: 20_000 });
  const found = status === 0 && stdout.trim() !== '';
  const detail = found ? stdout.trim().split('\n')[0] : 'nvidia-smi finds none';
  return optional('NVIDIA GPU', found, detail, 'tfjs-node-gpu has nothing to run on');
}

const BACKEND_COSTS: Readonly<Record<BackendName, string>> = {
  'tfjs-node-gpu':
    'no GPU by CUDA, larger models take long; needs Linux or Windows, CUDA 11.2, cuDNN 8.1 and: ' +
    'npm install @tensorflow/tfjs-node-gpu@4.22.0',
  'tfjs-node': 'no native TensorFlow on the CPU; WebAssembly takes its place',
  wasm: 'without WebAssembly, training on the CPU is out of reach',
  cpu: 'not even plain JavaScript tensors work: the installation is broken',
  webgpu:
    'no GPU by WebGPU (taken by itself from 20 M parameters on); needs on Linux Vulkan (libvulkan1 and what the driver loads), and: ' +
    'npm install --no-save webgpu@0.6.2 @tensorflow/tfjs-backend-webgpu@4.22.0; DPG_BACKEND=webgpu takes it for models of any size',
};

/**
 * Awaits the function of a module in a process of its own, which prints what it resolves to: a native library that crashes must not take
 * the doctor along.
 */
function elsewhere(module: string, call: string, env: NodeJS.ProcessEnv = process.env) {
  const script = `require(process.argv[1]).${call}().then((result) => process.stdout.write(JSON.stringify(result), () => process.exit(0)),
    (error) => { console.error(error.message); process.exit(1); })`;
  return spawnSync(process.execPath, ['-e', script, require.resolve(module)], { env, encoding: 'utf8', timeout: 60_000 });
}

function backend(name: BackendName): Check {
  const { status, signal, stderr } = elsewhere('../tensor/backend', 'startBackend', { ...process.env, DPG_BACKEND: name });
  const lastLine = stderr
    .trim()
    .split('\n')
    .at(-1)
    ?.replace(/^DPG_BACKEND=\S+ cannot be used: /, '');
  const detail = status === 0 ? 'starts' : lastLine || `ended with ${signal ?? status}`;
  const check = name === 'wasm' || name === 'cpu' ? needed : optional;
  return check(`backend ${name}`, status === 0, detail, BACKEND_COSTS[name]);
}

/** What the GPU is and does, measured in about ten seconds. */
function webGpu(): Check {
  const { status, signal, stdout, stderr } = elsewhere('../tensor/gpuReport', 'gpuReport');
  const failed = () => `its measurement ended with ${signal ?? stderr.trim().split('\n').at(-1)}`;
  return optional('GPU by WebGPU', status === 0, status === 0 ? described(JSON.parse(stdout) as GpuReport) : failed(), 'no GPU');
}

function described({ name, software, largestBuffer, workgroupMemory, features, gflops, microsecondsPerCall }: GpuReport): string {
  const played = software ? ' (played by the CPU: for tests alone)' : '';
  const limits = `buffers up to ${(largestBuffer / 2 ** 30).toFixed(1)} GiB, ${workgroupMemory / 1024} KiB a workgroup`;
  const speed = `${Number(gflops.toPrecision(2))} GFLOP/s in products, ${microsecondsPerCall.toFixed(0)} µs a call`;
  return `${name}${played}; ${limits}; ${features.join(', ') || 'no features'}; ${speed}`;
}

function notebooks(): Check[] {
  const zeromq = loadFailure(() => {
    const tslab = createRequire(__filename).resolve('tslab/package.json');
    createRequire(tslab)('zeromq');
  });
  const jupyter = ['jupyter-lab', 'jupyter-notebook'].filter(onPath);
  const registered = fs.existsSync(path.join(kernelFolder(), 'kernel.json'));
  const png = toPng('<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>') !== null;
  return [
    needed('tslab kernel', !zeromq, zeromq ?? 'loads', 'no notebooks: reinstall with npm ci'),
    optional(
      'kernel registration',
      registered,
      registered ? kernelFolder() : 'none',
      'Jupyter finds the kernel after: dpg kernel install',
    ),
    optional(
      'Jupyter',
      jupyter.length > 0,
      jupyter.join(', ') || 'not found',
      'notebooks still run with dpg notebook, and in VS Code',
    ),
    optional('PNG figures', png, png ? '@resvg/resvg-js' : 'no binary for this platform', 'figures are written as SVG only'),
  ];
}

/** What sums over the ranks of one run: PyTorch, with NCCL where every rank has a GPU, else gloo. */
function ranks(): Check {
  const script =
    'import torch, torch.distributed as d; print(torch.__version__, d.is_nccl_available() and torch.cuda.is_available())';
  const { error, status, stdout, stderr } = spawnSync('python3', ['-c', script], { encoding: 'utf8', timeout: 60_000 });
  const [version, nccl] = stdout?.trim().split(' ') ?? [];
  const reason = error ? 'there is no python3' : (stderr.trim().split('\n').at(-1) ?? '');
  const detail = status === 0 ? `torch ${version}, ${nccl === 'True' ? 'NCCL' : 'gloo'}` : reason || 'python3 cannot load torch';
  return optional('several ranks', status === 0, detail, 'no run on several machines: pip install torch');
}

/** Why `load` fails, in one line; undefined when it does not. */
function loadFailure(load: () => void): string | undefined {
  try {
    load();
    return undefined;
  } catch (error) {
    return String(error instanceof Error ? error.message : error).split('\n')[0];
  }
}

function onPath(program: string): boolean {
  const folders = (process.env.PATH ?? '').split(path.delimiter);
  const names = process.platform === 'win32' ? [`${program}.exe`, `${program}.cmd`] : [program];
  return folders.some((folder) => names.some((file) => fs.existsSync(path.join(folder, file))));
}
