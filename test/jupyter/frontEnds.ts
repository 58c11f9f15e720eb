/** The programs that people open notebooks in. What a test does with a notebook is an expression for the program's page. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/** A program with a page. In expressions `cell` is one of its code cells, and promises end when the thing is done. */
export interface FrontEnd {
  readonly name: string;
  readonly program: string;
  /** Whether it draws `application/vnd.plotly.v1+json` itself. */
  readonly drawsJson?: boolean;
  /** Options of a server on `folder` without a password. */
  readonly options: (folder: string) => string[];
  /** What stands before a notebook's path in its address. */
  readonly address: string;
  /** The kernel answers. */
  readonly isReady: string;
  /** All code cells. */
  readonly cells: string;
  /** Outputs of `cell` as they are saved. */
  readonly outputs: string;
  readonly hasRun: string;
  readonly source: string;
  readonly runAll: string;
  readonly run: string;
  readonly interrupt: string;
  readonly restart: string;
  readonly shutDown: string;
  /** Makes the page dark; undefined where it has no dark theme. */
  readonly darken?: string;
  readonly lighten?: string;
  /** Committed notebooks are only looked at in it: how it runs them is tested with another one that shares its code. */
  readonly looksOnly?: boolean;
  /** Puts the cursor at the end of `cell`. */
  readonly edit: string;
  /** Whether the notebook is trusted. */
  readonly isTrusted: string;
  /** Height of the notebook in pixels. */
  readonly height: string;
  readonly css: {
    readonly cell: string;
    readonly output: string;
    readonly completion: string;
    readonly tooltip: string;
  };
}

const folders = [process.env.DPG_JUPYTER ?? '', process.env.PATH ?? '']
  .join(path.delimiter)
  .split(path.delimiter)
  .filter(Boolean);

/** Files of a program: in the folders that DPG_JUPYTER names, and on PATH. */
const everyFile = (program: string): string[] => [
  ...new Set(folders.map((folder) => path.join(folder, program)).filter((file) => fs.existsSync(file))),
];

/** The first file of a program. */
export const found = (program: string): string | undefined => everyFile(program)[0];

const PANEL = 'jupyterapp.shell.currentWidget';
const command = (id: string, options = '{}'): string => `jupyterapp.commands.execute('${id}', ${options})`;

/** JupyterLab 4, and what Notebook 7 shares with it. */
const LAB = {
  isReady: `window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'`,
  cells: `${PANEL}.content.widgets.filter(({ model }) => model.type === 'code')`,
  outputs: 'cell.model.outputs.toJSON()',
  hasRun: 'cell.model.executionCount > 0',
  source: 'cell.model.sharedModel.getSource()',
  runAll: `${command('notebook:clear-all-cell-outputs')}.then(() => ${command('notebook:run-all-cells')})`,
  run: `(${PANEL}.content.activeCellIndex = ${PANEL}.content.widgets.indexOf(cell), ${command('notebook:run-cell')})`,
  interrupt: `${PANEL}.sessionContext.session.kernel.interrupt()`,
  restart: `${PANEL}.sessionContext.restartKernel()`,
  shutDown: `${PANEL}.context.save().then(() => ${PANEL}.sessionContext.shutdown())`,
  darken: command('apputils:change-theme', "{ theme: 'JupyterLab Dark' }"),
  lighten: command('apputils:change-theme', "{ theme: 'JupyterLab Light' }"),
  edit: `(${PANEL}.content.activeCellIndex = ${PANEL}.content.widgets.indexOf(cell), ${PANEL}.content.mode = 'edit',
    cell.editor.focus(), cell.editor.setCursorPosition({ line: cell.editor.lineCount - 1, column: cell.editor.getLine(cell.editor.lineCount - 1).length }))`,
  isTrusted: 'cell.model.trusted',
  height: "document.querySelector('.jp-WindowedPanel-inner').scrollHeight",
  css: {
    cell: '.jp-CodeCell',
    output: '.jp-Cell-outputArea',
    completion: '.jp-Completer-item',
    tooltip: '.jp-Tooltip',
  },
};

