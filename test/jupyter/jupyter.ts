/** A Jupyter Notebook server on a folder of its own, and a browser to look at it. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { ROOT } from '../cli/dpg';

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

const found = (program: string): string | undefined =>
  (process.env.PATH ?? '')
    .split(path.delimiter)
    .map((folder) => path.join(folder, program))
    .find((file) => fs.existsSync(file));
const chromium = process.env.CHROMIUM ?? found('chromium') ?? found('chromium-browser') ?? found('google-chrome');

/** Why these tests cannot run here; undefined where they can. */
export function missing(): string | undefined {
  for (const program of ['jupyter-notebook', 'jupyter-nbconvert']) if (!found(program)) return `${program} is not installed`;
  if (!chromium) return 'no Chromium is installed';
  return undefined;
}

/** A running server. */
export interface Server {
  readonly url: string;
  /** Holds dist/ and node_modules/ as links, and notebooks/. */
  readonly folder: string;
  close(): Promise<void>;
}

/** Starts a server that knows the committed kernel spec and nothing of the user's. */
export async function startServer(folder: string): Promise<Server> {
  fs.mkdirSync(path.join(folder, 'notebooks'));
  fs.symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'), 'junction');
  const listener = net.createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as net.AddressInfo;
  await once(listener.close(), 'close');
  const options = [
    '--no-browser',
    '--allow-root',
    '--ip=127.0.0.1',
    `--port=${port}`,
    '--NotebookApp.token=',
    '--NotebookApp.password=',
  ];
  const home = path.join(folder, 'home');
  const env = {
    ...process.env,
    HOME: home,
    JUPYTER_DATA_DIR: home,
    JUPYTER_CONFIG_DIR: home,
    JUPYTER_PATH: path.join(ROOT, '.jupyter'),
  };
  const server = spawn('jupyter-notebook', [...options, `--notebook-dir=${folder}`], { env, stdio: 'ignore' });
  const url = `http://127.0.0.1:${port}`;
  while (
    !(await fetch(`${url}/api`).then(
      ({ ok }) => ok,
      () => false,
    ))
  )
    await sleep(200);
  return { url, folder, close: () => stop(server) };
}

/** Jupyter shuts its kernels down when it is asked twice in a row to end. */
async function stop(server: ChildProcess): Promise<void> {
  server.kill('SIGTERM');
  await once(server, 'exit');
}

export async function startBrowser(): Promise<Browser> {
  const { chromium: launcher } = await import('playwright-core');
  return launcher.launch({ executablePath: chromium, args: CHROMIUM_ARGS });
}

/** A page of its own context. */
export async function newPage(browser: Browser, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1100, height: 1000 }, ...options });
  return context.newPage();
}

/** Opens a notebook in Jupyter Notebook and waits for its kernel. */
export async function openNotebook(page: Page, { url }: Server, name: string): Promise<void> {
  await page.goto(`${url}/notebooks/notebooks/${name}`);
  await page.waitForFunction('window.Jupyter?.notebook?.kernel?.is_connected?.()', null, { timeout: 60_000 });
}

const IDLE =
  "Jupyter.notebook.get_cells().filter((cell) => cell.cell_type === 'code').every((cell) => cell.input_prompt_number !== '*' && cell.input_prompt_number)";

/** What "Run All" does, to its end. */
export async function runAll(page: Page): Promise<void> {
  await page.evaluate('Jupyter.notebook.clear_all_output(); Jupyter.notebook.execute_all_cells()');
  await page.waitForFunction(IDLE, null, { timeout: 90_000 });
}

/** Picture of the whole notebook, without Jupyter's header. */
export async function screenshot(page: Page, name: string): Promise<void> {
  fs.mkdirSync(SCREENSHOTS, { recursive: true });
  const style = '#header { display: none !important } #site { height: auto !important; overflow: visible !important }';
  await page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`), fullPage: true, style });
}

/** `jupyter nbconvert --to html`. */
export function toHtml(file: string): string {
  spawnSync('jupyter-nbconvert', ['--to', 'html', file], { stdio: 'ignore' });
  return file.replace(/\.ipynb$/, '.html');
}
