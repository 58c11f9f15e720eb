/** A notebook server on a folder of its own, and a browser to look at it; nbconvert. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import type { Output } from '../../src/cli/notebook/document';
import { build, ROOT, workFolder } from '../cli/dpg';
import { found, frontEnds, type FrontEnd } from './frontEnds';

/** Milliseconds that a notebook may take on a busy machine. */
export const PATIENCE = 900_000;
export const SCREENSHOTS = path.join(ROOT, 'runs/screenshots');

const CHROMIUM_ARGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const chromium = process.env.CHROMIUM ?? found('chromium') ?? found('chromium-browser') ?? found('google-chrome');

/** What can be tested here; says what cannot, and why. */
export function installed(): { readonly fronts: readonly FrontEnd[]; readonly hasNbconvert: boolean } {
  const fronts = chromium ? frontEnds() : [];
  const hasNbconvert = chromium !== undefined && found('jupyter-nbconvert') !== undefined;
  if (!chromium) console.log('tests with Jupyter are skipped: no Chromium is installed');
  else if (!fronts.length)
    console.log('tests with Jupyter are skipped: neither jupyter-lab nor jupyter-notebook is on PATH or in DPG_JUPYTER');
  else console.log(`tests with Jupyter: ${fronts.map(({ name }) => name).join('; ')}`);
  if (chromium && !hasNbconvert) console.log('tests with nbconvert are skipped: it is not installed');
  return { fronts, hasNbconvert };
}

/** A running front end and the page that looks at it. */
export interface Desk extends FrontEnd {
  readonly url: string;
  /** Holds dist/ and node_modules/ as links, and notebooks/. */
  readonly folder: string;
  readonly browser: Browser;
  readonly page: Page;
  close(): Promise<void>;
}

/** Settings in which Jupyter knows the committed kernel spec and nothing of the user's. */
function environment(folder: string): NodeJS.ProcessEnv {
  const home = path.join(folder, 'home');
  fs.mkdirSync(home, { recursive: true });
  const own = { HOME: home, JUPYTER_DATA_DIR: home, JUPYTER_CONFIG_DIR: home, JUPYTER_PATH: path.join(ROOT, '.jupyter') };
  return { ...process.env, ...own, npm_config_update_notifier: 'false' };
}

/** A folder like a clone, with `npx dpg`: servers refuse files behind links that lead out of it, so that plotly.js is a file. */
function cloneFolder(): string {
  const folder = workFolder();
  fs.mkdirSync(path.join(folder, 'notebooks'));
  fs.symlinkSync(path.join(ROOT, 'data'), path.join(folder, 'data'), 'junction');
  const [from, to] = [ROOT, folder].map((place) => path.join(place, 'node_modules'));
  const own = ['plotly.js-dist', '.bin'];
  for (const name of own) fs.mkdirSync(path.join(to, name), { recursive: true });
  fs.copyFileSync(path.join(from, own[0], 'plotly.js'), path.join(to, own[0], 'plotly.js'));
  fs.symlinkSync(path.join(ROOT, 'dist/cli/main.js'), path.join(to, '.bin/dpg'));
  for (const name of fs.readdirSync(from))
    if (!own.includes(name)) fs.symlinkSync(path.join(from, name), path.join(to, name), 'junction');
  return folder;
}

async function freePort(): Promise<number> {
  const listener = net.createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as net.AddressInfo;
  await once(listener.close(), 'close');
  return port;
}

/** Starts a server and a browser. */
export async function openDesk(front: FrontEnd): Promise<Desk> {
  build();
  const folder = cloneFolder();
  const [port, browser] = await Promise.all([freePort(), startBrowser()]);
  const options = ['--no-browser', '--allow-root', '--ip=127.0.0.1', `--port=${port}`, ...front.options(folder)];
  const server = spawn(front.program, options, { env: environment(folder), stdio: 'ignore' });
  const url = `http://127.0.0.1:${port}`;
  const answers = () =>
    fetch(`${url}/api`).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await answers())) await sleep(200);
  const page = await newPage(browser);
  const close = async () => {
    await browser.close();
    await stop(server);
    fs.rmSync(folder, { recursive: true });
  };
  return { ...front, url, folder, browser, page, close };
}

/** Jupyter shuts its kernels down when it is asked to end. */
async function stop(server: ChildProcess): Promise<void> {
  server.kill('SIGTERM');
  await once(server, 'exit');
}

export async function startBrowser(): Promise<Browser> {
  const { chromium: launcher } = await import('playwright-core');
  return launcher.launch({ executablePath: chromium, args: CHROMIUM_ARGS });
}

