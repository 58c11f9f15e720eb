/** The choice of the backend, made anew in every test. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

async function start(wanted?: string) {
  vi.stubEnv('DPG_BACKEND', wanted);
  return import('../../src/tensor/backend.js');
}

beforeEach(() => {
  vi.resetModules();
});
afterEach(() => {
  vi.unstubAllEnvs();
});

describe('the backend', () => {
  it.each(['cpu', 'wasm'])('is the one that DPG_BACKEND names: %s', async (name) => {
    const { startBackend, describeBackend } = await start(name);
    const choice = await startBackend();
    expect(choice).toEqual({ name, skipped: {} });
    const tf = await import('@tensorflow/tfjs-core');
    expect(tf.getBackend()).toBe(name);
    expect(tf.tidy(() => [...tf.add([1, 2], 1).dataSync()])).toEqual([2, 3]);
    expect(describeBackend(choice)).toBe(`tensors: ${name}`);
    expect(await startBackend()).toBe(choice);
  });

  it('is the best that starts, with the reason why no better one was taken', async () => {
    const { startBackend, describeBackend, BACKENDS } = await start();
    const choice = await startBackend();
    expect(Object.keys(choice.skipped)).toEqual(BACKENDS.slice(0, (BACKENDS as readonly string[]).indexOf(choice.name)));
    expect(choice.name).not.toBe('cpu'); // wasm starts everywhere
    for (const reason of Object.values(choice.skipped)) {
      expect(reason.length).toBeGreaterThan(5);
      expect(reason).not.toMatch(/\n|\/home|\/root|\/work|node_modules/);
      expect(describeBackend(choice)).toContain(reason);
    }
  });

  it('is another one where there is an objection, and the choice says so', async () => {
    const { startBackend } = await start();
    const { name, skipped } = await startBackend({ objection: (each) => (each === 'cpu' ? undefined : `${each} is too small`) });
    expect([name, skipped.wasm]).toEqual(['cpu', 'wasm is too small']);
  });

  it('is webgpu where a model is large and a real GPU is there; else the choice says why it is not', async () => {
    const { startBackend, GPU_FROM } = await start();
    const { name, skipped } = await startBackend({ parameters: GPU_FROM });
    expect(skipped.webgpu ?? name).toMatch(/^(webgpu$|package not installed|no GPU is visible|.+ plays a GPU)/);
  });

  it('is not webgpu where all models are small', async () => {
    const { startBackend, GPU_FROM } = await start();
    const { name, skipped } = await startBackend({ parameters: GPU_FROM - 1 });
    expect([name, ...Object.keys(skipped)]).not.toContain('webgpu');
  });

  it('webgpu takes a GPU of any kind when it is named, and says why it cannot', async () => {
    const { startBackend } = await start('webgpu');
    const outcome = await startBackend().catch((error: unknown) => (error as Error).message);
    if (typeof outcome === 'string')
      expect(outcome).toMatch(/^DPG_BACKEND=webgpu cannot be used: (package|no GPU|the GPU|the package) /);
    else expect(outcome.name).toBe('webgpu');
  });

  it.each(['webgl', '', 'CPU'])('cannot be "%s"', async (wanted) => {
    const { startBackend } = await start(wanted);
    await expect(startBackend()).rejects.toThrow(
      `DPG_BACKEND must be one of tfjs-node-gpu, tfjs-node, wasm, cpu, webgpu (got "${wanted}")`,
    );
  });

  it('that was asked for and does not start is an error, not another backend', async () => {
    const { startBackend } = await start('tfjs-node-gpu');
    const outcome = await startBackend().catch((error: unknown) => (error as Error).message);
    if (typeof outcome === 'string') expect(outcome).toMatch(/^DPG_BACKEND=tfjs-node-gpu cannot be used: .+/);
    else expect(outcome.name).toBe('tfjs-node-gpu');
  });
});
