/** A Jupyter Notebook server on a folder of its own, and a browser to look at it. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import type { Output } from '../../src/cli/notebook/document';
import { ROOT } from '../cli/dpg';

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

/** Settings in which Jupyter knows the committed kernel spec and nothing of the user's. */
function environment(folder: string): NodeJS.ProcessEnv {
  const home = path.join(folder, 'home');
  fs.mkdirSync(home, { recursive: true });
  const own = { HOME: home, JUPYTER_DATA_DIR: home, JUPYTER_CONFIG_DIR: home, JUPYTER_PATH: path.join(ROOT, '.jupyter') };
  return { ...process.env, ...own };
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
  const env = environment(folder);
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

const CODE_CELLS = "Jupyter.notebook.get_cells().filter((cell) => cell.cell_type === 'code')";

/** Waits until no cell runs; fails unless all have run. */
async function finish(page: Page): Promise<void> {
  await page.waitForFunction(`${CODE_CELLS}.every((cell) => cell.input_prompt_number !== '*')`, null, { timeout: PATIENCE });
  const cancelled = `${CODE_CELLS}.filter((cell) => !cell.input_prompt_number).length`;
  if (await page.evaluate(cancelled)) throw new Error(`cells failed: ${JSON.stringify(await outputsOf(page)).slice(0, 20_000)}`);
}

/** What "Run All" does, to its end. */
export async function runAll(page: Page): Promise<void> {
  await page.evaluate('Jupyter.notebook.clear_all_output(); Jupyter.notebook.execute_all_cells()');
  await finish(page);
}

/** Runs code cells by their numbers, from 0, to their end. */
export async function runCells(page: Page, ...cells: readonly number[]): Promise<void> {
  await page.evaluate(cells.map((cell) => `${CODE_CELLS}[${cell}].execute();`).join(''));
  await finish(page);
}

/** Restarts the kernel and waits until it answers. */
export async function restart(page: Page): Promise<void> {
  await page.evaluate(
    'new Promise((done) => { Jupyter.notebook.events.one("kernel_ready.Kernel", done); Jupyter.notebook.kernel.restart(); })',
  );
}

/** Ends the kernel. */
export async function leaveNotebook(page: Page): Promise<void> {
  await page.evaluate('new Promise((done) => Jupyter.notebook.session.delete(done, done))');
  await page.goto('about:blank');
}

/** Outputs of the code cells as Jupyter would save them. */
export const outputsOf = (page: Page): Promise<Output[][]> =>
  page.evaluate(`${CODE_CELLS}.map((cell) => cell.output_area.toJSON())`);

const NO_HEADER = '#header { display: none !important } #site { height: auto !important; overflow: visible !important }';

/** Picture of the whole notebook, without Jupyter's header. */
export async function screenshot(page: Page, name: string): Promise<void> {
  fs.mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`), fullPage: true, style: NO_HEADER });
}

/** Picture of the code cells `first` to `last`, from 0, and what lies between them. */
export async function screenshotOfCells(page: Page, name: string, first: number, last: number): Promise<void> {
  const style = await page.addStyleTag({ content: NO_HEADER });
  const cells = page.locator('.code_cell');
  await cells.nth(first).scrollIntoViewIfNeeded();
  const [top, end] = await Promise.all([first, last].map((cell) => cells.nth(cell).boundingBox()));
  const scrolled = (await page.evaluate('window.scrollY')) as number;
  const clip = { x: top!.x, y: top!.y + scrolled, width: top!.width, height: end!.y + end!.height - top!.y };
  await page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`), fullPage: true, clip });
  await style.evaluate((element) => (element as unknown as { remove(): void }).remove());
}

/** What "Trust Notebook" does: the outputs may run their scripts. */
export async function trust(page: Page): Promise<void> {
  await page.evaluate(`${CODE_CELLS}.forEach((cell) => { cell.output_area.trusted = true; }); Jupyter.notebook.save_notebook()`);
  await page.reload();
  await page.waitForFunction('window.Jupyter?.notebook?.kernel?.is_connected?.()', null, { timeout: 60_000 });
}

/** `jupyter nbconvert`; returns what it writes to stderr, its remarks on files aside. */
function nbconvert(file: string, folder: string, ...args: string[]): string {
  const env = environment(folder);
  const { stderr, status } = spawnSync('jupyter-nbconvert', [...args, file], { env, encoding: 'utf8', timeout: PATIENCE });
  const lines = stderr.split('\n').filter((line) => line && !/^\[NbConvertApp\] (Converting|Writing|Executing)/.test(line));
  return lines.join('\n') + (status === 0 ? '' : `exit code ${status}`);
}

/** Executes a notebook in place; returns the complaints. */
export const executeInPlace = (file: string, { folder }: Server): string =>
  nbconvert(file, folder, '--to', 'notebook', '--execute', '--inplace', `--ExecutePreprocessor.timeout=${PATIENCE / 1000}`);

/** Makes a page of a notebook and returns its file name. */
export function toHtml(file: string, { folder }: Server): string {
  nbconvert(file, folder, '--to', 'html');
  return file.replace(/\.ipynb$/, '.html');
}
