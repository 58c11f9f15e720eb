// Compiles the AssemblyScript kernels to dist/tensor/kernels/wasm/kernels.{simd,relaxed}.wasm; the second uses relaxed-SIMD fused
// multiply-adds. What is newer than all its sources stays.
// Usage: node src/tensor/kernels/wasm/build.mjs
import { mkdir, open, readdir, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';

const here = path.dirname(fileURLToPath(import.meta.url));
const out = path.resolve(here, '../../../../dist/tensor/kernels/wasm');

/** Writes through a temporary name, so that a reader never sees half a file. */
async function writeAtomically(file, bytes) {
  const handle = await open(`${file}.${process.pid}`, 'w');
  await handle.writeFile(bytes);
  await handle.sync();
  await handle.close();
  await rename(`${file}.${process.pid}`, file);
}

/** When the newest of the sources was changed, ms; this file is one of them. */
async function sourcesChanged() {
  const sources = await readdir(path.join(here, 'assembly'), { recursive: true });
  const files = [fileURLToPath(import.meta.url), ...sources.map((name) => path.join(here, 'assembly', name))];
  return Math.max(...(await Promise.all(files.map(async (file) => (await stat(file)).mtimeMs))));
}

async function compile(name, features) {
  const written = await stat(path.join(out, name)).catch(() => undefined);
  if (written && written.mtimeMs > changed) return;
  const flags = '-O3 --runtime stub --importMemory --noAssert --use abort= --enable simd'.split(' ');
  const entry = path.join(here, 'assembly/index.ts');
  let binary;
  const { error, stderr } = await asc.main([entry, '--outFile', name, ...flags, ...features], {
    writeFile: (_file, contents) => (binary = contents),
  });
  if (error) throw new Error(`${name}: ${error.message}\n${stderr.toString()}`);
  await mkdir(out, { recursive: true });
  await writeAtomically(path.join(out, name), binary);
  console.log(`${name}: ${binary.length} bytes`);
}

const changed = await sourcesChanged();
await compile('kernels.simd.wasm', []);
await compile('kernels.relaxed.wasm', ['--enable', 'relaxed-simd']);
