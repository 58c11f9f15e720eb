import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { latestCheckpoint, saveState, type SavedState } from '../../src/runs/savedState';
import { randomStream } from '../../src/tensor/random';
import { childEnvironment, compile } from '../fixtures/compile';
import { tryTmpfs } from '../fixtures/tmpfs';

let place: string;
beforeEach(() => (place = fs.mkdtempSync(join(tmpdir(), 'state-'))));
afterEach(() => fs.rmSync(place, { recursive: true, force: true }));

const stateAt = (step: number, size = 6): SavedState => ({
  step,
  trees: {
    generator: {
      'lm_head.weight': { shape: [2, size / 2], data: new Float32Array(size).fill(step + 0.1) },
      'a/b': { shape: [], data: Float32Array.of(-0) },
    },
    empty: {},
  },
  values: { random: [1, -2], nested: { phi: 0.1 + 0.2 }, nothing: null },
  files: { 'tokenizer.json': `{"step": ${step}, "λ": 1}\n` },
});

describe('saveState and latestCheckpoint', () => {
  it('give back the same trees and values, and keep the two newest', async () => {
    for (const step of [5, 9, 10, 1000000]) await saveState(place, stateAt(step));
    expect(fs.readdirSync(place).sort()).toEqual(['step-000010', 'step-1000000']);
    expect(latestCheckpoint(place)).toEqual({ state: stateAt(1000000), ignored: [] });
    expect(latestCheckpoint(join(place, 'none'))).toEqual({ state: null, ignored: [] });
  });

  it.each([
    [
      'state.safetensors cut',
      (path: string) => fs.truncateSync(join(path, 'state.safetensors'), 100),
      /safetensors has 100 bytes instead of/,
    ],
    ['state.json missing', (path: string) => fs.rmSync(join(path, 'state.json')), /state\.json is missing/],
    ['marker missing', (path: string) => fs.rmSync(join(path, '.complete.json')), /incomplete/],
    ['marker cut', (path: string) => fs.truncateSync(join(path, '.complete.json'), 10), /incomplete/],
    [
      'one bit flipped',
      (path: string) => {
        const file = join(path, 'state.safetensors');
        const bytes = fs.readFileSync(file);
        bytes[bytes.length - 3] ^= 1;
        fs.writeFileSync(file, bytes);
      },
      /state\.safetensors is damaged/,
    ],
  ])('ignore a damaged checkpoint and say why: %s', async (_, damage, reason) => {
    await saveState(place, stateAt(1));
    await saveState(place, stateAt(2));
    damage(join(place, 'step-000002'));
    const { state, ignored } = latestCheckpoint(place);
    expect(state).toEqual(stateAt(1));
    expect(ignored).toEqual([{ path: join(place, 'step-000002'), reason: expect.stringMatching(reason) as string }]);
  });

  it('refuse what would not come back the same', async () => {
    await expect(saveState(place, { ...stateAt(1), values: { best: -Infinity } })).rejects.toThrow(
      /cannot hold -Infinity \(value "best"\)/,
    );
    await expect(saveState(place, { ...stateAt(1), trees: { 'a/b': {} } })).rejects.toThrow(/"a\/b"/);
    await expect(saveState(place, stateAt(-1))).rejects.toThrow(/-1/);
    expect(fs.readdirSync(place)).toEqual([]);
  });

  it('keep the earlier checkpoints when the disk is full', async (context) => {
    const disk = tryTmpfs(place, 'size=256k');
    if (!disk) return context.skip('mounting a tmpfs is not permitted here');
    try {
      await saveState(disk.path, stateAt(1));
      await expect(saveState(disk.path, stateAt(2, 100_000))).rejects.toThrow(/step-000002.*: the disk is full \(ENOSPC\)/);
      expect(fs.readdirSync(disk.path)).toEqual(['step-000001']);
      expect(latestCheckpoint(disk.path)).toEqual({ state: stateAt(1), ignored: [] });
    } finally {
      disk.unmount();
    }
  });
});

describe('a run that is killed', () => {
  const wholeLines = (path: string): string => (fs.existsSync(path) ? fs.readFileSync(path, 'utf8').replace(/[^\n]*$/, '') : '');

  /** Waits for "ready"; rejects with what the child printed if it ends before. */
  function ready(child: ChildProcess): Promise<void> {
    let errors = '';
    child.stderr!.on('data', (text) => (errors += text));
    return new Promise((resolve, reject) => {
      child.stdout!.once('data', () => resolve());
      child.once('exit', (code) => reject(new Error(`the child ended with ${code}: ${errors}`)));
    });
  }

  it('at 50 random moments and resumed ends like one that was not', { timeout: 180_000 }, async () => {
    const script = compile('test/fixtures/endlessRun.ts', join(place, 'compiled'));
    const start = (folder: string, lastStep: number): ChildProcess =>
      spawn(process.execPath, [script, folder, String(lastStep)], { env: childEnvironment });
    const random = randomStream(7, 'kills');
    const killed = join(place, 'killed');
    const snapshots: { metrics: string; examples: string }[] = [];
    for (let i = 0; i < 50; i++) {
      const child = start(killed, Infinity);
      const exit = once(child, 'exit');
      if (i % 5 === 4)
        await sleep(random.uniform() * 200); // while it starts, or resumes
      else await ready(child).then(() => sleep(random.uniform() * 80));
      child.kill('SIGKILL');
      expect(await exit).toEqual([null, 'SIGKILL']);
      expect(latestCheckpoint(join(killed, 'checkpoints')).ignored).toEqual([]);
      snapshots.push({
        metrics: wholeLines(join(killed, 'metrics.jsonl')),
        examples: wholeLines(join(killed, 'examples.jsonl')),
      });
    }
    const lastStep = 3 + Math.max(...snapshots.map(({ metrics }) => metrics.split('\n').length));
    const whole = join(place, 'whole');
    for (const folder of [killed, whole]) expect(await once(start(folder, lastStep), 'exit')).toEqual([0, null]);
    for (const name of ['metrics.jsonl', 'examples.jsonl'] as const) {
      const expected = fs.readFileSync(join(whole, name), 'utf8');
      expect(fs.readFileSync(join(killed, name), 'utf8')).toBe(expected);
      expect(expected.split('\n').length - 1).toBe(name === 'metrics.jsonl' ? lastStep : 3 * lastStep);
    }
    const [metrics, examples] = ['metrics.jsonl', 'examples.jsonl'].map((name) => fs.readFileSync(join(whole, name), 'utf8'));
    const divergent = snapshots.filter((rows) => !metrics.startsWith(rows.metrics) || !examples.startsWith(rows.examples));
    expect(divergent).toEqual([]);
    const checkpoints = [killed, whole].map((folder) => latestCheckpoint(join(folder, 'checkpoints')));
    expect(checkpoints[0]).toEqual(checkpoints[1]);
    expect(fs.readdirSync(killed).sort()).toEqual(fs.readdirSync(whole).sort());
  });
});
