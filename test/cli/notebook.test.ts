import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sourceHash, type Notebook } from '../../src/cli/notebook/document';
import { build, dpg, readExecuted, ROOT, workFolder, writeCells } from './dpg';

let folder: string;
let out: string;
beforeAll(() => {
  build();
  folder = workFolder();
  out = path.join(folder, 'sub/out.ipynb');
}, 120_000);
afterAll(() => fs.rmSync(folder, { recursive: true }));

const forever = 'await new Promise((r) => setTimeout(r, 3_600_000));';
const gone = async (pid: number) => {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return true;
    }
    await sleep(50);
  }
};

describe('dpg notebook', { timeout: 60_000 }, () => {
  test('runs every cell with its parameters, and streams', async () => {
    const file = writeCells(folder, [
      { source: "let steps = 1;\nlet name = 'x';\nlet list = [1];\nlet payload: string = '2604';", tags: ['parameters'] },
      "console.log('first', steps + 1, name, list.length, payload + '!');",
      { source: 'let answer: number = undefinedName;', tags: ['raises-exception'] },
      "await new Promise((r) => setTimeout(r, 500)); console.log('second');",
      "import { output } from './dist/notebook/display';\nconst o = output(); o.show({ 'text/plain': 'old' }); o.show({ 'text/plain': 'new' });",
    ]);
    const run = dpg(
      'notebook',
      file,
      '-o',
      out,
      '-p',
      'steps=41',
      '-p',
      'name=a=<b>\u2028',
      '-p',
      'list=[1,2,3]',
      '-p',
      'payload=2604.08423',
    );
    await run.prints('first');
    expect(run.stdout()).not.toContain('second');
    expect(await run.exit).toBe(0);
    const { notebook, streams } = readExecuted(out);
    expect(streams.slice(0, 3)).toEqual(['', '', 'first 42 a=<b>\u2028 3 2604.08423!\n']);
    expect(streams[4]).toBe('second\n');
    expect(notebook.cells[1].metadata.tags).toEqual(['injected-parameters']);
    expect(notebook.cells[5].outputs).toEqual([{ output_type: 'display_data', data: { 'text/plain': ['new'] }, metadata: {} }]);
    expect(notebook.cells.map((cell) => cell.execution_count)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(notebook.metadata.kernelspec.name).toBe('tslab');
    expect(notebook.metadata.dpg.source_hash).toBe(sourceHash(JSON.parse(fs.readFileSync(file, 'utf8')) as Notebook));
    expect(fs.readdirSync(path.dirname(out))).toEqual(['out.ipynb']);
  });

  test('a failing cell: exit code 1, its error on stderr and in the file, nothing after it runs', async () => {
    const file = writeCells(folder, ["console.log('before');", "throw new Error('the reason');", "console.log('after');"]);
    const run = dpg('notebook', '--quiet', file, '-o', out);
    expect(await run.exit).toBe(1);
    expect(run.stderr()).toContain('the reason');
    expect(run.stdout()).toBe('');
    const { streams } = readExecuted(out);
    expect(streams[0]).toBe('before\n');
    expect(streams[1]).toContain('the reason');
    expect(streams[2]).toBe('');
    expect(fs.readFileSync(out, 'utf8')).not.toContain(ROOT);
  });

  test('a kernel that dies: exit code 1', async () => {
    const run = dpg('notebook', writeCells(folder, ['process.exit(7);']));
    expect(await run.exit).toBe(1);
    expect(run.stderr()).toContain('the kernel ended (7) in cell 1');
  });

  test.each([
    ['waits', forever],
    ['computes', 'while (true) {}'],
    ['computes and cannot be interrupted', 'await null; while (true) {}'],
  ])('time-out of a cell that %s: exit code 124', async (_, code) => {
    const run = dpg('notebook', writeCells(folder, [code]), '--timeout', '1');
    expect(await run.exit).toBe(124);
  });

  test('Ctrl-C: exit code 130, the history so far is in the file; a second one kills', async () => {
    const follow = `import { follow } from './dist';
async function* count() { for (let i = 0; ; i++) { console.log('step', i); yield i; await new Promise((r) => setTimeout(r, 20)); } }
await follow(count(), { total: 1e9 });`;
    const run = dpg('notebook', writeCells(folder, [follow, "console.log('after');"]), '-o', out);
    await run.prints('step 3');
    run.process.kill('SIGINT');
    expect(await run.exit).toBe(130);
    expect(readExecuted(out).streams[0]).toContain('step 3\n');
    expect(readExecuted(out).streams[1]).toBe('');

    const deaf = dpg(
      'notebook',
      writeCells(folder, ["console.log('go');\nawait new Promise((r) => setTimeout(r, 100)); while (true) {}"]),
    );
    await deaf.prints('go');
    await sleep(300);
    deaf.process.kill('SIGINT');
    await sleep(300);
    deaf.process.kill('SIGINT');
    expect(await deaf.exit).toBe(130);
  });

  test('a runner that is killed leaves a whole file of the cells so far, and no kernel', async () => {
    const run = dpg(
      'notebook',
      writeCells(folder, ["console.log('pid', process.pid);", `console.log('waiting'); ${forever}`]),
      '-o',
      out,
    );
    await run.prints('waiting');
    run.process.kill('SIGKILL');
    await run.exit;
    const [, pid] = /pid (\d+)/.exec(readExecuted(out).streams[0]) ?? [];
    expect(await gone(Number(pid))).toBe(true);
    expect(fs.readdirSync(path.dirname(out))).toEqual(['out.ipynb']);
  });

  test('figures go to numbered files', async () => {
    const cell = `import { show } from './dist/notebook/show';\nimport { heatmap } from './dist/notebook/images';
for (const title of ['One & two', '../../x']) show(heatmap({ z: [[1, 2], [3, 4]], title }));`;
    const figures = path.join(folder, 'figures');
    expect(await dpg('notebook', writeCells(folder, [cell]), '--figures', figures).exit).toBe(0);
    expect(fs.readdirSync(figures)).toEqual(['01-one-two.png', '01-one-two.svg', '02-x.png', '02-x.svg']);
    expect(fs.readFileSync(path.join(figures, '01-one-two.svg'), 'utf8')).toMatch(/^<svg .*One &amp; two.*<\/svg>$/s);
  });
});

describe('wrong usage: exit code 2 and one line that names it', { timeout: 60_000 }, () => {
  const file = () => writeCells(folder, [{ source: 'let steps = 1;\nlet name = 2;', tags: ['parameters'] }], 'usage.ipynb');
  test.each([
    [() => ['notebook'], 'one FILE (got 0)'],
    [() => ['notebook', 'none.ipynb'], 'none.ipynb'],
    [() => ['notebook', __filename], 'not JSON'],
    [() => ['notebook', path.join(ROOT, 'package.json')], 'not a notebook'],
    [() => ['notebook', file(), '--colour'], '--colour'],
    [() => ['notebook', file(), '-p', 'stepz=3'], 'unknown parameter "stepz"; this notebook has: steps, name'],
    [() => ['notebook', file(), '-p', 'steps'], 'NAME=VALUE (got "steps")'],
    [() => ['notebook', file(), '-p', 'steps=many'], '-p steps=many: the notebook has no text there, so this must be JSON'],
    [() => ['notebook', writeCells(folder, ['1'], 'plain.ipynb'), '-p', 'a=1'], 'tagged "parameters"'],
    [() => ['notebook', file(), '--timeout', '-3'], '--timeout'],
    [() => ['kernel', 'remove'], 'remove'],
    [() => ['teach'], 'unknown command "teach"'],
    [() => ['--teach'], '"--teach"'],
  ])('%#', async (args, complaint) => {
    const run = dpg(...args());
    expect(await run.exit).toBe(2);
    expect(run.stderr()).toContain(complaint);
    expect(run.stderr().trim().split('\n')).toHaveLength(1);
  });

  test('help of the program and of a command goes to stdout', async () => {
    const [overview, detail] = [dpg('--help'), dpg('notebook', '--help')];
    expect([await overview.exit, await detail.exit]).toEqual([0, 0]);
    expect(overview.stdout()).toContain('notebook');
    expect(detail.stdout()).toContain('--timeout SECONDS');
  });
});