const VIEWPORT = { width: 1280, height: 1000 };

/** A page of its own context. */
export async function newPage(browser: Browser, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({ viewport: VIEWPORT, ...options });
  return context.newPage();
}

/** Opens a notebook and waits for its kernel. */
export async function openNotebook({ page, url, address, isReady }: Desk, name: string): Promise<void> {
  await page.goto(`${url}${address}notebooks/${name}?reset`);
  await page.waitForFunction(isReady, null, { timeout: 60_000 });
  await page.evaluate('window.jupyterapp?.shell.collapseLeft?.()');
}

/** What "Trust Notebook" does: the outputs may run their scripts. */
export async function trust({ page, url, isReady }: Desk, name: string): Promise<void> {
  await fetch(`${url}/api/contents/notebooks/${name}/trust`, { method: 'POST' });
  await page.reload();
  await page.waitForFunction(isReady, null, { timeout: 60_000 });
}

/** What `expression` gives for each code cell. */
const ofCells = <T>({ page, cells }: Desk, expression: string): Promise<T[]> =>
  page.evaluate(`${cells}.map((cell) => ${expression})`);

/** `expression` of the code cell of a number, from 0. */
export const ofCell = <T>({ page, cells }: Desk, number: number, expression: string): Promise<T> =>
  page.evaluate(`((cell) => ${expression})(${cells}[${number}])`);

/** Outputs of the code cells as Jupyter would save them. */
export const outputsOf = (desk: Desk): Promise<Output[][]> => ofCells(desk, desk.outputs);

export const isTrusted = async (desk: Desk): Promise<boolean> => (await ofCells<boolean>(desk, desk.isTrusted)).every(Boolean);

/** What "Run All" does, to its end; fails unless all cells have run. */
export async function runAll(desk: Desk): Promise<void> {
  await desk.page.evaluate(desk.runAll);
  const ran = await ofCells<boolean>(desk, desk.hasRun);
  if (!ran.every(Boolean)) throw new Error(`cells failed: ${JSON.stringify(await outputsOf(desk)).slice(0, 20_000)}`);
}

/** Runs a code cell to its end. */
export const runCell = (desk: Desk, number: number): Promise<void> => ofCell(desk, number, desk.run);

/** The output area of a code cell. */
export const outputArea = ({ page, css }: Desk, cell: number) => page.locator(css.cell).nth(cell).locator(css.output);

/** Ends the kernel. */
export async function leaveNotebook({ page, shutDown }: Desk): Promise<void> {
  await page.evaluate(shutDown);
  await page.goto('about:blank');
}

/** A window as high as the notebook: front ends draw what can be seen. */
export async function unfold({ page, height }: Desk, width = VIEWPORT.width): Promise<void> {
  for (let [before, now] = [-1, 0]; before !== now;) {
    [before, now] = [now, (await page.evaluate(height)) as number];
    await page.setViewportSize({ width, height: Math.min(16_000, 300 + now) });
    await page.waitForTimeout(700);
  }
}

export const fold = ({ page }: Desk): Promise<void> => page.setViewportSize(VIEWPORT);

/** Picture of the window, or of the whole page. */
export async function screenshot(page: Page, name: string, fullPage = false): Promise<void> {
  fs.mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: path.join(SCREENSHOTS, `${name.replace(/[^\w.-]+/g, '-')}.png`), fullPage });
}

/** Picture of the code cells `first` to `last`, from 0, and what lies between them. */
export async function screenshotOfCells({ page, css }: Desk, name: string, first: number, last: number): Promise<void> {
  const cells = page.locator(css.cell);
  const [top, end] = await Promise.all([first, last].map((cell) => cells.nth(cell).boundingBox()));
  const clip = { x: top!.x, y: top!.y, width: top!.width, height: end!.y + end!.height - top!.y };
  await page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`), clip });
}

/** `jupyter nbconvert`; returns what it writes to stderr, its remarks on files aside. */
export function nbconvert(file: string, folder: string, ...args: string[]): string {
  const env = environment(folder);
  const { stderr, status } = spawnSync(found('jupyter-nbconvert')!, [...args, file], {
    env,
    encoding: 'utf8',
    timeout: PATIENCE,
  });
  const lines = stderr
    .split('\n')
    .filter((line) => line && !/^\[NbConvertApp\] (Converting|Writing|Executing|Making|Support)/.test(line));
  return lines.join('\n') + (status === 0 ? '' : `exit code ${status}`);
}
