import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { build, dpg, workFolder } from './dpg';

let folder: string;
beforeAll(() => {
  build();
  folder = workFolder();
}, 120_000);
afterAll(() => fs.rmSync(folder, { recursive: true }));

/** The `python3` of this process and its children: a script of the shell's. */
function standInPython(script: string): void {
  fs.writeFileSync(path.join(folder, 'python3'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  vi.stubEnv('PATH', `${folder}${path.delimiter}${process.env.PATH}`);
}

interface Report {
  readonly checks: {
    readonly name: string;
    readonly ok: boolean;
    readonly needed: boolean;
    readonly detail: string;
    readonly cost: string;
  }[];
}

test('doctor --json finds a working backend and the kernel, and says what everything missing costs', async () => {
  standInPython('echo 2.13.0+cpu False');
  const run = dpg('doctor', '--json');
  expect(await run.exit).toBe(0);
  const { checks } = JSON.parse(run.stdout()) as Report;
  const found = Object.fromEntries(checks.map(({ name, ok }) => [name, ok]));
  expect(found).toMatchObject({
    Node: true,
    'backend wasm': true,
    'backend cpu': true,
    'tslab kernel': true,
    'WebAssembly SIMD': true,
  });
  const gpu = checks.find(({ name }) => name === 'backend tfjs-node-gpu');
  expect(gpu?.ok ? 'starts' : gpu?.detail).toMatch(/starts|not |no /); // the reason, where there is no GPU
  const webgpu = checks.find(({ name }) => name === 'backend webgpu');
  expect(
    webgpu?.ok || (webgpu && /not |no |only /.test(webgpu.detail) && webgpu.cost.includes('npm install --no-save webgpu')),
  ).toBe(true);
  expect(checks.some(({ name }) => name === 'NVIDIA GPU')).toBe(true);
  expect(checks.find(({ name }) => name === 'several ranks')).toMatchObject({ ok: true, detail: 'torch 2.13.0+cpu, gloo' });
  for (const { detail, cost } of checks) expect(detail && cost).not.toBe('');
}, 60_000);
