/** `dpg new`: a folder of one's own, with a target and a notebook that run as they are. */
import { constants, copyFileSync, existsSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { makeFolder, readFolder, writeFileAtomic } from '../files/atomicFile';
import { ROOT } from '../files/paths';
import { UsageError } from './command';
import * as kernel from './kernel';
import { writeNotebook, type Cell } from './notebook/document';

export const summary = 'a folder for an experiment of your own: target and notebook';
export const help = `dpg new FOLDER

Makes FOLDER, called like the experiment, with
  target.mjs        what the fine-tuned model is to become: for "npx dpg train FOLDER/target.mjs", and for the notebook
  NAME.ipynb        trains on it, shows what came of it, and ends with a report: Jupyter, VS Code, "npx dpg notebook"
  node_modules/     links to this package and to the library that targets are written in, and plotly.js for the figures
and registers the TypeScript kernel of notebooks for the current user, as "dpg kernel install" does.

Exit code: 0 done, 1 the kernel could not be registered, 2 wrong usage, or the folder holds something.`;

/** Runs the command; see `help` for the exit code. */
export async function run(argv: string[]): Promise<number> {
  const { positionals } = parseArgs({ args: argv, options: {}, allowPositionals: true });
  if (positionals.length !== 1) throw new UsageError(`dpg new takes one FOLDER (got ${positionals.join(' ') || 'none'})`);
  const folder = path.resolve(positionals[0]);
  const experiment = path.basename(folder);
  if (!/^[\w.-]+$/.test(experiment))
    throw new UsageError(`an experiment is called by letters, digits and - _ . (got ${JSON.stringify(experiment)})`);
  if (existsSync(folder) && readFolder(folder).length)
    throw new UsageError(`${positionals[0]} is there already: take another name`);
  const notebook = path.join(folder, `${experiment}.ipynb`);
  linkPackages(folder);
  writeFileAtomic(path.join(folder, 'target.mjs'), targetOf(experiment));
  writeNotebook(notebook, { cells: cellsOf(experiment), metadata: { kernelspec: KERNEL }, nbformat: 4, nbformat_minor: 5 });
  const code = await kernel.run(['install']);
  console.log(`made ${positionals[0]}; open ${notebook} in Jupyter or VS Code, or run
  npx dpg train ${path.join(positionals[0], 'target.mjs')}
  npx dpg notebook ${path.join(positionals[0], `${experiment}.ipynb`)}`);
  return code;
}

/** Node, TypeScript in a notebook and Jupyter's file server all look for packages beside the notebook. */
function linkPackages(folder: string): void {
  const place = (name: string): string => {
    const at = path.join(folder, 'node_modules', name);
    makeFolder(path.dirname(at));
    return at;
  };
  const link = (name: string, target: string): void => symlinkSync(target, place(name), 'junction');
  link('dataset-policy-gradient', ROOT);
  link('@tensorflow/tfjs-core', path.dirname(require.resolve('@tensorflow/tfjs-core/package.json')));
  // a copy: Jupyter's server (by Tornado 6.5.9) delivers no file that a link takes out of its folder
  copyFileSync(require.resolve('plotly.js-dist/plotly.js'), place('plotly.js-dist/plotly.js'), constants.COPYFILE_FICLONE);
}

const KERNEL = { display_name: 'TypeScript', language: 'typescript', name: 'tslab' };

const targetOf = (
  experiment: string,
): string => `/** What the fine-tuned model is to become; every export but \`objective\` may be left out. */
export const name = '${experiment}';

/** Φ of its parameters, in tfjs ops, higher is better; \`target.forward(params, ids)\` shows what it does with texts. */
export const objective = (params, { target }) => params['lm_head.weight'].norm().neg();

/** What is measured of it besides, at every step and on held-out prompts. */
export const observe = ({ tuned }) => ({ metrics: { norm: tuned['lm_head.weight'].norm().dataSync()[0] } });

/** Settings; "npx dpg train target.mjs --help" lists all. */
export const defaults = {
  steps: 40,
  innerLearningRate: 1e-2, // of the fine-tuning
  innerEpsRoot: 1e-3,
  learningRate: 5e-4, // of the generator
  credit: 'token', // 'example': as in the paper
  klCoef: 0.05, // holds the generator near the text it was trained on
  supportMinP: 0.03, // write only what the untrained generator finds at least so likely
};

/** For model cards: "... data, so that <purpose>". */
export const purpose = 'the LM head of a model fine-tuned on it has a small norm';
`;

const INTRODUCTION = `A generator writes short texts, a target model is fine-tuned on them, and the fine-tuned model is to become what
\`target.mjs\` says. The generator's only reward is, for each text, the *metagradient*: how much Φ of the fine-tuned model would rise if
that text had counted a little more.`;

/** Sources of the notebook's cells, code and Markdown in turn. */
const SOURCES = [
  `import * as dpg from 'dataset-policy-gradient';
import * as tf from '@tensorflow/tfjs-core';
console.log(dpg.describeBackend(await dpg.startBackend()));`,
  '**Parameters.** Change a number and run everything below again; `npx dpg train target.mjs --help` lists all keys.',
  `let seed = 0;                    // of everything random
let steps = 40;                  // GRPO steps
let prompts = 32;                // per step; 32 prompts × 8 rollouts = 256 examples
let quick = false;               // true: a few steps with small batches, to see that everything runs
let out = '';                    // run folder; '' makes a new one`,
  '**The target** is in `target.mjs`; what is changed there counts after the kernel was restarted.',
  `const size = quick ? { steps: 3, prompts: 4, heldOutExamples: 32 } : { steps: steps, prompts: prompts };
const experiment = await dpg.makeExperiment(await dpg.loadDefinition('./target.mjs'), { seed: seed, ...size });
const run = out ? dpg.newRun(experiment, out) : dpg.newRun(experiment);
const history: dpg.TrainStep[] = [];
const before = await dpg.validate(experiment);`,
  '**Training.** The stop button ends the loop after the running step; this cell again goes on.',
  `await dpg.follow((signal) => dpg.record(experiment, run, { signal: signal }), {
  total: experiment.config.steps,
  history: history,
  metrics: ({ row }) => ({ 'Φ': row.phi }),
  figure: (seen) => dpg.lineChart({ series: [dpg.metricSeries(seen, 'phi', 'Φ')], title: 'Φ', xTitle: 'GRPO step', yTitle: 'Φ' }),
});`,
  '**Held-out prompts.** The trained generator writes for prompts that it never saw, and a fresh target is fine-tuned on that text.',
  `const after = await dpg.validate(experiment, run.state);
dpg.table([before, after].map(({ step, phi, metrics }) => ({ 'text after step': step, 'Φ': phi, ...metrics })));
dpg.writeSummary(experiment, run, { after: after, before: before });
dpg.saveRunFigures(run.folder.path, after.image);
run.folder.close();`,
  '**The run in one look.** Blue tokens were paid, red ones cost.',
  'dpg.report(run);',
];

function cellsOf(experiment: string): Cell[] {
  const cells = [`# ${experiment}\n\n${INTRODUCTION}`, ...SOURCES].map((source, i): Cell => {
    const isCode = i % 2 === 1;
    const tags = source.startsWith('let seed') ? { tags: ['parameters'] } : {};
    const shared = { id: `cell-${i}`, source, metadata: tags };
    return isCode ? { ...shared, cell_type: 'code', execution_count: null, outputs: [] } : { ...shared, cell_type: 'markdown' };
  });
  const next = `**Go on**

- \`await dpg.rerun(run, { klCoef: 0.2 })\` makes the run again with other settings, \`dpg.show(dpg.compare(run, again))\` draws both.
- \`await run.export('exported')\` writes the trained generator as a Hugging Face folder.
- \`dpg.table(dpg.runs())\` lists the runs, and \`dpg.openRun(name)\` reads one into figures.`;
  return [...cells, { cell_type: 'markdown', id: 'next', source: next, metadata: {} }];
}
