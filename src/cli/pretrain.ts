/** `dpg pretrain`: makes the small checkpoints of `data/` again. */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { DATA } from '../dpg/actor';
import { makeSmallModel, SMALL_MODELS, type PretrainingReport } from '../experiments/smallModels';
import { makeFolder, writeFileAtomic } from '../files/atomicFile';
import { describeBackend, startBackend } from '../tensor/backend';
import { UsageError, wholeNumber } from './command';

export const summary = 'make the small models of data/ again';
export const help = `dpg pretrain [NAME]… [--out DIR] [--steps N]

Trains the small models on the mini-encyclopedia, from their seeds, and writes them as Hugging Face folders.

  NAME         one of ${SMALL_MODELS.map((model) => model.name).join(', ')}; default: all
      --out    where the folders go; default: data/
      --steps  fewer steps than the recipe's, to try things out`;

const OPTIONS = { out: { type: 'string' }, steps: { type: 'string' } } as const;

/** Runs the command. */
export async function run(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args: argv, options: OPTIONS, allowPositionals: true });
  const unknown = positionals.find((wanted) => !SMALL_MODELS.some((model) => model.name === wanted));
  if (unknown)
    throw new UsageError(
      `no small model is called "${unknown}"; there are ${SMALL_MODELS.map((model) => model.name).join(', ')}`,
    );
  const steps = values.steps === undefined ? undefined : wholeNumber('--steps', values.steps, [1, 1e9]);
  console.log(describeBackend(await startBackend()));
  const out = values.out ?? DATA;
  makeFolder(out);
  for (const recipe of SMALL_MODELS.filter((model) => positionals.length === 0 || positionals.includes(model.name))) {
    const folder = path.join(out, recipe.name);
    const progress = (step: number, loss: number): void => {
      if (step % 250 === 0) console.log(`${recipe.name}: step ${step}, loss ${loss.toFixed(3)} nats per position`);
    };
    const report = await makeSmallModel({ ...recipe, steps: steps ?? recipe.steps }, folder, {}, progress);
    writeReport(out, report);
    console.log(
      `${report.name}: ${report.parameters} parameters, validation loss ${report.validationLoss.toFixed(3)} nats per ` +
        `token, ${report.seconds.toFixed(0)} s`,
    );
  }
  return 0;
}

/** The validation loss beside the checkpoint; without the seconds, so that the same weights give the same file. */
function writeReport(out: string, report: PretrainingReport): void {
  writeFileAtomic(path.join(out, `${report.name}.json`), `${JSON.stringify({ ...report, seconds: undefined }, null, 2)}\n`);
}
