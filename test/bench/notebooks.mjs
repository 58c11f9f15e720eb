// What a notebook costs beside its own work: start of the kernel, the import cell, and for every other cell of the committed notebooks
// (quick setting) the time from the request to its first statement: tslab's type check and translation. Prints medians in seconds.
//
// usage: node test/bench/notebooks.mjs [--rounds 3] [NOTEBOOK.ipynb …]
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const require = createRequire(import.meta.url);
const { startKernel } = require('../../dist/cli/notebook/kernel.js');
const { hasTag, readNotebook } = require('../../dist/cli/notebook/document.js');

const options = { rounds: { type: 'string', default: '3' } };
const { values, positionals } = parseArgs({ options, allowPositionals: true });
const names = ['01-qr-code', '02-sixty-seven', '03-l2-norm', '04-rephrase', '05-uuid'];
const files = positionals.length ? positionals : names.map((name) => path.join(root, 'notebooks', `${name}.ipynb`));

const seconds = (since) => (performance.now() - since) / 1000;
const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** Runs a cell; returns the seconds to its first statement and to its end. */
async function time(kernel, source) {
  const sent = performance.now();
  let begun;
  const reply = await kernel.execute(`console.log('begun');\n${source}`, ({ content }) => {
    if (content.text?.startsWith('begun')) begun ??= seconds(sent);
  });
  if (!reply?.ok) throw new Error(`a cell failed:\n${source}`);
  return { begun, whole: seconds(sent) };
}

/** Seconds of one run of a notebook. */
async function run(file, out) {
  const cells = readNotebook(file).cells.filter((cell) => cell.cell_type === 'code');
  const sent = performance.now();
  const kernel = await startKernel({ cwd: path.dirname(file) });
  try {
    const start = seconds(sent);
    const [first, ...others] = cells.map((cell) => {
      const quick = cell.source.replace(/^let quick = false;/m, 'let quick = true;');
      return hasTag(cell, 'parameters')
        ? quick.replace(/^let out = '';/m, () => `let out = ${JSON.stringify(out)};`)
        : cell.source;
    });
    const imports = (await time(kernel, first)).whole;
    const begun = [];
    for (const source of others) begun.push((await time(kernel, source)).begun);
    return { start, imports, begun };
  } finally {
    await kernel.close();
  }
}

const folder = mkdtempSync(path.join(tmpdir(), 'dpg-bench-'));
for (const file of files) {
  const rounds = [];
  for (let round = 0; round < Number(values.rounds); round++)
    rounds.push(await run(file, path.join(folder, `${path.basename(file)}-${round}`)));
  const cells = rounds[0].begun.map((_, i) => median(rounds.map(({ begun }) => begun[i])));
  const [start, imports] = [median(rounds.map((each) => each.start)), median(rounds.map((each) => each.imports))];
  console.log(
    `${path.basename(file)}: prompt ${start.toFixed(2)}, import cell ${imports.toFixed(2)}, other cells before their own work ` +
      `${median(cells).toFixed(2)} (most ${Math.max(...cells).toFixed(2)})`,
  );
}
rmSync(folder, { recursive: true });
