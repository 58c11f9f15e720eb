import { beforeAll, expect, test } from 'vitest';
import { build, dpg } from './dpg';

beforeAll(build, 120_000);

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
  for (const { detail, cost } of checks) expect(detail && cost).not.toBe('');
}, 60_000);
