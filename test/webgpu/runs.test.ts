/** Whole runs on a GPU: one that is killed goes on with the same bits; one whose GPU is lost stops with the cause and goes on anywhere. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { sixtySeven } from '../../src/experiments/sixtySeven';
import { newRun, record } from '../../src/runs/record';
import { readMetrics } from '../../src/runs/runFolder';
import { latestCheckpoint } from '../../src/runs/savedState';
import { startBackend } from '../../src/tensor/backend';
import { build, dpg } from '../cli/dpg';
import { saveTinyModels, TINY_CONFIG } from '../support/tinyModels';

let missing: string | undefined;
const place = fs.mkdtempSync(path.join(os.tmpdir(), 'dpg-webgpu-'));
let folders: Awaited<ReturnType<typeof saveTinyModels>>;
beforeAll(async () => {
  vi.stubEnv('DPG_BACKEND', 'webgpu');
  missing = await startBackend().then(
    () => undefined,
    (error: Error) => error.message,
  );
  if (missing) return console.log(`skipped: ${missing}`);
  build();
  folders = await saveTinyModels(place);
});
afterAll(() => fs.rmSync(place, { recursive: true }));
beforeEach(({ skip }) => {
  if (missing) skip(missing);
});

const STEPS = 10;
const at = (name: string): string => path.join(place, name);
const rows = (name: string) => readMetrics(at(name)).map((row) => ({ ...row, seconds: 0 }));

test(
  'ten GRPO steps, killed and resumed, are those of a run that was left alone, bit for bit',
  { timeout: 900_000 },
  async () => {
    const keys = Object.entries({ ...TINY_CONFIG, steps: STEPS, innerSteps: 2, klCoef: 0.1 });
    const models = ['--generator', folders.generator, '--target', folders.target, '--checkpoint-steps', '2'];
    const train = (name: string) => {
      const flags = keys.flatMap(([key, value]) => [`--${key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`, String(value)]);
      return dpg('train', 'sixty-seven', ...flags, ...models, '--out', at(name));
    };
    const whole = train('whole');
    expect(await whole.exit, whole.stderr()).toBe(0);
    const killed = train('killed');
    await killed.prints(`step 5/${STEPS}`);
    killed.process.kill('SIGKILL');
    await killed.exit;
    expect(rows('killed').length).toBeLessThan(STEPS);
    const again = dpg('train', '--resume', at('killed'));
    expect(await again.exit, again.stderr()).toBe(0);
    expect(rows('whole')).toHaveLength(STEPS);
    expect(new Set(rows('whole').map(({ phi }) => phi)).size).toBe(STEPS);
    expect(rows('killed')).toEqual(rows('whole'));
    const states = ['killed', 'whole'].map((name) => latestCheckpoint(path.join(at(name), 'checkpoints')).state!);
    expect(states[0].trees).toEqual(states[1].trees);
  },
);

test(
  'a GPU that is lost ends the run with the cause; its last checkpoint goes on where there is none',
  { timeout: 900_000 },
  async () => {
    const experiment = await sixtySeven({ ...TINY_CONFIG, steps: STEPS, klCoef: 0.1 }, folders);
    expect(experiment.generator.model.engine).toMatch(/^fused on /);
    const run = newRun(experiment, at('lost'), folders);
    const { device } = tf.backend() as unknown as { device: { destroy(): void } };
    const train = async (): Promise<void> => {
      for await (const { row } of record(experiment, run, { checkpointSteps: 1 })) if (row.step === 4) device.destroy();
    };
    await expect(train()).rejects.toThrow(/GPU.*lost/);
    run.folder.close();
    const { state, ignored } = latestCheckpoint(path.join(at('lost'), 'checkpoints'));
    expect([state!.step, ignored]).toEqual([4, []]);
    vi.stubEnv('DPG_BACKEND', 'wasm');
    const again = dpg('train', '--resume', at('lost'));
    expect(await again.exit, again.stderr()).toBe(0);
    expect(rows('lost').map(({ step }) => step)).toEqual(Array.from({ length: STEPS }, (_, i) => i + 1));
  },
);
