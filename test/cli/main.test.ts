import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { build, ROOT, workFolder } from './dpg';

let folder: string;
beforeAll(() => {
  build();
  folder = workFolder();
}, 120_000);
afterAll(() => fs.rmSync(folder, { recursive: true }));

/** Runs `dpg config` with its `run` replaced; `read` false closes stdout at once. */
async function configWith(run: string, { args = [] as string[], env = {}, read = true } = {}) {
  const preload = path.join(folder, 'preload.cjs');
  fs.writeFileSync(preload, `require(${JSON.stringify(path.join(ROOT, 'dist/cli/config.js'))}).run = ${run};`);
  const child = spawn(process.execPath, ['--require', preload, path.join(ROOT, 'dist/cli/main.js'), 'config', ...args], {
    env: { ...process.env, DEBUG: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (!read) child.stdout.destroy();
  let stderr = '';
  child.stderr.on('data', (data) => (stderr += data));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stderr };
}

describe('dpg', () => {
  test('is executable, also where a known folder was built again', () => {
    expect(() => fs.accessSync(path.join(ROOT, 'dist/cli/main.js'), fs.constants.X_OK)).not.toThrow();
  });

  test('what never settles is no success', async () => {
    expect(await configWith('() => new Promise(() => {})')).toEqual({
      code: 1,
      stderr: 'dpg: ended before it was done: something it waited for never came\n',
    });
  });

  test('an error is its sentence', async () => {
    expect(await configWith("async () => { throw new Error('no space left') }")).toEqual({
      code: 1,
      stderr: 'dpg: no space left\n',
    });
    const defect = await configWith('async () => undefined.x');
    expect(defect.stderr).toMatch(/^dpg: TypeError: Cannot read .* \(a defect of dpg; --debug shows where\)\n$/);
    expect(defect.code).toBe(1);
  });

  test.each([
    ['--debug', { args: ['--debug'] }],
    ['DEBUG', { env: { DEBUG: '1' } }],
  ])('%s shows where it comes from', async (_, options) => {
    const { code, stderr } = await configWith("async () => { throw new Error('no space left') }", options);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^Error: no space left\n {4}at .*preload\.cjs/);
  });

  test('a reader that leaves ends it quietly', async () => {
    const endless = 'async () => { for (;;) { console.log("x".repeat(1000)); await new Promise((r) => setTimeout(r, 1)); } }';
    expect(await configWith(endless, { read: false })).toEqual({ code: 141, stderr: '' });
  });

  test('the nearest option or command is suggested, and none where none is near', async () => {
    const complaint = async (...args: string[]) => {
      const child = spawn(process.execPath, [path.join(ROOT, 'dist/cli/main.js'), ...args]);
      let stderr = '';
      child.stderr.on('data', (data) => (stderr += data));
      const [code] = (await once(child, 'close')) as [number];
      return `${code} ${stderr}`;
    };
    expect(await complaint('config', '--jsno')).toBe('2 dpg: unknown option --jsno; did you mean --json?\n');
    expect(await complaint('config', '--colour')).toBe('2 dpg: unknown option --colour\n');
    expect(await complaint('notebok')).toMatch(/^2 dpg: unknown command "notebok"; did you mean notebook\?; there are: /);
  });
});
