import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startKernel, type Kernel } from '../../src/cli/notebook/kernel';
import { EXPERIMENTS } from '../../src/experiments/experiments';
import { build, ROOT, workFolder } from './dpg';

let folder: string;
let kernel: Kernel;
beforeAll(async () => {
  build();
  folder = workFolder();
  fs.symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'), 'junction');
  kernel = await startKernel({ cwd: folder });
}, 120_000);
afterAll(async () => {
  await kernel.close();
  fs.rmSync(folder, { recursive: true });
});

/** Runs a cell; `onText` sees its streams as they come. */
async function run(code: string, onText: (text: string) => void = () => {}): Promise<{ ok: boolean | undefined; text: string }> {
  let text = '';
  const reply = await kernel.execute(code, ({ type, content }) => {
    if (type !== 'stream') return;
    text += String(content.text);
    onText(text);
  });
  if (!reply?.ok) await sleep(300); // tslab cancels what comes sooner
  return { ok: reply?.ok, text };
}

describe('the tslab kernel with our modules in it', { timeout: 60_000 }, () => {
  test('keeps every one of 10,000 lines of one turn of the event loop, in order', async () => {
    await run("import * as dpg from './dist';\ndpg.show;");
    const { ok, text } = await run("for (let i = 0; i < 10_000; i++) console.log('line ' + i);");
    expect(ok).toBe(true);
    expect(text).toBe(Array.from({ length: 10_000 }, (_, i) => `line ${i}\n`).join(''));
  });

  test('takes shorthand properties of variables of earlier cells, in values and in assignments', async () => {
    await run('const seed = 3;\nlet [first, second] = [1, 2];');
    expect((await run('console.log(JSON.stringify({ seed, first: { second } }))')).text).toBe(
      '{"seed":3,"first":{"second":2}}\n',
    );
    await run('({ first, second = 9 } = { first: 7 });');
    expect((await run('console.log(first, second)')).text).toBe('7 9\n');
    expect((await run('console.log({ seed,\n  wrong: undefinedName })')).text).toMatch(
      /^2:\d+ - Cannot find name 'undefinedName'/,
    );
  });

  test('keeps 10,000 lines of a followed loop, and of one that yields to promises only', async () => {
    await run(
      "import { follow } from './dist';\nasync function* lines() { for (let i = 0; i < 10_000; i++) { console.log('line ' + i); yield i; } }",
    );
    const followed = await run('await follow(lines(), { total: 10_000 });');
    const plain = await run("for (let i = 0; i < 10_000; i++) { console.log('line ' + i); await null; }");
    for (const { text } of [followed, plain]) expect(text.match(/line \d+/g)).toHaveLength(10_000);
  });

  test('survives five interrupts of loops, which end at their next step; their cells then go on and end normally', async () => {
    await run(`const history: number[] = [];
let ended = 0;
async function* endless() { try { for (let i = history.length; ; i++) { await new Promise((r) => setTimeout(r, 5)); yield i; } } finally { ended++; } }`);
    for (let press = 1; press <= 5; press++) {
      const before = Number((await run('console.log(history.length)')).text);
      let pressed = false;
      const loop =
        "await follow(endless(), { total: 1e6, history: history, metrics: (step) => (console.log('step ' + step), {}) }); console.log('then');";
      const { ok, text } = await run(loop, (soFar) => {
        if (!pressed && soFar.includes(`step ${before + 3}\n`)) kernel.interrupt();
        pressed ||= soFar.includes(`step ${before + 3}\n`);
      });
      expect(ok).toBe(true);
      expect(text).toMatch(new RegExp(`step ${before + 3}\\n(step \\d+\\n)*then\\n$`));
      const after = await run('console.log(ended, history.length, history.every((step, i) => step === i))');
      expect(after.text).toMatch(new RegExp(`^${press} \\d+ true\n`));
      expect(Number(after.text.split(' ')[1])).toBeGreaterThan(before + 3);
    }
  });

  test('survives interrupts of a synchronous loop and of an idle kernel', async () => {
    for (let press = 1; press <= 3; press++) {
      const { ok } = await run("console.log('go'); while (true) {}", () => kernel.interrupt());
      expect(ok).toBe(false);
    }
    kernel.interrupt();
    await sleep(100);
    expect((await run('console.log(1 + 1)')).text).toBe('2\n');
  });

  test('survives a promise that is rejected and forgotten, with the wasm backend too', async () => {
    await run("import { startBackend } from './dist/tensor/backend';\nawait startBackend();");
    await run("setTimeout(() => void Promise.reject(new Error('forgotten')), 10);");
    await sleep(500);
    expect((await run('console.log(1 + 1)')).text).toContain('2\n');
  });

  test('a cell of two loops goes on with the second when the first is stopped, and nothing is left running behind it', async () => {
    await run(`let beats = 0;
async function* beating(name: string) { for (;;) { await new Promise((r) => setTimeout(r, 20)); beats++; console.log(name); yield name; } }`);
    const presses = new Set<string>();
    const loops = "for (const name of ['first', 'second']) await follow(beating(name), { total: 1e6 });";
    const { ok } = await run(loops, (soFar) => {
      const name = soFar.trim().split('\n').at(-1)!;
      if (!presses.has(name)) kernel.interrupt();
      presses.add(name);
    });
    expect(ok).toBe(true);
    expect([...presses]).toEqual(['first', 'second']);
    const after = await run('const soFar = beats; await new Promise((r) => setTimeout(r, 200)); console.log(beats - soFar);');
    expect(after.text).toBe('0\n');
  });

  test('a second press fails a cell in a long step; run again, it waits for that step', async () => {
    await run(`const log: string[] = [];
const pause = (ms: number) => new Promise((r) => setTimeout(r, ms));
async function* slow(name: string) { for (let i = 0; i < 2; i++) { log.push(name + ' begins'); await pause(100); console.log(name, i); await pause(2000); log.push(name + ' ends'); yield i; } }`);
    const first = await run("await follow(slow('first'), { total: 2 });", (text) => {
      if (text !== 'first 0\n') return;
      kernel.interrupt();
      setTimeout(kernel.interrupt, 300);
    });
    expect(first.ok).toBe(false);
    let second = await run("await follow(slow('second'), { total: 2 });");
    while (!second.ok && !second.text) second = await run("await follow(slow('second'), { total: 2 });"); // cancelled by tslab
    const { text } = await run("console.log(log.join(', '))");
    expect(text).toBe('first begins, first ends, second begins, second ends, second begins, second ends\n');
  });

  test('hover shows types and TSDoc, of configuration keys too; completion knows functions and keys', async () => {
    expect((await run("import * as dpg from './dist';")).ok).toBe(true);
    const hover = async (code: string, word = code) => {
      const at = code.indexOf(word) + word.length - 1;
      const { data } = await kernel.request('inspect_request', { code, cursor_pos: at, detail_level: 0 });
      return (data as { 'text/plain'?: string })['text/plain'];
    };
    expect(await hover('dpg.metagradient')).toMatch(
      /function metagradient\(options: MetagradientOptions\): Promise<Metagradient>/,
    );
    expect(await hover('dpg.sixtySeven')).toContain('The paper\'s "67".');
    expect(await hover('dpg.follow')).toContain('to the end, for a cell of its own');
    expect(await hover('await dpg.sixtySeven({ innerEpsRoot: 1e-3 })', 'innerEpsRoot')).toMatch(
      /innerEpsRoot.*: number[^]*added inside the root[^]*Paper: 1e-9/,
    );
    const complete = async (code: string) =>
      (await kernel.request('complete_request', { code, cursor_pos: code.length })).matches;
    expect(await complete('dpg.metag')).toEqual(['metagradient', 'metagradientReward']);
    const inner = Object.keys(EXPERIMENTS['sixty-seven'].keys).filter((key) => key.startsWith('inner'));
    expect(((await complete('dpg.sixtySeven({ inner')) as string[]).toSorted()).toEqual(inner.toSorted());
  });
});

test('a kernel goes on where folders change in which a module was looked for', { timeout: 60_000 }, async () => {
  const nested = path.join(folder, 'nested');
  const install = (name: string) => {
    fs.mkdirSync(path.join(nested, 'node_modules', name), { recursive: true });
    fs.writeFileSync(path.join(nested, 'node_modules', name, 'index.js'), 'exports.x = 1;');
    fs.writeFileSync(path.join(nested, 'node_modules', name, 'index.d.ts'), 'export declare const x: number;');
  };
  install('first');
  const own = await startKernel({ cwd: nested });
  const ok = async (code: string) => (await own.execute(code, () => {}))?.ok;
  try {
    expect(await ok("import { x } from 'first';\nx;")).toBe(true); // no first.ts, no first/package.json
    install('second');
    expect(await ok('await new Promise((resolve) => setTimeout(resolve, 1000));')).toBe(true); // TypeScript is told of it
    expect(await ok('1 + 1')).toBe(true);
  } finally {
    await own.close();
  }
});