const CLASSIC_CELLS = "Jupyter.notebook.get_cells().filter((cell) => cell.cell_type === 'code')";
const classicRun = (run: string): string =>
  `new Promise((done) => {
    ${run};
    const look = () => ${CLASSIC_CELLS}.some((cell) => cell.input_prompt_number === '*') ? setTimeout(look, 100) : done();
    setTimeout(look, 100);
  })`;

/** Notebook 6, and 5. */
const CLASSIC = {
  address: '/notebooks/',
  isReady: 'window.Jupyter?.notebook?.kernel?.is_connected?.()',
  cells: CLASSIC_CELLS,
  outputs: 'cell.output_area.toJSON()',
  hasRun: 'cell.input_prompt_number > 0',
  source: 'cell.get_text()',
  runAll: classicRun('Jupyter.notebook.clear_all_output(); Jupyter.notebook.execute_all_cells()'),
  run: classicRun('cell.execute()'),
  interrupt: 'Jupyter.notebook.kernel.interrupt()',
  restart:
    'new Promise((done) => { Jupyter.notebook.events.one("kernel_ready.Kernel", done); Jupyter.notebook.kernel.restart(); })',
  shutDown: 'new Promise((done) => Jupyter.notebook.session.delete(done, done))',
  edit: `(Jupyter.notebook.select(Jupyter.notebook.find_cell_index(cell)), Jupyter.notebook.edit_mode(),
    cell.code_mirror.focus(), cell.code_mirror.execCommand('goDocEnd'))`,
  isTrusted: 'Jupyter.notebook.trusted',
  height: "document.getElementById('notebook-container').offsetHeight",
  css: { cell: '.code_cell', output: '.output', completion: '#complete option', tooltip: '#tooltip' },
  options: (folder: string) => [
    '--NotebookApp.token=',
    '--NotebookApp.password=',
    '--NotebookApp.disable_check_xsrf=True',
    `--notebook-dir=${folder}`,
  ],
};

/** Plotly's extension of JupyterLab: draws `application/vnd.plotly.v1+json`. */
const PLOTLY = 'jupyterlab-plotly';

/** Links to all extensions of a program but plotly's, in `folder`. */
function extensionsWithoutPlotly(extensions: string, folder: string): string {
  const links = path.join(folder, 'extensions');
  fs.mkdirSync(links);
  for (const name of fs.readdirSync(extensions))
    if (name !== PLOTLY) fs.symlinkSync(path.join(extensions, name), path.join(links, name), 'junction');
  return links;
}

function frontEndsOf(program: string): FrontEnd[] {
  const version = spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout.trim();
  const isLab = path.basename(program) === 'jupyter-lab';
  if (!isLab && Number.parseInt(version) < 7) return [{ ...CLASSIC, name: `Notebook ${version}`, program }];
  const extensions = path.join(path.dirname(fs.realpathSync(program)), '../share/jupyter/labextensions');
  const own = { ...LAB, program, address: isLab ? '/lab/tree/' : '/notebooks/' };
  const options = (folder: string, extensions: string) => [
    '--IdentityProvider.token=',
    '--ServerApp.disable_check_xsrf=True',
    `--ServerApp.root_dir=${folder}`,
    `--${isLab ? 'LabApp' : 'JupyterNotebookApp'}.expose_app_in_browser=True`,
    `--${isLab ? 'LabApp' : 'JupyterNotebookApp'}.labextensions_path=${extensions}`,
  ];
  const name = `${isLab ? 'JupyterLab' : 'Notebook'} ${version}`;
  const plain = {
    ...own,
    name,
    looksOnly: !isLab,
    options: (folder: string) => options(folder, extensionsWithoutPlotly(extensions, folder)),
  };
  if (!isLab || !fs.existsSync(path.join(extensions, PLOTLY))) return [plain];
  return [
    plain,
    {
      ...own,
      name: `${name}, ${PLOTLY}`,
      options: (folder: string) => options(folder, extensions),
      drawsJson: true,
      looksOnly: true,
    },
  ];
}

/** Those that are installed. */
export const frontEnds = (): FrontEnd[] => ['jupyter-lab', 'jupyter-notebook'].flatMap(everyFile).flatMap(frontEndsOf);
